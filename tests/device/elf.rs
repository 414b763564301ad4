//! Sizes and symbols of an ELF file.

use crate::regular_file;
use anyhow::{Context, Result};
use object::read::elf::{ElfFile32, ProgramHeader};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind, elf};
use std::ops::Range;
use std::path::Path;

/// Bytes that a firmware binary occupies, without the stack.
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
/// If the file cannot be read or is not a 32-bit ELF file.
pub fn footprint(path: &Path) -> Result<Footprint> {
    let bytes = regular_file::read(path)?;
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

/// Bytes of the stack of the ELF file at `path`.
///
/// # Errors
/// As [`footprint`], and if the file does not say where its stack is.
pub fn stack_len(path: &Path) -> Result<u64> {
    let [end, start] = addresses(path, ["_stack_end", "_stack_start"])?;
    Ok((start - end).into())
}

/// What is flashed of the ELF file at `path`: its segments with their addresses. Its symbols and
/// source locations stay on the host.
///
/// # Errors
/// As [`footprint`].
pub fn image(path: &Path) -> Result<Vec<(u64, Vec<u8>)>> {
    let bytes = regular_file::read(path)?;
    let file = ElfFile32::<object::Endianness>::parse(bytes.as_slice())
        .with_context(|| path.display().to_string())?;
    let endian = file.endian();
    let loaded = file.elf_program_headers().iter();
    let loaded = loaded.filter(|segment| segment.p_type(endian) == elf::PT_LOAD);
    loaded
        .map(|segment| {
            let data = segment.data(endian, bytes.as_slice());
            let data = data.ok().context("a segment reaches past the file")?;
            Ok((segment.p_paddr(endian).into(), data.to_vec()))
        })
        .collect()
}

fn is_variable(flags: SectionFlags) -> bool {
    let wanted = u64::from(elf::SHF_ALLOC | elf::SHF_WRITE);
    matches!(flags, SectionFlags::Elf { sh_flags } if sh_flags & wanted == wanted)
}

/// Addresses of symbols in the ELF file at `path`.
///
/// # Errors
/// If the file cannot be read, or has no such symbol.
pub(crate) fn addresses<const N: usize>(path: &Path, names: [&str; N]) -> Result<[u32; N]> {
    let bytes = regular_file::read(path)?;
    let file = object::File::parse(bytes.as_slice())?;
    let mut addresses = [0; N];
    for (address, name) in addresses.iter_mut().zip(names) {
        let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
        let symbol = symbol.with_context(|| format!("{} has no {name}", path.display()))?;
        *address = u32::try_from(symbol.address())?;
    }
    Ok(addresses)
}

/// The functions of an ELF file.
#[derive(Debug)]
pub struct Symbols(Vec<(Range<u64>, String)>);

impl Symbols {
    /// Reads the functions of the ELF file in `bytes`.
    ///
    /// # Errors
    /// If `bytes` are not an ELF file.
    pub fn of(bytes: &[u8]) -> Result<Self> {
        let file = object::File::parse(bytes)?;
        let functions = file.symbols().filter(|s| s.kind() == SymbolKind::Text);
        let named = functions.filter_map(|symbol| {
            // The lowest bit of an address marks Thumb code.
            let from = symbol.address() & !1;
            Some((from..from + symbol.size(), demangled(symbol.name().ok()?)))
        });
        Ok(Self(named.collect()))
    }

    /// The function that contains `address`.
    pub fn at(&self, address: u64) -> Option<&str> {
        let (_, name) = self.0.iter().find(|(range, _)| range.contains(&address))?;
        Some(name)
    }

    /// Inserts the name of the function after each `pc=ADDRESS` in `line`.
    pub(crate) fn named(&self, line: &str) -> String {
        let words = line.split(' ').map(|word| {
            let address = word.strip_prefix("pc=0x");
            let address = address.and_then(|hex| u64::from_str_radix(hex, 16).ok());
            match address.and_then(|address| self.at(address)) {
                Some(name) => format!("{word} ({name})"),
                None => word.to_owned(),
            }
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

/// The name of a symbol as in the source, without the hash.
pub fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}
