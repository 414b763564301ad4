//! The one matrix product of the network: int8 rows against windows of int16 activations.
//!
//! Activations lie channels-last, `[L][C]`, with zero rows before and after, so the receptive field of a
//! convolution of `k` taps is `k * C` numbers in a row: a convolution is this product with one window a
//! position, a linear layer is it with a single window.
//!
//! A tuned kernel of an Arm core first lays the windows of four positions (two, one) side by side in a [`Panel`], once for all rows: then one
//! instruction loads what four multiplications take, and one pointer walks through it.

#[cfg(any(armv6m, mla, mve, smlad))]
pub(crate) mod panel_kernel;
mod reference;

#[cfg(armv6m)]
use crate::quant::arch::armv6m::linear as kernel;
#[cfg(smlad)]
use crate::quant::arch::armv7em::linear as kernel;
#[cfg(mla)]
use crate::quant::arch::armv7m::linear as kernel;
#[cfg(mve)]
use crate::quant::arch::armv81m::linear as kernel;
#[cfg(target_arch = "x86_64")]
use crate::quant::arch::x86_64::linear as kernel;
#[cfg(not(any(armv6m, mla, mve, smlad, target_arch = "x86_64")))]
use reference as kernel;

use super::panel::Panel;
use super::rounding::{Factor, saturate_i16};
use super::slices::from;
use super::{read, slices};

/// Windows and channels are whole multiples of this; the model file pads with zeros.
pub const LANES: usize = 8;

/// Where the weight of input `i` of each four lies in the file: two `SXTB16` of a Cortex-M then give
/// the pairs (0, 1) and (2, 3) that `SMLAD` multiplies.
pub const PACKING: [usize; 4] = [0, 2, 1, 3];

/// What a tuned kernel keeps in a [`Panel`].
pub(crate) use kernel::Input;

/// Windows of a tensor, `step` values apart; the convolution's positions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows<'a> {
    pub(crate) values: &'a [i16],
    pub(crate) step: usize,
    pub(crate) n_positions: usize,
}

impl<'a> Windows<'a> {
    /// The same from a later position on.
    #[inline(always)]
    pub(crate) fn skip_positions(self, position: usize) -> Self {
        Self {
            values: from(self.values, position * self.step),
            n_positions: self.n_positions - position,
            ..self
        }
    }
}

/// Where outputs go: number `c` at position `p` to `values[p * step + c]`.
#[derive(Debug)]
pub(crate) struct Outputs<'a> {
    pub(crate) values: &'a mut [i16],
    pub(crate) step: usize,
}

/// Windows, and where their outputs go: the product of one environment.
#[derive(Debug)]
pub(crate) struct Product<'a> {
    pub(crate) windows: Windows<'a>,
    #[cfg_attr(
        target_arch = "x86_64",
        expect(dead_code, reason = "that kernel reads windows where they lie")
    )]
    pub(crate) panel: &'a mut Panel,
    pub(crate) outputs: Outputs<'a>,
}

/// Output rows in the model file: bias (`i32`, at the accumulator's scale), factor (multiplier, shift), weights.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linear<'a> {
    pub(crate) rows: &'a [u8],
    pub(crate) window: usize,
    /// Whether every factor's shift is above 32, as tuned kernels want it: then the upper word of a product is enough.
    pub(crate) is_upper_word_enough: bool,
}

/// One output's share of a [`Linear`].
pub(crate) struct Row<'a> {
    pub(crate) bias: i32,
    pub(crate) factor: Factor,
    pub(crate) weights: &'a [u8],
}

impl<'a> Linear<'a> {
    const HEADER_SIZE: usize = 4 + Factor::SIZE;

    /// Bytes of a row of `window` weights in the model file.
    pub(crate) const fn row_size(window: usize) -> usize {
        Self::HEADER_SIZE + window
    }

    /// Rows of `window` weights (a multiple of [`LANES`], at least one).
    ///
    /// # Errors
    /// The index of the first row whose sum could leave 32 bits with some input, or whose factor is out of range: every
    /// partial sum, in whatever order, is bounded by `|bias| + 2^15 * sum |w|`.
    pub(crate) fn checked(rows: &'a [u8], window: usize) -> Result<Self, usize> {
        let mut linear = Self {
            rows,
            window,
            is_upper_word_enough: true,
        };
        for (index, row) in linear.rows().enumerate() {
            let norm: i64 = row
                .weights
                .iter()
                .map(|w| i64::from((*w as i8).unsigned_abs()))
                .sum();
            let bound = i64::from(row.bias).abs() + (norm << 15);
            if bound > i64::from(i32::MAX) || !row.factor.is_valid() {
                return Err(index);
            }
            linear.is_upper_word_enough &= row.factor.shift > 32;
        }
        Ok(linear)
    }

    /// Outputs.
    pub(crate) fn n_rows(self) -> usize {
        self.rows.len() / Self::row_size(self.window).max(1)
    }

    /// Weights of a row.
    pub(crate) fn window(self) -> usize {
        self.window
    }

    #[inline(always)]
    pub(crate) fn rows(self) -> impl Iterator<Item = Row<'a>> {
        slices::rows(self.rows, Self::row_size(self.window)).map(|row| {
            let (header, weights) = slices::split(row, Self::HEADER_SIZE);
            Row {
                bias: read::i32_at(header, 0),
                factor: Factor::read(header, 4),
                weights,
            }
        })
    }

    /// `output[p][c] = saturate(round(factor[c] * (bias[c] + sum_i w[c][i] * window[p][i])))` for every output `c` and position `p` of
    /// every environment.
    #[inline(always)]
    pub(crate) fn apply<const B: usize>(self, products: [Product<'_>; B]) {
        #[cfg(target_arch = "x86_64")]
        kernel::apply(self, products);
        #[cfg(not(target_arch = "x86_64"))]
        for Product {
            windows,
            panel,
            outputs,
        } in products
        {
            kernel::apply(self, windows, panel, outputs);
        }
    }

    /// The same by the definition.
    pub(crate) fn apply_reference(self, windows: Windows<'_>, outputs: Outputs<'_>) {
        reference::multiply(self, windows, outputs);
    }

    /// The same without saturation to 16 bits: `store(p, c, value)`.
    #[inline(always)]
    pub(crate) fn for_each_output(
        self,
        windows: Windows<'_>,
        mut store: impl FnMut(usize, usize, i32),
    ) {
        for (channel, row) in self.rows().enumerate() {
            for position in 0..windows.n_positions {
                let window = windows.skip_positions(position).values;
                let sum = row.bias.wrapping_add(reference::dot(row.weights, window));
                store(position, channel, row.factor.apply(sum));
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
