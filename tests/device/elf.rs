//! What an ELF file takes of a board's memories.

use anyhow::{Context, Result};
use object::read::elf::{ElfFile32, ProgramHeader};
use object::{Object, ObjectSection, SectionFlags, elf};
use std::path::Path;

/// Bytes that a firmware binary occupies, the stack not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Code, constants and the initial values of variables.
    pub flash_bytes: u64,
    /// Variables.
    pub ram_bytes: u64,
}

/// Measures the ELF file at `path`.
///
/// # Errors
/// A file that cannot be read or is not a 32-bit ELF file.
pub fn footprint(path: &Path) -> Result<Footprint> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let file = ElfFile32::<object::Endianness>::parse(bytes.as_slice())
        .with_context(|| path.display().to_string())?;
    let endian = file.endian();
    let flash_bytes = file
        .elf_program_headers()
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_LOAD)
        .map(|segment| u64::from(segment.p_filesz(endian)))
        .sum();
    let ram_bytes = file
        .sections()
        .filter(|section| is_variable(section.flags()))
        .map(|section| section.size())
        .sum();
    Ok(Footprint {
        flash_bytes,
        ram_bytes,
    })
}

fn is_variable(flags: SectionFlags) -> bool {
    let wanted = u64::from(elf::SHF_ALLOC | elf::SHF_WRITE);
    matches!(flags, SectionFlags::Elf { sh_flags } if sh_flags & wanted == wanted)
}
