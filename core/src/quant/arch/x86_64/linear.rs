//! The linear product by `PMADDWD`: sixteen products per instruction with AVX2, eight with SSE2.
//!
//! Eight windows, of one environment or of several, share the load of a row. They are read where
//! they are, without a panel.
#![allow(unsafe_code)]

mod avx2;
mod sse2;

use crate::cpu::has_avx2;
use crate::quant::arch::in_place::{Position, TILE, finish, in_tiles, multiply};
use crate::quant::kernels::linear::{Linear, LinearKernel, Product};

/// The product by `PMADDWD`.
pub(crate) struct Pmaddwd;

impl LinearKernel for Pmaddwd {
    const INPUT_SIZE: usize = 0;

    fn apply(linear: Linear<'_>, products: &mut [Product<'_>]) {
        if has_avx2() {
            // SAFETY: the processor has AVX2, and the system keeps its registers.
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
        compare(&kernels);
    }
}
