//! The embedded models and the values that the host computes for them: `build.rs` writes the
//! digests when the firmware is built.

/// Aligns the file to words, since the kernel of the Cortex-M0 loads words.
#[repr(align(4))]
struct Aligned<T>(T);

/// Embeds a model file in a section of its own, which the memory map of a board may place apart
/// from the code.
macro_rules! model {
    ($path:expr) => {{
        const FILE: &[u8] = include_bytes!($path);
        // SAFETY: only the section's name is set; it holds constant data.
        #[allow(unsafe_code)]
        #[unsafe(link_section = ".rodata.model")]
        static ALIGNED: Aligned<[u8; FILE.len()]> = Aligned(*include_bytes!($path));
        &ALIGNED.0
    }};
}

/// The integer policy that the firmware runs.
pub static MODEL: &[u8] = model!(concat!(env!("OUT_DIR"), "/model.ptm"));

/// Both shipped policies, with their names in the log.
pub static MODELS: [(&str, &[u8]); 2] = [
    ("best", model!("../../models/pusht.ptm")),
    ("small", model!("../../models/pusht-small.ptm")),
];

include!(concat!(env!("OUT_DIR"), "/expected.rs"));
