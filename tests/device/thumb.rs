//! Loads and stores of the Thumb instruction set (Armv7-M ARM, A5 and A7), as far as compilers use
//! them on registers of peripherals.

/// A load or store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Whether it writes memory.
    pub is_store: bool,
    /// The address.
    pub address: u32,
    /// Bytes of each value.
    pub size: u32,
    /// Whether a loaded value is extended by its sign.
    pub is_signed: bool,
    /// Registers of the values, which follow each other in memory.
    pub registers: Vec<usize>,
    /// A base register and its value afterwards.
    pub written_back: Option<(usize, u32)>,
    /// Bytes of the instruction.
    pub len: u32,
}

impl Access {
    /// Bytes of all values.
    pub fn len_of_data(&self) -> u32 {
        self.size * self.registers.len() as u32
    }
}

/// The access of the instruction in two halfwords, with these registers; `None` for any other
/// instruction.
pub fn access(code: [u16; 2], registers: &[u32; 16]) -> Option<Access> {
    let [first, second] = code.map(u32::from);
    match first >> 11 {
        0b11101 => multiple_or_double(first, second, registers),
        0b11111 => single_wide(first, second, registers),
        0b11110 => None,
        _ => narrow(first, registers),
    }
}

fn one(is_store: bool, address: u32, size: u32, register: u32, len: u32) -> Access {
    Access {
        is_store,
        address,
        size,
        is_signed: false,
        registers: vec![register as usize],
        written_back: None,
        len,
    }
}

fn narrow(code: u32, registers: &[u32; 16]) -> Option<Access> {
    let field = |low: u32| registers[(code >> low & 7) as usize];
    let offset = code >> 6 & 31;
    let is_store = code >> 11 & 1 == 0;
    let immediate = |size| {
        one(
            is_store,
            field(3).wrapping_add(offset * size),
            size,
            code & 7,
            2,
        )
    };
    match code >> 12 {
        0b0110 => Some(immediate(4)),
        0b0111 => Some(immediate(1)),
        0b1000 => Some(immediate(2)),
        0b1001 => {
            let address = registers[13].wrapping_add((code & 0xff) * 4);
            Some(one(is_store, address, 4, code >> 8 & 7, 2))
        }
        0b0101 => {
            let (is_store, size, is_signed) = match code >> 9 & 7 {
                0 => (true, 4, false),
                1 => (true, 2, false),
                2 => (true, 1, false),
                3 => (false, 1, true),
                4 => (false, 4, false),
                5 => (false, 2, false),
                6 => (false, 1, false),
                _ => (false, 2, true),
            };
            let address = field(3).wrapping_add(field(6));
            Some(Access {
                is_signed,
                ..one(is_store, address, size, code & 7, 2)
            })
        }
        0b1100 => {
            let base = (code >> 8 & 7) as usize;
            let list = listed(code & 0xff);
            let end = registers[base].wrapping_add(4 * list.len() as u32);
            let is_kept = !is_store && list.contains(&base);
            Some(Access {
                registers: list,
                written_back: (!is_kept).then_some((base, end)),
                ..one(is_store, registers[base], 4, 0, 2)
            })
        }
        _ => None,
    }
}

/// The numbers of the bits that are set.
fn listed(bits: u32) -> Vec<usize> {
    (0..16).filter(|bit| bits >> bit & 1 == 1).collect()
}

fn single_wide(first: u32, second: u32, registers: &[u32; 16]) -> Option<Access> {
    if first >> 9 != 0b111_1100 {
        return None;
    }
    let base = (first & 15) as usize;
    let at = registers[base];
    let size = [1, 2, 4].get((first >> 5 & 3) as usize)?;
    let (address, written_back) = if first >> 7 & 1 == 1 {
        (at.wrapping_add(second & 0xfff), None)
    } else if second >> 11 & 1 == 1 {
        indexed(base, at, second & 0xff, second >> 8 & 7)
    } else {
        let index = registers[(second & 15) as usize] << (second >> 4 & 3);
        (at.wrapping_add(index), None)
    };
    Some(Access {
        is_signed: first >> 8 & 1 == 1,
        written_back,
        ..one(first >> 4 & 1 == 0, address, *size, second >> 12, 4)
    })
}

/// Address and written back register of an indexed access; `puw`: before or after, up or down,
/// written back.
fn indexed(base: usize, at: u32, offset: u32, puw: u32) -> (u32, Option<(usize, u32)>) {
    let moved = match puw >> 1 & 1 {
        1 => at.wrapping_add(offset),
        _ => at.wrapping_sub(offset),
    };
    let address = if puw >> 2 & 1 == 1 { moved } else { at };
    (address, (puw & 1 == 1).then_some((base, moved)))
}

fn multiple_or_double(first: u32, second: u32, registers: &[u32; 16]) -> Option<Access> {
    if first >> 9 != 0b111_0100 {
        return None;
    }
    let base = (first & 15) as usize;
    let at = registers[base];
    let is_store = first >> 4 & 1 == 0;
    let up_and_back = first >> 6 & 2 | first >> 5 & 1;
    if first >> 6 & 1 == 1 {
        let puw = first >> 6 & 4 | up_and_back;
        if puw & 0b101 == 0 {
            // Exclusive accesses and table branches.
            return None;
        }
        let (address, written_back) = indexed(base, at, 4 * (second & 0xff), puw);
        let pair = [second >> 12, second >> 8 & 15].map(|register| register as usize);
        return Some(Access {
            registers: pair.to_vec(),
            written_back,
            ..one(is_store, address, 4, 0, 4)
        });
    }
    let list = listed(second);
    let bytes = 4 * list.len() as u32;
    let (address, end) = match up_and_back >> 1 {
        1 => (at, at.wrapping_add(bytes)),
        _ => (at.wrapping_sub(bytes), at.wrapping_sub(bytes)),
    };
    let is_back = up_and_back & 1 == 1;
    Some(Access {
        registers: list,
        written_back: is_back.then_some((base, end)),
        ..one(is_store, address, 4, 0, 4)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Register n holds 0x100 n, but r0 holds 3.
    fn registers() -> [u32; 16] {
        let mut registers = std::array::from_fn(|index| 0x100 * index as u32);
        registers[0] = 3;
        registers
    }

    /// Codes by GNU's assembler.
    #[test]
    fn loads_and_stores_are_decoded() {
        for (text, code, is_store, address, size, values) in [
            ("ldr r3, [r1, #4]", [0x684b, 0], false, 0x104, 4, vec![3]),
            ("str r1, [r0]", [0x6001, 0], true, 3, 4, vec![1]),
            ("ldrb r2, [r1, #3]", [0x78ca, 0], false, 0x103, 1, vec![2]),
            ("strh r0, [r1, #2]", [0x8048, 0], true, 0x102, 2, vec![0]),
            ("ldrsh r0, [r1, r2]", [0x5e88, 0], false, 0x300, 2, vec![0]),
            ("ldr r1, [sp, #8]", [0x9902, 0], false, 0xd08, 4, vec![1]),
            ("ldm r0!, {r1, r2}", [0xc806, 0], false, 3, 4, vec![1, 2]),
            (
                "ldr.w r4, [r1, #0x104]",
                [0xf8d1, 0x4104],
                false,
                0x204,
                4,
                vec![4],
            ),
            (
                "str r2, [r3, #-4]",
                [0xf843, 0x2c04],
                true,
                0x2fc,
                4,
                vec![2],
            ),
            (
                "ldrd r1, r2, [r0, #8]",
                [0xe9d0, 0x1202],
                false,
                11,
                4,
                vec![1, 2],
            ),
            (
                "strb.w r0, [r1, r2]",
                [0xf801, 0x0002],
                true,
                0x300,
                1,
                vec![0],
            ),
            (
                "stmdb r1!, {r1, r2}",
                [0xe921, 0x0006],
                true,
                0xf8,
                4,
                vec![1, 2],
            ),
            (
                "ldrsb.w r5, [r1, #1]",
                [0xf991, 0x5001],
                false,
                0x101,
                1,
                vec![5],
            ),
            (
                "str.w r1, [r2, r0, lsl #2]",
                [0xf842, 0x1020],
                true,
                0x20c,
                4,
                vec![1],
            ),
        ] {
            let found = access(code, &registers()).expect(text);
            assert_eq!(
                (found.is_store, found.address, found.size, found.registers),
                (is_store, address, size, values),
                "{text}"
            );
            assert_eq!(found.len, if code[1] == 0 { 2 } else { 4 }, "{text}");
            assert_eq!(found.is_signed, text.starts_with("ldrs"), "{text}");
        }
        let post = access([0xf851, 0x1b04], &registers()).unwrap();
        assert_eq!((post.address, post.written_back), (0x100, Some((1, 0x104))));
        // tbb, ldrex, adds, bl
        for code in [
            [0xe8d0, 0xf001],
            [0xe850, 0x1f00],
            [0x1888, 0],
            [0xf7ff, 0xfffe],
        ] {
            assert_eq!(access(code, &registers()), None);
        }
    }
}
