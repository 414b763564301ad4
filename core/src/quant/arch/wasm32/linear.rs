//! The linear product by `i32x4.dot_i16x8_s`: eight products per instruction.
//!
//! Four windows, of one environment or of several, share the load of a row. They are read where they
//! are, without a panel.
#![allow(unsafe_code)]

use crate::quant::arch::in_place::{Dots, TILE, in_tiles, multiply};
use crate::quant::kernels::linear::weights::Lanes;
use crate::quant::kernels::linear::{LANES, Linear, LinearKernel, Product};
use core::arch::wasm32::{
    i8x16_shuffle, i16x8_extend_low_i8x16, i32x4_add, i32x4_dot_i16x8, i32x4_extract_lane,
    i32x4_splat, i64x2_splat, v128, v128_load,
};

/// The product by `i32x4.dot_i16x8_s`.
pub(crate) struct DotI16;

impl LinearKernel for DotI16 {
    const INPUT_SIZE: usize = 0;

    fn apply(linear: Linear<'_>, products: &mut [Product<'_>]) {
        in_tiles::<TILE>(linear, products, |positions| {
            multiply::<Self>(linear, positions);
        });
    }
}

impl Dots for DotI16 {
    #[inline(always)]
    fn dots<const P: usize>(
        weights: impl Iterator<Item = Lanes>,
        windows: [&[i16]; P],
    ) -> [i32; P] {
        let windows = windows.map(|window| window.as_chunks::<LANES>().0);
        let mut sums = [i32x4_splat(0); P];
        for (i, packed) in weights.enumerate() {
            let row = widen(packed);
            for p in 0..P {
                sums[p] = i32x4_add(sums[p], i32x4_dot_i16x8(row, load(&windows[p][i])));
            }
        }
        sums.map(|sum| {
            let low = i32x4_extract_lane::<0>(sum).wrapping_add(i32x4_extract_lane::<1>(sum));
            let high = i32x4_extract_lane::<2>(sum).wrapping_add(i32x4_extract_lane::<3>(sum));
            low.wrapping_add(high)
        })
    }
}

/// Eight packed int8 as int16 in the order of the inputs: see
/// [`PACKING`](crate::quant::kernels::linear::PACKING).
#[inline(always)]
fn widen(packed: Lanes) -> v128 {
    let bytes = i64x2_splat(i64::from_le_bytes(packed));
    let in_order = i8x16_shuffle::<0, 2, 1, 3, 4, 6, 5, 7, 0, 0, 0, 0, 0, 0, 0, 0>(bytes, bytes);
    i16x8_extend_low_i8x16(in_order)
}

#[inline(always)]
fn load(inputs: &[i16; LANES]) -> v128 {
    // SAFETY: the reference covers the 16 bytes that are read; the load needs no alignment.
    unsafe { v128_load(inputs.as_ptr().cast()) }
}
