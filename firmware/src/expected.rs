//! The model, and what the host makes of it: `build.rs` computes the digests when the firmware is built.

/// Puts the file where a word may lie: the kernel of Cortex-M0 loads words.
#[repr(align(4))]
struct Aligned<T>(T);

/// A model file in a section of its own, which a board's memory map may put somewhere else than the code.
macro_rules! model {
    ($path:expr) => {{
        const FILE: &[u8] = include_bytes!($path);
        // SAFETY: nothing but the section's name is given; what it holds is constant data.
        #[allow(unsafe_code)]
        #[unsafe(link_section = ".rodata.model")]
        static ALIGNED: Aligned<[u8; FILE.len()]> = Aligned(*include_bytes!($path));
        &ALIGNED.0
    }};
}

/// The integer policy that the firmware carries.
pub static MODEL: &[u8] = model!(concat!(env!("OUT_DIR"), "/model.ptm"));

/// Both shipped policies, by the names that the log gives them.
pub static MODELS: [(&str, &[u8]); 2] = [
    ("best", model!("../../models/pusht.ptm")),
    ("small", model!("../../models/pusht-small.ptm")),
];

include!(concat!(env!("OUT_DIR"), "/expected.rs"));
