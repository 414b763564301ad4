//! Parts of slices without a panic. The parser has proved that they are in range; debug builds
//! check it, release builds return what is there.

/// `values[start..]`.
#[inline(always)]
pub(crate) fn from<T>(values: &[T], start: usize) -> &[T] {
    debug_assert!(start <= values.len());
    values.get(start..).unwrap_or_default()
}

/// `values[start..start + len]`.
#[inline(always)]
pub(crate) fn part<T>(values: &[T], start: usize, len: usize) -> &[T] {
    from(values, start).get(..len).unwrap_or_else(|| {
        debug_assert!(false, "{len} values from {start}");
        &[]
    })
}

/// `&mut values[start..]`.
#[inline(always)]
pub(crate) fn from_mut<T>(values: &mut [T], start: usize) -> &mut [T] {
    debug_assert!(start <= values.len());
    values.get_mut(start..).unwrap_or_default()
}

/// `&mut values[start..start + len]`.
#[inline(always)]
pub(crate) fn part_mut<T>(values: &mut [T], start: usize, len: usize) -> &mut [T] {
    from_mut(values, start).get_mut(..len).unwrap_or_else(|| {
        debug_assert!(false, "{len} values from {start}");
        &mut []
    })
}

/// `values.split_at(at)`.
#[inline(always)]
pub(crate) fn split<T>(values: &[T], at: usize) -> (&[T], &[T]) {
    debug_assert!(at <= values.len());
    values.split_at(at.min(values.len()))
}

/// `values.split_at_mut(at)`.
#[inline(always)]
pub(crate) fn split_mut<T>(values: &mut [T], at: usize) -> (&mut [T], &mut [T]) {
    debug_assert!(at <= values.len());
    let at = at.min(values.len());
    values.split_at_mut(at)
}

#[cfg(kernels = "armv81m")]
pub(crate) use crate::quant::arch::armv81m::memory::{copy, zero};

/// Values per copy: for eight, ARMv6-M, which needs aligned words, would call a function.
#[cfg(not(kernels = "armv81m"))]
const COPIED: usize = if cfg!(kernels = "armv6m") { 1 } else { 8 };

/// `to.copy_from_slice(values)`, for rows above all, whose lengths are multiples of eight.
#[cfg(not(kernels = "armv81m"))]
#[inline(never)]
pub(crate) fn copy<T: Copy>(values: &[T], to: &mut [T]) {
    debug_assert!(values.len() == to.len());
    let (eights, rest) = values.as_chunks::<COPIED>();
    let (places, last_places) = to.as_chunks_mut::<COPIED>();
    for (place, eight) in places.iter_mut().zip(eights) {
        *place = *eight;
    }
    for (place, value) in last_places.iter_mut().zip(rest) {
        *place = *value;
    }
}

/// `values.fill(0)`.
#[cfg(not(kernels = "armv81m"))]
#[inline(always)]
pub(crate) fn zero(values: &mut [i16]) {
    values.fill(0);
}

/// `values.chunks_exact(len)`; `len` is not 0.
#[inline(always)]
pub(crate) fn rows<T>(values: &[T], len: usize) -> core::slice::ChunksExact<'_, T> {
    debug_assert!(len > 0);
    values.chunks_exact(len.max(1))
}

/// `values.chunks_exact_mut(len)`; `len` is not 0.
#[inline(always)]
pub(crate) fn rows_mut<T>(values: &mut [T], len: usize) -> core::slice::ChunksExactMut<'_, T> {
    debug_assert!(len > 0);
    values.chunks_exact_mut(len.max(1))
}
