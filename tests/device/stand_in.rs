//! Runs the image of a physical board in the QEMU machine whose memories are nearest to the part's.
//!
//! The machine has other peripherals. Accesses to those of the part are made to fault (by the
//! memory protection unit where the machine has something there), and this program, at QEMU's
//! debugger stub, answers them: a register reads as it was written last, except those that a part
//! waits for. Core, memories, protection unit and interrupt controller are QEMU's.

use crate::gdb::{ANSWER_LIMIT, Gdb, LR, PC, QEMU_ARGS, SP, Stop, Watched, XPSR};
use crate::log::line_of;
use crate::qemu::Qemu;
use crate::thumb::{Access, access};
use crate::{Board, Symbols, qemu_program};
use anyhow::{Context, Result, anyhow, bail, ensure};
use defmt_decoder::Table;
use object::read::elf::ElfFile32;
use object::{Object, ObjectSection, ObjectSymbol};
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};

/// How QEMU stands in for a part.
#[derive(Clone, Debug)]
pub struct Part {
    /// Name of the board.
    pub board: &'static str,
    /// QEMU's machine.
    pub machine: &'static str,
    /// Further arguments of QEMU.
    pub options: &'static [&'static str],
    /// Words of system registers to write before the start: what the boot ROM does, and the region
    /// of the protection unit over peripherals.
    pub set_up: &'static [(u32, u32)],
    /// An address in flash that the image leaves free.
    pub free_flash: u32,
    /// Addresses of peripherals.
    pub peripherals: &'static [Range<u32>],
    /// Whether writes to an address plus 0x1000, 0x2000, 0x3000 flip, set and clear bits.
    pub has_aliases: bool,
    /// Registers that report something for which the firmware waits, and the bits that are set
    /// whenever they are read.
    pub always_set: &'static [(u32, u32)],
    /// Registers in which a part reports what has been asked for: bits that follow those of a mask,
    /// so many places further up.
    pub follows: &'static [(u32, u32, u32)],
    /// Registers in which one bit is set, whose number another register has under a mask.
    pub selected: &'static [(u32, u32, u32)],
    /// Registers at whose addresses the machine has some of its own, and the values that they read.
    pub watched: &'static [(u32, u32)],
}

/// How far an image has come.
#[derive(Debug)]
pub struct Run {
    /// The log so far, from RTT's buffer.
    pub log: Vec<String>,
    /// Peripheral registers as the firmware has left them.
    pub registers: HashMap<u32, u32>,
}

/// Accesses to one register by one instruction after which the firmware waits in vain.
const MOST_POLLS: u32 = 2000;
/// The instructions `wfi` and `wfe`.
const SLEEPS: [u16; 2] = [0xbf30, 0xbf20];
/// The instruction `bx lr`.
const BX_LR: u16 = 0x4770;
/// The instruction `str r1, [r0]`.
const STORE: u16 = 0x6001;
/// Vector table offset register.
const VTOR: u32 = 0xe000_ed08;
/// Bit of the program status register for Thumb code.
const THUMB: u32 = 1 << 24;

/// Runs the image until it sleeps for the first time. `presets` are the registers that are not
/// 0 after the reset.
///
/// # Errors
/// If QEMU is missing, or the image faults or waits for ever before it sleeps; the message says
/// where.
pub fn run_until_sleep(part: &Part, elf: &Path, presets: &[(u32, u32)]) -> Result<Run> {
    let bytes = std::fs::read(elf).with_context(|| elf.display().to_string())?;
    let image = Image::of(&bytes)?;
    let (_qemu, mut core) = start_qemu(part, elf)?;
    part.start(&mut core, &image)?;
    core.step()?;
    for &address in image.sleeps.iter().chain([&image.hard_fault, &image.reset]) {
        core.break_at(address)?;
    }
    for &(address, _) in part.watched {
        core.watch(Watched::Reads, address, 4)?;
    }
    let mut peripherals = Peripherals {
        part,
        values: presets.iter().copied().collect(),
        polls: HashMap::new(),
    };
    loop {
        let stop = core.run_for(ANSWER_LIMIT)?;
        let live = core.registers()?;
        let at = live[PC];
        ensure!(
            stop != Stop::Time,
            "neither sleeps nor faults: {}",
            image.place(at)
        );
        if image.sleeps.contains(&at) {
            let log = image.log(&mut core)?;
            let registers = peripherals.values;
            return Ok(Run { log, registers });
        }
        let answered = if at == image.reset {
            Err(anyhow!("restarts"))
        } else if at == image.hard_fault {
            peripherals.answer(&mut core, &live, &image)
        } else {
            peripherals.answer_watched(&mut core, &live, &image)
        };
        if let Err(error) = answered {
            let log = image.log(&mut core)?.join("\n");
            return Err(error.context(format!("the log so far:\n{log}")));
        }
    }
}

/// Starts QEMU with a stopped core, to which the second value is connected.
fn start_qemu(part: &Part, elf: &Path) -> Result<(Qemu, Gdb)> {
    let child = Command::new(qemu_program())
        .args(["-machine", part.machine])
        .args(part.options)
        .args(QEMU_ARGS)
        .args(["-display", "none", "-monitor", "none", "-serial", "none"])
        .args(["-audiodev", "none,id=none"])
        .arg("-kernel")
        .arg(elf)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("qemu-system-arm cannot be started; `cargo verify qemu-install` installs it")?;
    let mut qemu = Qemu(child);
    let to_qemu = qemu.0.stdin.take().context("input already taken")?;
    let mut core = Gdb::new(to_qemu, qemu.output()?);
    core.read_description()?;
    Ok((qemu, core))
}

impl Part {
    /// The part that stands in for `board`'s.
    pub fn of(board: &Board) -> Option<&'static Self> {
        crate::parts::PARTS
            .iter()
            .find(|part| part.board == board.name)
    }

    /// Puts the core into the state after the boot ROM.
    fn start(&self, core: &mut Gdb, image: &Image<'_>) -> Result<()> {
        core.write(
            self.free_flash,
            &[STORE, BX_LR].map(u16::to_le_bytes).concat(),
        )?;
        let vectors = [(VTOR, image.vectors)];
        for (register, value) in vectors.iter().chain(self.set_up) {
            for (number, value) in [
                (XPSR, THUMB),
                (0, *register),
                (1, *value),
                (PC, self.free_flash),
            ] {
                core.set_register(number, value)?;
            }
            core.step()?;
        }
        let [sp, reset] = core.words(image.vectors)?;
        for (number, value) in [(SP, sp), (LR, u32::MAX), (PC, reset & !1), (XPSR, THUMB)] {
            core.set_register(number, value)?;
        }
        Ok(())
    }

    fn owns(&self, address: u32) -> bool {
        (self.peripherals.iter()).any(|range| range.contains(&address))
    }
}

/// What has to be known of the ELF file.
struct Image<'a> {
    bytes: &'a [u8],
    symbols: Symbols,
    /// The code and its address.
    code: &'a [u8],
    base: u32,
    vectors: u32,
    hard_fault: u32,
    reset: u32,
    /// Addresses of instructions that sleep.
    sleeps: Vec<u32>,
    /// RTT's control block.
    rtt: u32,
}

impl<'a> Image<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self> {
        let file = ElfFile32::<object::Endianness>::parse(bytes)?;
        let symbol = |name: &str| {
            let found = file.symbols().find(|symbol| symbol.name() == Ok(name));
            let address = found
                .with_context(|| format!("no symbol {name}"))?
                .address();
            Ok::<_, anyhow::Error>(address as u32 & !1)
        };
        let text = file.section_by_name(".text").context("no code")?;
        let (base, code) = (text.address() as u32, text.data()?);
        let halfwords = code.chunks_exact(2).zip((base..).step_by(2));
        let sleeps =
            halfwords.filter(|(half, _)| SLEEPS.iter().any(|sleep| *half == sleep.to_le_bytes()));
        Ok(Self {
            bytes,
            symbols: Symbols::of(bytes)?,
            code,
            base,
            vectors: symbol("__vector_table").or_else(|_| symbol("_stext"))?,
            hard_fault: symbol("HardFault")?,
            reset: symbol("Reset")?,
            sleeps: sleeps.map(|(_, at)| at).collect(),
            rtt: symbol("_SEGGER_RTT")?,
        })
    }

    /// The two halfwords of code at `pc`.
    fn code_at(&self, pc: u32) -> Result<[u16; 2]> {
        let code = pc.checked_sub(self.base).map(|at| at as usize);
        let code = code.and_then(|at| self.code.get(at..at + 4));
        let code = code.with_context(|| format!("a fault at {pc:#010x}, outside of the code"))?;
        Ok([0, 2].map(|at| u16::from_le_bytes([code[at], code[at + 1]])))
    }

    fn place(&self, pc: u32) -> String {
        let name = self.symbols.at(pc.into()).unwrap_or("unknown");
        format!("{pc:#010x} ({name})")
    }

    /// The messages in RTT's first buffer (its control block: 16 bytes of name, two counts, then
    /// for each buffer name, address, size, position of the writer, of the reader, flags).
    fn log(&self, core: &mut Gdb) -> Result<Vec<String>> {
        let [buffer, size, written] = core.words(self.rtt + 28)?;
        if buffer == 0 {
            return Ok(Vec::new());
        }
        ensure!(written <= size, "RTT's buffer is not set up");
        let bytes = core.memory(buffer, written as usize)?;
        let table = Table::parse(self.bytes)?.context("no defmt messages")?;
        let mut decoder = table.new_stream_decoder();
        decoder.received(&bytes);
        let mut lines = Vec::new();
        while let Ok(frame) = decoder.decode() {
            lines.push(self.symbols.named(&line_of(&frame)));
        }
        Ok(lines)
    }
}

/// Registers of the part's peripherals.
struct Peripherals<'a> {
    part: &'a Part,
    values: HashMap<u32, u32>,
    polls: HashMap<(u32, u32), u32>,
}

impl Peripherals<'_> {
    /// Executes the access that has faulted, and returns from the fault. `live` are the registers in
    /// the handler; the others are in the exception's frame: r0 to r3, r12, lr, pc, xPSR.
    fn answer(&mut self, core: &mut Gdb, live: &[u32; 16], image: &Image<'_>) -> Result<()> {
        let mut frame = core.words::<8>(live[SP])?;
        let [r0, r1, r2, r3, r12, lr, pc, xpsr] = frame;
        let mut at_fault = *live;
        at_fault[..4].copy_from_slice(&[r0, r1, r2, r3]);
        at_fault[12..].copy_from_slice(&[r12, stack_before(live[SP], live[LR], xpsr), lr, pc]);
        let halves = image.code_at(pc)?;
        let place = || image.place(pc);
        let Some(access) = access(halves, &at_fault) else {
            bail!("a fault at {} that is no access to a register", place());
        };
        ensure!(
            self.part.owns(access.address),
            "a fault at {}: {access:x?}",
            place()
        );
        let polls = self.polls.entry((pc, access.address)).or_default();
        *polls += 1;
        ensure!(
            *polls < MOST_POLLS,
            "waits for register {:#010x} at {}",
            access.address,
            place()
        );
        let mut results = self.perform(&access, &at_fault);
        results.extend(access.written_back);
        for (register, value) in results {
            let slot = match register {
                0..4 => Some(register),
                12 => Some(4),
                LR => Some(5),
                SP | PC => bail!("an access at {} that changes r{register}", place()),
                _ => None,
            };
            match slot {
                Some(slot) => frame[slot] = value,
                None => core.set_register(register, value)?,
            }
        }
        frame[6] = pc + access.len;
        frame[7] = after_if_then(xpsr);
        core.write(live[SP], &frame.map(u32::to_le_bytes).concat())?;
        core.set_register(PC, self.part.free_flash + 2)
    }

    /// Loads from a register at whose address the machine has one of its own. The core is before
    /// the load.
    fn answer_watched(
        &mut self,
        core: &mut Gdb,
        live: &[u32; 16],
        image: &Image<'_>,
    ) -> Result<()> {
        let pc = live[PC];
        let load = access(image.code_at(pc)?, live).filter(|access| !access.is_store);
        let load = load.with_context(|| format!("stopped at {}", image.place(pc)))?;
        let watched = self.part.watched.iter().find(|(at, _)| *at == load.address);
        let (_, value) = watched.with_context(|| format!("{load:x?} at {}", image.place(pc)))?;
        core.set_register(load.registers[0], *value)?;
        core.set_register(PC, pc + load.len)
    }

    /// Reads or writes registers; returns the loaded values.
    fn perform(&mut self, access: &Access, core: &[u32; 16]) -> Vec<(usize, u32)> {
        let addresses = (access.address..).step_by(access.size as usize);
        let mut loaded = Vec::new();
        for (&register, address) in access.registers.iter().zip(addresses) {
            if access.is_store {
                self.store(address, access.size, core[register]);
            } else {
                let bits = 32 - 8 * access.size;
                let value = self.load(address) << bits;
                let value = match access.is_signed {
                    true => (value as i32 >> bits) as u32,
                    false => value >> bits,
                };
                loaded.push((register, value));
            }
        }
        loaded
    }

    /// The register at `address`; its lowest byte is the one there.
    fn load(&self, address: u32) -> u32 {
        let word = self.register(address) & !3;
        let set = self.part.always_set.iter().filter(|(at, _)| *at == word);
        let set = set.fold(0, |bits, (_, more)| bits | more);
        let mut value = self.values.get(&word).copied().unwrap_or(0) | set;
        for (_, mask, places) in (self.part.follows.iter()).filter(|(at, ..)| *at == word) {
            value = value & !(mask << places) | (value & mask) << places;
        }
        for (_, of, mask) in (self.part.selected.iter()).filter(|(at, ..)| *at == word) {
            value = 1 << (self.values.get(of).copied().unwrap_or(0) & mask);
        }
        value >> (8 * (address & 3))
    }

    fn store(&mut self, address: u32, size: u32, value: u32) {
        let word = self.register(address) & !3;
        let old = self.values.entry(word).or_default();
        let shift = 8 * (address & 3);
        let mask = (u32::MAX >> (32 - 8 * size)) << shift;
        let value = value << shift & mask;
        let alias = if self.part.has_aliases {
            address >> 12 & 3
        } else {
            0
        };
        *old = match alias {
            0 => *old & !mask | value,
            1 => *old ^ value,
            2 => *old | value,
            _ => *old & !value,
        };
    }

    /// The address of the register that an alias is of.
    fn register(&self, address: u32) -> u32 {
        match self.part.has_aliases {
            true => address & !0x3000,
            false => address,
        }
    }
}

/// The stack pointer before the exception whose frame is at `frame` (Armv7-M ARM, B1.5.6).
fn stack_before(frame: u32, exception_return: u32, xpsr: u32) -> u32 {
    let has_floats = exception_return & 1 << 4 == 0;
    let is_padded = xpsr & 1 << 9 != 0;
    frame + if has_floats { 0x68 } else { 0x20 } + 4 * u32::from(is_padded)
}

/// The program status register after one more instruction of an if-then block (Armv7-M ARM,
/// A7.3.3).
pub(crate) fn after_if_then(xpsr: u32) -> u32 {
    const FIELDS: u32 = 0x0600_fc00;
    let state = xpsr >> 8 & 0xfc | xpsr >> 25 & 3;
    let next = match state & 7 {
        0 => 0,
        _ => state & 0xe0 | state << 1 & 0x1f,
    };
    xpsr & !FIELDS | (next & 0xfc) << 8 | (next & 3) << 25
}
