//! The linear product by `VPDPWSSD` of AVX-512 VNNI, 32 products per instruction, or by `PMADDWD`:
//! sixteen with AVX2, eight with SSE2.
//!
//! Several windows, of one environment or of several, share the load of a row. AVX2's and SSE2's
//! are read where they are, without a panel.
#![allow(unsafe_code)]

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
            let mut memory = None;
            // SAFETY: the processor has it, and the system keeps its registers.
            in_tiles::<{ avx512::TILE }>(linear, products, |positions| unsafe {
                avx512::multiply(linear, positions, &mut memory);
            });
        } else if has_avx2() {
            // SAFETY: as above.
            in_tiles::<TILE>(linear, products, |positions| unsafe {
                avx2::multiply(linear, positions);
            });
        } else {
            in_tiles::<TILE>(linear, products, |positions| {
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
                avx512::multiply(linear, positions, &mut None);
            }));
        }
        compare(&kernels);
    }
}
