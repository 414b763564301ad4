//! Limits of the format, as in `docs/model-format.md`.

/// The first bytes of a model file.
pub const MAGIC: [u8; 8] = *b"PUSHTPTM";
/// Newest version of the format.
pub const FORMAT_VERSION: u32 = 4;
/// Oldest version that is read: without the section `BITS`, all weights have 8 bits.
pub const OLDEST_FORMAT_VERSION: u32 = 3;

/// Largest length of a window of observations, `To x Do`.
pub const MAX_WINDOW_LEN: usize = 1 << 12;
/// Largest length of an action (`Da`).
pub const MAX_ACTION_DIM: usize = 64;
/// Largest horizon (`Tp`).
pub const MAX_HORIZON: usize = 256;
/// Largest number of levels of a U-Net.
pub const MAX_LEVELS: usize = 6;
/// Largest number of channels of a level.
pub const MAX_CHANNELS: usize = 1 << 12;
/// Largest number of taps of a convolution.
pub const MAX_KERNEL_SIZE: usize = 9;
/// Largest number of passes per plan.
pub const MAX_PASSES: usize = 1000;
/// Largest number of binary places of activations: a value is `i16 / 2^exponent`.
pub const MAX_ACTIVATION_EXPONENT: u32 = 16;
/// Largest number of binary places of a FiLM projection.
pub const MAX_FILM_EXPONENT: u32 = 15;
/// Largest number of binary places of a value of an observation or action.
pub const MAX_VALUE_EXPONENT: u32 = 30;
/// Longest name of a value or task, bytes.
pub const MAX_NAME_LEN: usize = 32;
/// Longest unit, bytes.
pub const MAX_UNIT_LEN: usize = 16;

// What the parser computes fits a `usize` of 32 bits, whatever the file says.
const _: () = {
    const MOST_BYTES: u64 = 1 << 32;
    // After a skip is joined, a tensor has twice the channels of a level.
    let channels = 2 * MAX_CHANNELS as u64;
    let window = MAX_KERNEL_SIZE as u64 * channels;
    let rows = 2 * MAX_CHANNELS as u64;
    assert!(rows * (12 + window) < MOST_BYTES);
    assert!(2 * rows * (MAX_PASSES as u64) < MOST_BYTES);
    assert!((MAX_WINDOW_LEN as u64) * (MAX_WINDOW_LEN as u64) < MOST_BYTES);
    // A tensor with its padding, and three buffers and the skips of such, in 16 bits.
    let tensor = (MAX_HORIZON as u64 + 2 * MAX_KERNEL_SIZE as u64) * channels;
    assert!(2 * (3 + MAX_LEVELS as u64) * tensor < MOST_BYTES);
    assert!(window * 4 * 4 < MOST_BYTES);
};
