//! UF2, the format of files that a board's boot ROM takes as a USB drive
//! (<https://github.com/microsoft/uf2>): blocks of 512 bytes, each with a part of the flash and its
//! address.

use crate::Board;
use anyhow::{Context, Result};
use object::elf;
use object::read::elf::{ElfFile32, ProgramHeader};
use std::collections::BTreeMap;

/// Bytes of flash in a block, as the RP2040 and RP2350 need it (RP2040 datasheet, 2.8.4.2).
const PAGE_LEN: usize = 256;
/// Bytes that a block has room for.
const DATA_LEN: usize = 476;
const MAGIC: [u32; 2] = [0x0a32_4655, 0x9e5d_5157];
const FINAL_MAGIC: u32 = 0x0ab1_6f30;
/// The block names the family of the chip.
const HAS_FAMILY: u32 = 0x2000;

/// The UF2 file of an ELF file for `board`.
///
/// # Errors
/// If the boot ROM of the board takes no such files, or `bytes` are not an ELF file.
pub fn uf2(board: &Board, bytes: &[u8]) -> Result<Vec<u8>> {
    let family = uf2_family(board)?;
    let pages = pages(bytes)?;
    let mut file = Vec::new();
    for (index, (address, page)) in (0_u32..).zip(&pages) {
        let fields = [
            HAS_FAMILY,
            *address,
            PAGE_LEN as u32,
            index,
            pages.len() as u32,
            family,
        ];
        let head = MAGIC.into_iter().chain(fields).flat_map(u32::to_le_bytes);
        file.extend(head);
        file.extend(page);
        file.extend([0; DATA_LEN - PAGE_LEN]);
        file.extend(FINAL_MAGIC.to_le_bytes());
    }
    Ok(file)
}

/// The number of the chip's family (`utils/uf2families.json` of the specification; RP2350
/// datasheet, 5.5.3: a secure image for Arm).
///
/// # Errors
/// If the boot ROM of the board takes no such files.
pub fn uf2_family(board: &Board) -> Result<u32> {
    match board.name {
        "pico" => Some(0xe48b_ff56),
        "pico2" => Some(0xe48b_ff59),
        _ => None,
    }
    .with_context(|| {
        format!(
            "{} takes no UF2 files; boards that do are pico, pico2",
            board.name
        )
    })
}

/// What the ELF file has for the flash, by address: whole pages, with zeros in gaps.
fn pages(bytes: &[u8]) -> Result<BTreeMap<u32, [u8; PAGE_LEN]>> {
    let file = ElfFile32::<object::Endianness>::parse(bytes)?;
    let endian = file.endian();
    let mut pages = BTreeMap::new();
    let loaded = file.elf_program_headers().iter();
    for segment in loaded.filter(|segment| segment.p_type(endian) == elf::PT_LOAD) {
        let data = segment.data(endian, bytes);
        let data = data.map_err(|()| anyhow::anyhow!("a segment ends beyond the file"))?;
        for (address, byte) in (segment.p_paddr(endian)..).zip(data) {
            let at = address as usize % PAGE_LEN;
            let page = pages.entry(address - at as u32).or_insert([0; PAGE_LEN]);
            page[at] = *byte;
        }
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file for Arm with one segment of `data` at `address`.
    fn elf_with(address: u32, data: &[u8]) -> Vec<u8> {
        const HEADERS: u32 = 52 + 32;
        let mut file = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let halves = |halves: &[u16]| -> Vec<u8> {
            halves.iter().flat_map(|half| half.to_le_bytes()).collect()
        };
        let words = |words: &[u32]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_le_bytes()).collect()
        };
        file.extend(halves(&[2, 40]));
        file.extend(words(&[1, address, 52, 0, 0]));
        file.extend(halves(&[52, 32, 1, 40, 0, 0]));
        let len = data.len() as u32;
        file.extend(words(&[1, HEADERS, address, address, len, len, 5, 4]));
        file.extend(data);
        file
    }

    #[test]
    fn another_programs_reader_gets_the_flash_back() {
        let data: Vec<u8> = (0..1000).map(|i| i as u8).collect();
        for (name, family) in [("pico", 0xe48b_ff56), ("pico2", 0xe48b_ff59)] {
            let board = Board::named(name).unwrap();
            let file = uf2(&board, &elf_with(0x1000_0100, &data)).unwrap();
            let (flash, families) = uf2_decode::convert_from_uf2(&file).unwrap();
            assert_eq!(families.get(&family), Some(&0x1000_0100));
            assert_eq!(flash[..1000], data);
            assert!(flash[1000..].iter().all(|byte| *byte == 0));
        }
        let board = Board::named("nrf52840-dk").unwrap();
        assert!(uf2(&board, &elf_with(0, &data)).is_err());
    }
}
