//! The policy that comes with the program; `models/README.md` says how it was made.

/// The integer policy's model file.
pub static INTEGER_MODEL: &[u8] = include_bytes!("../../models/pusht.ptm");

/// Its float twin.
pub static FLOAT_POLICY: &[u8] = include_bytes!("../../models/pusht.safetensors");
