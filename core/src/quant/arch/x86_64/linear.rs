//! The linear product by `PMADDWD`: sixteen products per instruction with AVX2, eight with SSE2.
//!
//! Eight windows, of one environment or of several, share the load of a row. They are read where
//! they are, without a panel.
#![allow(unsafe_code)]

mod avx2;
mod sse2;

use crate::cpu::has_avx2;
use crate::quant::kernels::linear::{Linear, LinearKernel, Outputs, Product, Row, Windows};
use crate::quant::kernels::rounding::saturate_i16;
use heapless::Vec;

/// Positions of a tile: they share the load of a row.
const TILE: usize = 8;

/// A window, and a place for each row's output.
type Position<'p> = (&'p [i16], &'p mut [i16]);

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
                sse2::multiply(linear, positions)
            });
        }
    }
}

/// All positions of all products, a tile at a time.
fn in_tiles(
    linear: Linear<'_>,
    products: &mut [Product<'_>],
    mut multiply: impl FnMut(&mut [Position<'_>]),
) {
    let mut tile = Vec::<Position<'_>, TILE>::new();
    for product in products {
        for position in positions(linear, product) {
            // There is room: it is emptied as soon as it is full.
            let _ = tile.push(position);
            if tile.is_full() {
                multiply(&mut tile);
                tile.clear();
            }
        }
    }
    multiply(&mut tile);
}

/// Each position of a product: `linear.window()` inputs, `linear.n_rows()` outputs.
fn positions<'p>(
    linear: Linear<'_>,
    product: &'p mut Product<'_>,
) -> impl Iterator<Item = Position<'p>> {
    let (window, n_rows) = (linear.window(), linear.n_rows());
    let Windows {
        values,
        step,
        n_positions,
    } = product.windows;
    let Outputs {
        values: places,
        step: place_step,
    } = product.outputs.reborrow();
    let places = places.chunks_mut(place_step.max(1)).take(n_positions);
    places.enumerate().filter_map(move |(position, places)| {
        let start = position * step;
        let both = values
            .get(start..start + window)
            .zip(places.get_mut(..n_rows));
        debug_assert!(both.is_some(), "position {position} is not whole");
        both
    })
}

/// `factor * (bias + sum)`, rounded and saturated, for each sum.
fn finish<const P: usize>(row: &Row<'_>, sums: [i32; P]) -> [i16; P] {
    sums.map(|sum| {
        let value = row.factor.apply(row.bias.wrapping_add(sum));
        saturate_i16(i64::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::kernels::linear::tests::{Lcg, random_rows};
    use crate::quant::kernels::linear::weights::WeightBits;

    extern crate std;
    use std::vec::Vec;

    type Kernel = fn(Linear<'_>, &mut [Position<'_>]);

    fn kernels() -> Vec<(&'static str, Kernel)> {
        let mut kernels: Vec<(&str, Kernel)> = std::vec![("SSE2", sse2::multiply)];
        if has_avx2() {
            // SAFETY: as in `apply`.
            kernels.push(("AVX2", |linear, positions| unsafe {
                avx2::multiply(linear, positions);
            }));
        }
        kernels
    }

    /// `tests/kernels.rs` has more shapes, but only for the kernel that this machine picks.
    #[test]
    fn whichever_instructions_there_are_the_bits_are_the_references() {
        let mut random = Lcg(5);
        // Few under Miri, which is a thousand times as slow.
        for case in 0..if cfg!(miri) { 8 } else { 300 } {
            let window = 8 * (1 + random.next() as usize % 40);
            let n_rows = 1 + random.next() as usize % 9;
            let n_positions = random.next() as usize % (TILE + 1);
            let smallest_shift = if case % 4 == 0 { 25 } else { 33 };
            let bits = if case % 3 == 0 {
                WeightBits::Four
            } else {
                WeightBits::Eight
            };
            let rows = random_rows(&mut random, n_rows, window, bits, smallest_shift);
            let linear = Linear::checked(&rows, window, bits).unwrap();
            let input: Vec<i16> = (0..window + 8 * n_positions)
                .map(|_| random.next() as i16)
                .collect();
            let windows = Windows {
                values: &input,
                step: 8,
                n_positions,
            };
            let mut expected = std::vec![0; n_rows * n_positions];
            let outputs = Outputs {
                values: &mut expected,
                step: n_rows,
            };
            linear.apply_reference(windows, outputs);
            for (name, kernel) in kernels() {
                let mut got = std::vec![1; n_rows * n_positions];
                let places = got.chunks_mut(n_rows).enumerate();
                let mut positions: Vec<Position<'_>> = places
                    .map(|(p, places)| (&input[8 * p..8 * p + window], places))
                    .collect();
                kernel(linear, &mut positions);
                assert_eq!(got, expected, "{name}: {n_rows} rows of {window}, {bits:?}");
            }
        }
    }
}
