//! The linear product by `VPDPWSSD` of AVX-512 VNNI, 32 products per instruction, or by `PMADDWD`:
//! sixteen with AVX2, eight with SSE2.
//!
//! Eight windows, of one environment or of several, share the load of a row. They are read where
//! they are, without a panel.
#![allow(unsafe_code)]

/// The loops over weights' bits, positions and rows, compiled for `$features`, around `dots` of the
/// module, its `Weights`, `Bytes` and `Nibbles`. A function generic over these could not be inlined.
macro_rules! over_tiles {
    ($features:literal) => {
        /// All rows at these positions, at most [`TILE`].
        #[target_feature(enable = $features)]
        pub(crate) fn multiply(linear: Linear<'_>, positions: &mut [Position<'_>]) {
            match linear.bits {
                WeightBits::Four => multiply_by::<Nibbles>(linear, positions),
                WeightBits::Eight => multiply_by::<Bytes>(linear, positions),
            }
        }

        /// [`multiply`] for weights of one kind.
        #[target_feature(enable = $features)]
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
        #[target_feature(enable = $features)]
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
            for (channel, row) in linear.rows().enumerate() {
                let sums = dots::<P, W>(row.weights, windows);
                let values = if linear.is_upper_word_enough {
                    finish_by_upper_words(&row, sums)
                } else {
                    finish(&row, to_array(sums))
                };
                for ((_, places), value) in first.iter_mut().zip(values) {
                    places[channel] = value;
                }
            }
            rest
        }
    };
}

mod avx2;
mod avx512;
mod sse2;

use crate::cpu::{has_avx2, has_avx512_vnni};
use crate::quant::arch::in_place::{Position, TILE, finish, in_tiles, multiply};
use crate::quant::kernels::linear::{Linear, LinearKernel, Product};

/// The product by the widest of them that the processor has.
pub(crate) struct Widest;

impl LinearKernel for Widest {
    const INPUT_SIZE: usize = 0;

    fn apply(linear: Linear<'_>, products: &mut [Product<'_>]) {
        if has_avx512_vnni() {
            // SAFETY: the processor has it, and the system keeps its registers.
            in_tiles(linear, products, |positions| unsafe {
                avx512::multiply(linear, positions);
            });
        } else if has_avx2() {
            // SAFETY: as above.
            in_tiles(linear, products, |positions| unsafe {
                avx2::multiply(linear, positions);
            });
        } else {
            in_tiles(linear, products, |positions| {
                multiply::<sse2::Sse2>(linear, positions)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::arch::in_place::tests::{Kernel, compare};

    extern crate std;

    #[test]
    fn whichever_instructions_there_are_the_bits_are_the_references() {
        let mut kernels: std::vec::Vec<(&str, Kernel)> =
            std::vec![("SSE2", multiply::<sse2::Sse2>)];
        if has_avx2() {
            // SAFETY: as in `apply`.
            kernels.push(("AVX2", |linear, positions| unsafe {
                avx2::multiply(linear, positions);
            }));
        }
        if has_avx512_vnni() {
            // SAFETY: as in `apply`.
            kernels.push(("AVX-512 VNNI", |linear, positions| unsafe {
                avx512::multiply(linear, positions);
            }));
        }
        compare(&kernels);
    }
}
