//! The one matrix product of the network: int8 rows against windows of int16 activations.
//!
//! Activations lie channels-last, `[L][C]`, with zero rows before and after, so the receptive field of a
//! convolution of `k` taps is `k * C` numbers in a row: a convolution is this product with one window a
//! position, a linear layer is it with a single window, and nothing is gathered or copied.

#[cfg(armv6m)]
mod armv6m;
#[cfg(mla)]
mod mla;
#[cfg(any(test, not(any(mla, target_arch = "x86_64"))))]
mod reference;
#[cfg(smlad)]
mod smlad;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(armv6m)]
use armv6m as kernel;
#[cfg(mla)]
use mla as kernel;
#[cfg(not(any(armv6m, mla, smlad, target_arch = "x86_64")))]
use reference as kernel;
#[cfg(smlad)]
use smlad as kernel;
#[cfg(target_arch = "x86_64")]
use x86_64 as kernel;

use super::read;
use super::rounding::Factor;

/// Windows and channels are whole multiples of this; the model file pads with zeros.
pub const LANES: usize = 8;

/// Where the weight of input `i` of each four lies in the file: two `SXTB16` of a Cortex-M then give
/// the pairs (0, 1) and (2, 3) that `SMLAD` multiplies.
pub const PACKING: [usize; 4] = [0, 2, 1, 3];

/// A kernel: `n_chunks` of eight weights at `weights` times the windows at `input`, `input + step_bytes`, ..: their sums.
#[cfg(any(mla, smlad))]
type Kernel = unsafe extern "C" fn(
    weights: *const u8,
    n_chunks: usize,
    input: *const i16,
    step_bytes: usize,
    sums: *mut i32,
);

/// Output rows in the model file: bias (`i32`, at the accumulator's scale), factor (multiplier, shift), weights.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    rows: &'a [u8],
    window: usize,
}

/// One output's share of a [`Linear`].
struct Row<'a> {
    bias: i32,
    factor: Factor,
    weights: &'a [u8],
}

impl<'a> Linear<'a> {
    const HEADER_SIZE: usize = 4 + Factor::SIZE;

    /// Bytes of a row of `window` weights in the model file.
    pub(super) const fn row_size(window: usize) -> usize {
        Self::HEADER_SIZE + window
    }

    /// Rows of `window` weights, of which [`first_bad_row`](Self::first_bad_row) must find none.
    pub(super) fn new(rows: &'a [u8], window: usize) -> Self {
        Self { rows, window }
    }

    pub(super) fn n_outputs(self) -> usize {
        self.rows.len() / Self::row_size(self.window)
    }

    fn rows(self) -> impl Iterator<Item = Row<'a>> {
        self.rows
            .chunks_exact(Self::row_size(self.window))
            .map(|row| {
                let (header, weights) = row.split_at(Self::HEADER_SIZE);
                Row {
                    bias: read::i32_at(header, 0),
                    factor: Factor::read(header, 4),
                    weights,
                }
            })
    }

    /// Index of the first row whose sum could leave 32 bits with some input, or whose factor is out of range.
    ///
    /// Every partial sum, in whatever order, is bounded by `|bias| + 2^15 * sum |w|`.
    pub(super) fn first_bad_row(self) -> Option<usize> {
        self.rows().position(|row| {
            let norm: i64 = row
                .weights
                .iter()
                .map(|w| i64::from((*w as i8).unsigned_abs()))
                .sum();
            let bound = i64::from(row.bias).abs() + (norm << 15);
            bound > i64::from(i32::MAX) || !row.factor.is_valid()
        })
    }

    /// `store(p, c, y)` with `y = round(factor[c] * (bias[c] + sum_i w[c][i] * input[p * step + i]))`
    /// for every output `c` and position `p < n_positions`.
    #[inline(always)]
    pub(super) fn for_each_output(
        self,
        input: &[i16],
        step: usize,
        n_positions: usize,
        mut store: impl FnMut(usize, usize, i32),
    ) {
        for (channel, row) in self.rows().enumerate() {
            let mut position = 0;
            // As many positions as are left, up to four, share the load of a row.
            while position < n_positions {
                let windows = &input[position * step..];
                let mut sums = [0; 4];
                let n_sums = match n_positions - position {
                    4.. => {
                        sums = kernel::dots(row.weights, windows, step);
                        4
                    }
                    2.. => {
                        [sums[0], sums[1]] = kernel::dots(row.weights, windows, step);
                        2
                    }
                    _ => {
                        [sums[0]] = kernel::dots(row.weights, windows, step);
                        1
                    }
                };
                for sum in &sums[..n_sums] {
                    store(position, channel, row.factor.apply(row.bias + sum));
                    position += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
