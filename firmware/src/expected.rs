//! The model, and what the host makes of it: `build.rs` computes the digests when the firmware is built.

/// The integer policy that the firmware carries.
pub static MODEL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/model.ptm"));

include!(concat!(env!("OUT_DIR"), "/expected.rs"));
