//! Products of windows that are read where they are, without a panel: the positions of all
//! environments in tiles that share the load of a row.

#[cfg(kernels = "x86_64")]
pub(super) use by_lanes::finish;
#[cfg(any(kernels = "wasm32", kernels = "x86_64"))]
pub(super) use by_lanes::{Dots, multiply};

use crate::quant::kernels::linear::{Linear, Outputs, Product, Windows};
use heapless::Vec;

/// Positions of most kernels' tiles.
pub(super) const TILE: usize = 8;

/// A window, and a place for each row's output.
pub(super) type Position<'p> = (&'p [i16], &'p mut [i16]);

/// All positions of all products, a tile of `N` at a time.
pub(super) fn in_tiles<const N: usize>(
    linear: Linear<'_>,
    products: &mut [Product<'_>],
    mut multiply: impl FnMut(&mut [Position<'_>]),
) {
    let mut tile = Vec::<Position<'_>, N>::new();
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

/// Rows by registers of eight lanes, four positions at a time.
#[cfg(any(kernels = "wasm32", kernels = "x86_64"))]
mod by_lanes {
    use super::Position;
    use crate::quant::kernels::linear::weights::{Lanes, WeightBits, of_4_bits, of_8_bits};
    use crate::quant::kernels::linear::{Linear, Row};
    use crate::quant::kernels::rounding::saturate_i16;

    /// The dot products of an instruction set.
    pub(in crate::quant::arch) trait Dots {
        /// Dot products of one packed row with `P` windows.
        fn dots<const P: usize>(
            weights: impl Iterator<Item = Lanes>,
            windows: [&[i16]; P],
        ) -> [i32; P];
    }

    /// All rows at these positions.
    pub(in crate::quant::arch) fn multiply<D: Dots>(
        linear: Linear<'_>,
        mut positions: &mut [Position<'_>],
    ) {
        while !positions.is_empty() {
            positions = match positions.len() {
                4.. => some_positions::<D, 4>(linear, positions),
                2.. => some_positions::<D, 2>(linear, positions),
                _ => some_positions::<D, 1>(linear, positions),
            };
        }
    }

    /// The first `P` positions; returns the others.
    fn some_positions<'s, 'p, D: Dots, const P: usize>(
        linear: Linear<'_>,
        positions: &'s mut [Position<'p>],
    ) -> &'s mut [Position<'p>] {
        let Some((first, rest)) = positions.split_first_chunk_mut::<P>() else {
            return &mut [];
        };
        let windows = first.each_ref().map(|(window, _)| *window);
        for (channel, row) in linear.rows().enumerate() {
            let sums = match linear.bits {
                WeightBits::Four => D::dots(of_4_bits(row.weights), windows),
                WeightBits::Eight => D::dots(of_8_bits(row.weights), windows),
            };
            for ((_, places), value) in first.iter_mut().zip(finish(&row, sums)) {
                places[channel] = value;
            }
        }
        rest
    }

    /// `factor * (bias + sum)`, rounded and saturated, for each sum.
    pub(in crate::quant::arch) fn finish<const P: usize>(
        row: &Row<'_>,
        sums: [i32; P],
    ) -> [i16; P] {
        sums.map(|sum| {
            let value = row.factor.apply(row.bias.wrapping_add(sum));
            saturate_i16(i64::from(value))
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::quant::kernels::linear::tests::{Lcg, random_rows};
    use crate::quant::kernels::linear::weights::WeightBits;

    extern crate std;
    use std::vec::Vec;

    /// All rows at the positions of a tile.
    pub(in crate::quant::arch) type Kernel = fn(Linear<'_>, &mut [Position<'_>]);

    /// Compares kernels with the reference. `tests/kernels.rs` has more shapes, but only for the
    /// kernel that this machine picks.
    pub(in crate::quant::arch) fn compare(kernels: &[(&str, Kernel)]) {
        let mut random = Lcg(5);
        // Few under Miri, which is a thousand times as slow.
        for case in 0..if cfg!(miri) { 8 } else { 300 } {
            let window = 8 * (1 + random.next() as usize % 40);
            // Also more rows than a kernel takes at a time.
            let most_rows = if case % 5 == 4 && !cfg!(miri) { 150 } else { 9 };
            let n_rows = 1 + random.next() as usize % most_rows;
            let n_positions = random.next() as usize % (2 * TILE + 1);
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
            for (name, kernel) in kernels {
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
