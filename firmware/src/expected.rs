//! The model, and what the host makes of it: `build.rs` computes the digests when the firmware is built.

/// Puts the file where a word may lie: the kernel of Cortex-M0 loads words.
#[repr(align(4))]
struct Aligned<T>(T);

const FILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/model.ptm"));

// SAFETY: the section's name only lets a board's memory map put the file somewhere else than the code; it is constant data.
#[allow(unsafe_code)]
#[unsafe(link_section = ".rodata.model")]
static ALIGNED: Aligned<[u8; FILE.len()]> =
    Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/model.ptm")));

/// The integer policy that the firmware carries.
pub static MODEL: &[u8] = &ALIGNED.0;

include!(concat!(env!("OUT_DIR"), "/expected.rs"));
