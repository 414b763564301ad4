//! The model, and what the host makes of it: `build.rs` computes the digests when the firmware is built.

/// Puts the file where a word may lie: the kernel of Cortex-M0 loads words.
#[repr(align(4))]
struct Aligned<T: ?Sized>(T);

static ALIGNED: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/model.ptm")));

/// The integer policy that the firmware carries.
pub static MODEL: &[u8] = &ALIGNED.0;

include!(concat!(env!("OUT_DIR"), "/expected.rs"));
