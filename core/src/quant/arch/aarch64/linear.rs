//! The linear product by `SMLAL`: four products per instruction.
//!
//! Eight windows, of one environment or of several, share the load of two rows, and two rows that
//! of a window. Windows are read where they are, without a panel.
#![allow(unsafe_code)]

use crate::quant::arch::in_place::{Position, TILE, in_tiles};
use crate::quant::kernels::linear::weights::WeightBits;
use crate::quant::kernels::linear::{LANES, Linear, LinearKernel, Product, Row};
use core::arch::aarch64::{
    int8x8_t, int8x16_t, int16x8_t, int32x4_t, uint8x16_t, vaddq_s32, vand_s8, vcombine_s8,
    vcombine_s32, vdup_n_s8, vdup_n_s32, vdupq_n_s32, vdupq_n_s64, vget_low_s8, vget_low_s16,
    vget_low_s32, vld1_s8, vld1q_s8, vld1q_s16, vld1q_u8, vmlal_high_s16, vmlal_s16, vmovl_high_s8,
    vmovl_s8, vmull_high_n_s32, vmull_n_s32, vpaddq_s32, vqmovn_s32, vqmovn_s64, vqtbl1q_s8,
    vreinterpret_s8_s32, vrshlq_s64, vshl_n_s8, vst1_s16,
};
use core::array;

/// The product by `SMLAL`.
pub(crate) struct Smlal;

impl LinearKernel for Smlal {
    const INPUT_SIZE: usize = 0;

    fn apply(linear: Linear<'_>, products: &mut [Product<'_>]) {
        in_tiles::<TILE>(linear, products, |positions| {
            // SAFETY: `build.rs` names this folder only where there is NEON.
            unsafe { multiply(linear, positions) }
        });
    }
}

/// All rows at these positions, at most those of a tile.
#[target_feature(enable = "neon")]
fn multiply(linear: Linear<'_>, positions: &mut [Position<'_>]) {
    match linear.bits {
        WeightBits::Four => multiply_by::<Nibbles>(linear, positions),
        WeightBits::Eight => multiply_by::<Bytes>(linear, positions),
    }
}

/// [`multiply`] for weights of one kind.
#[target_feature(enable = "neon")]
fn multiply_by<W: Weights>(linear: Linear<'_>, mut positions: &mut [Position<'_>]) {
    while !positions.is_empty() {
        positions = match positions.len() {
            8.. => some_positions::<8, W>(linear, positions),
            4.. => some_positions::<4, W>(linear, positions),
            2.. => some_positions::<2, W>(linear, positions),
            _ => some_positions::<1, W>(linear, positions),
        };
    }
}

/// The first `P` positions; returns the others.
#[inline]
#[target_feature(enable = "neon")]
fn some_positions<'s, 'p, const P: usize, W: Weights>(
    linear: Linear<'_>,
    positions: &'s mut [Position<'p>],
) -> &'s mut [Position<'p>] {
    let Some((first, rest)) = positions.split_first_chunk_mut::<P>() else {
        return &mut [];
    };
    let windows = first
        .each_ref()
        .map(|(window, _)| &window[..linear.window()]);
    let mut rows = linear.rows();
    let mut channel = 0;
    while let Some(row) = rows.next() {
        let Some(next_row) = rows.next() else {
            some_rows::<1, P, W>([row], channel, windows, first);
            break;
        };
        some_rows::<2, P, W>([row, next_row], channel, windows, first);
        channel += 2;
    }
    rest
}

/// `R` rows, the first of which is `channel`, at `P` positions.
#[inline]
#[target_feature(enable = "neon")]
fn some_rows<const R: usize, const P: usize, W: Weights>(
    rows: [Row<'_>; R],
    channel: usize,
    windows: [&[i16]; P],
    positions: &mut [Position<'_>; P],
) {
    let weights = rows.each_ref().map(|row| row.weights);
    let sums = dots::<R, P, W>(weights, windows);
    for ((row, sums), channel) in rows.iter().zip(sums).zip(channel..) {
        for ((_, places), value) in positions.iter_mut().zip(finish(row, sums)) {
            places[channel] = value;
        }
    }
}

/// Weights in the file.
trait Weights {
    const BITS: WeightBits;

    /// Sixteen weights at `bytes`, in the order of the inputs.
    ///
    /// # Safety
    /// They are there.
    unsafe fn load_16(bytes: *const u8) -> int8x16_t;

    /// Eight weights at `bytes`, in the order of the inputs, in the lower half.
    ///
    /// # Safety
    /// They are there.
    unsafe fn load_8(bytes: *const u8) -> int8x16_t;
}

/// Weights of 8 bits.
struct Bytes;

impl Bytes {
    /// Undoes [`PACKING`](crate::quant::kernels::linear::PACKING).
    const ORDER: [u8; 16] = [0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15];
}

impl Weights for Bytes {
    const BITS: WeightBits = WeightBits::Eight;

    #[inline(always)]
    unsafe fn load_16(bytes: *const u8) -> int8x16_t {
        // SAFETY: the caller's, and there is NEON.
        unsafe { vqtbl1q_s8(vld1q_s8(bytes.cast()), load_order(&Self::ORDER)) }
    }

    #[inline(always)]
    unsafe fn load_8(bytes: *const u8) -> int8x16_t {
        // SAFETY: the caller's, and there is NEON.
        unsafe {
            let packed = vcombine_s8(vld1_s8(bytes.cast()), vdup_n_s8(0));
            vqtbl1q_s8(packed, load_order(&Self::ORDER))
        }
    }
}

/// Weights of 4 bits.
struct Nibbles;

impl Nibbles {
    /// As that of [`Bytes`], for four weights of the lower halves, eight bytes apart from the four
    /// of the upper ones.
    const ORDER: [u8; 16] = [0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15];

    /// The weights in `packed`, in the order of the inputs.
    ///
    /// # Safety
    /// There is NEON.
    #[inline(always)]
    unsafe fn widen(packed: int8x8_t) -> int8x16_t {
        // SAFETY: the caller's.
        unsafe {
            let upper_halves = vdup_n_s8(0xf0_u8 as i8);
            let both = vcombine_s8(vshl_n_s8::<4>(packed), vand_s8(packed, upper_halves));
            vqtbl1q_s8(both, load_order(&Self::ORDER))
        }
    }
}

impl Weights for Nibbles {
    const BITS: WeightBits = WeightBits::Four;

    #[inline(always)]
    unsafe fn load_16(bytes: *const u8) -> int8x16_t {
        // SAFETY: the caller's, and there is NEON.
        unsafe { Self::widen(vld1_s8(bytes.cast())) }
    }

    #[inline(always)]
    unsafe fn load_8(bytes: *const u8) -> int8x16_t {
        // SAFETY: the caller's, and there is NEON.
        unsafe {
            let packed = bytes.cast::<i32>().read_unaligned();
            Self::widen(vreinterpret_s8_s32(vdup_n_s32(packed)))
        }
    }
}

/// # Safety
/// There is NEON.
#[inline(always)]
unsafe fn load_order(order: &[u8; 16]) -> uint8x16_t {
    // SAFETY: the reference covers the 16 bytes that are read.
    unsafe { vld1q_u8(order.as_ptr()) }
}

/// Dot products, in four parts each, of `R` packed rows with `P` windows of their length.
#[inline]
#[target_feature(enable = "neon")]
fn dots<const R: usize, const P: usize, W: Weights>(
    weights: [&[u8]; R],
    windows: [&[i16]; P],
) -> [[int32x4_t; P]; R] {
    const WIDE: usize = 2 * LANES;
    let len = windows[0].len();
    assert!(windows.iter().all(|window| window.len() == len));
    assert!(weights.iter().all(|row| row.len() == W::BITS.size(len)));
    let mut sums = [[vdupq_n_s32(0); P]; R];
    let mut at = 0;
    while at + WIDE <= len {
        // SAFETY: the loop's condition; every window has `len` inputs, and each row as many weights.
        unsafe {
            let rows = weights.map(|row| widen(W::load_16(row.as_ptr().add(W::BITS.size(at)))));
            for p in 0..P {
                let inputs = windows[p].as_ptr().add(at);
                let inputs = [vld1q_s16(inputs), vld1q_s16(inputs.add(LANES))];
                for r in 0..R {
                    sums[r][p] = add_products(sums[r][p], rows[r][0], inputs[0]);
                    sums[r][p] = add_products(sums[r][p], rows[r][1], inputs[1]);
                }
            }
        }
        at += WIDE;
    }
    if at < len {
        // SAFETY: a whole number of `LANES` are left.
        unsafe {
            let rows = weights.map(|row| widen(W::load_8(row.as_ptr().add(W::BITS.size(at)))));
            for p in 0..P {
                let inputs = vld1q_s16(windows[p].as_ptr().add(at));
                for r in 0..R {
                    sums[r][p] = add_products(sums[r][p], rows[r][0], inputs);
                }
            }
        }
    }
    sums
}

/// Sixteen int8 as int16.
#[inline]
#[target_feature(enable = "neon")]
fn widen(weights: int8x16_t) -> [int16x8_t; 2] {
    [vmovl_s8(vget_low_s8(weights)), vmovl_high_s8(weights)]
}

/// Adds eight products to four sums.
#[inline]
#[target_feature(enable = "neon")]
fn add_products(sums: int32x4_t, row: int16x8_t, inputs: int16x8_t) -> int32x4_t {
    let sums = vmlal_s16(sums, vget_low_s16(row), vget_low_s16(inputs));
    vmlal_high_s16(sums, row, inputs)
}

/// `factor * (bias + sum)`, rounded and saturated, for sums in four parts.
///
/// `SRSHL` to the right rounds as
/// [`rounding_shift_right`](crate::quant::kernels::rounding::rounding_shift_right), by any shift.
#[inline]
#[target_feature(enable = "neon")]
fn finish<const P: usize>(row: &Row<'_>, sums: [int32x4_t; P]) -> [i16; P] {
    const QUAD: usize = 4;
    let zero = vdupq_n_s32(0);
    let shift = vdupq_n_s64(-i64::from(row.factor.shift));
    let mut all = [0; P];
    for (places, parts) in all.chunks_mut(QUAD).zip(sums.chunks(QUAD)) {
        let [a, b, c, d] = array::from_fn(|i| parts.get(i).copied().unwrap_or(zero));
        let sums = vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
        let values = vaddq_s32(sums, vdupq_n_s32(row.bias));
        let low = vmull_n_s32(vget_low_s32(values), row.factor.multiplier);
        let high = vmull_high_n_s32(values, row.factor.multiplier);
        let [low, high] = [low, high].map(|product| vqmovn_s64(vrshlq_s64(product, shift)));
        let mut values = [0; QUAD];
        // SAFETY: `values` has the 8 bytes that are written.
        unsafe { vst1_s16(values.as_mut_ptr(), vqmovn_s32(vcombine_s32(low, high))) };
        places.copy_from_slice(&values[..places.len()]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::arch::in_place::tests::compare;

    #[test]
    fn products_by_neon_have_the_bits_of_the_reference() {
        compare(&[("NEON", |linear, positions| {
            // SAFETY: as in `apply`.
            unsafe { multiply(linear, positions) }
        })]);
    }
}
