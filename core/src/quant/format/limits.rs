//! What the format allows: `docs/model-format.md`.

/// The first bytes of a model file.
pub const MAGIC: [u8; 8] = *b"PUSHTPTM";
/// The version of the format that this program reads and writes.
pub const FORMAT_VERSION: u32 = 3;

// No product of two of these overflows 32 bits with the bytes of a value.
/// Most values of a window of observations, `To x Do`.
pub const MAX_WINDOW_LEN: usize = 1 << 12;
/// Most values of an action.
pub const MAX_ACTION_DIM: usize = 64;
/// Longest horizon (`Tp`).
pub const MAX_HORIZON: usize = 256;
/// Most levels of a U-Net.
pub const MAX_LEVELS: usize = 6;
/// Most channels of a level.
pub const MAX_CHANNELS: usize = 1 << 12;
/// Most taps of a convolution.
pub const MAX_KERNEL_SIZE: usize = 9;
/// Most passes of a plan.
pub(crate) const MAX_PASSES: usize = 1000;
/// Most binary places of a tensor of activations: a value is `i16 / 2^exponent`.
pub const MAX_ACTIVATION_EXPONENT: u32 = 16;
/// Most binary places of a FiLM projection.
pub const MAX_FILM_EXPONENT: u32 = 15;
/// Most binary places of a value of an observation or an action.
pub const MAX_VALUE_EXPONENT: u32 = 30;
/// Longest name of a value or task, bytes.
pub const MAX_NAME_LEN: usize = 32;
/// Longest unit, bytes.
pub const MAX_UNIT_LEN: usize = 16;
