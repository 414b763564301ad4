//! Working memory of a kernel: words that the caller owns, viewed as what the kernel at work needs.
//!
//! The linear product lays windows of a tile in them (im2col); normalisation, which runs between
//! two products, keeps the factors of its channels there. Nothing is kept from one call to the
//! next.

use bytemuck::Pod;

/// As long as [`panel_len`](super::dispatch::panel_len) says.
pub(crate) type Panel = [u64];

/// The words as values; a whole number of values must fill them.
#[inline(always)]
pub(crate) fn view<T: Pod>(words: &mut [u64]) -> &mut [T] {
    const { assert!(align_of::<T>() <= align_of::<u64>()) };
    let values = bytemuck::try_cast_slice_mut(words);
    debug_assert!(values.is_ok());
    values.unwrap_or_default()
}
