//! Working memory of the kernels: plain words that the caller hands in, read as what each kernel needs.
//!
//! A product lays out its windows in it (an im2col of a tile of up to four positions); normalisation, which runs between two
//! products, keeps the factors of its channels there. Nothing is kept from one call to the next.

use super::linear::Input;
use super::norm;
use bytemuck::Pod;

/// The words; every plan has its own.
pub(crate) type Panel = [u64];

/// With more windows than fit this, a tile has fewer positions: two windows of a convolution of 3 taps over 256 channels,
/// or four over 128, in 16 bits.
const LARGEST_TILE_BYTES: usize = 3072;

/// Words of a [`Panel`] for a model whose largest window has so many inputs.
///
/// It holds at least one position of it, four if they fit [`LARGEST_TILE_BYTES`], and what normalisation needs.
pub(crate) const fn panel_len(largest_window: usize) -> usize {
    let window_bytes = largest_window * size_of::<Input>();
    let tile_bytes = max(window_bytes, min(4 * window_bytes, LARGEST_TILE_BYTES));
    max(tile_bytes.div_ceil(size_of::<u64>()), norm::Memory::LEN)
}

const fn min(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// The words as values, whole numbers of which fill them.
#[inline(always)]
pub(crate) fn view<T: Pod>(words: &mut [u64]) -> &mut [T] {
    const { assert!(align_of::<T>() <= align_of::<u64>()) };
    let values = bytemuck::try_cast_slice_mut(words);
    debug_assert!(values.is_ok());
    values.unwrap_or_default()
}
