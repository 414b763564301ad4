//! The shipped policy; `models/README.md` describes its origin.

/// Model file of the integer policy.
pub static INTEGER_MODEL: &[u8] = include_bytes!(concat!(env!("PUSHT_MODELS"), "/pusht.ptm"));

/// File of its float version.
pub static FLOAT_POLICY: &[u8] =
    include_bytes!(concat!(env!("PUSHT_MODELS"), "/pusht.safetensors"));
