//! Products of windows that are read where they are, without a panel: the positions of all
//! environments in tiles that share the load of a row.

use crate::quant::kernels::linear::{Linear, Outputs, Product, Windows};
use heapless::Vec;

/// Positions of a tile.
pub(super) const TILE: usize = 8;

/// A window, and a place for each row's output.
pub(super) type Position<'p> = (&'p [i16], &'p mut [i16]);

/// All positions of all products, a tile at a time.
pub(super) fn in_tiles(
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
