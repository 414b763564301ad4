//! The linear product: rows of int8 weights times windows of int16 activations, the network's only
//! matrix product. The weights of a product can be stored in 4 bits: see [`weights`].
//!
//! Activations are channels-last, `[L][C]`, with rows of zeros before and after. The receptive
//! field of a convolution of `k` taps is then `k C` consecutive values, a window: a convolution is
//! this product with a window for each position, a linear layer is this product with one window.

pub(crate) mod reference;
pub(crate) mod weights;

use super::panel::Panel;
use super::rounding::Factor;
use super::slices::from;
use super::{read, slices};
use weights::WeightBits;

/// Windows and channels are multiples of this; the model file pads with zeros.
pub const LANES: usize = 8;

/// Place in the file of the weight of input `i`, within each four: two `SXTB16` of a Cortex-M then
/// give the pairs (0, 1) and (2, 3) that `SMLAD` multiplies. Of weights of 4 bits, each eight are
/// two such fours: one in the lower halves of four bytes, one in the upper halves.
pub const PACKING: [usize; 4] = [0, 2, 1, 3];

/// A kernel of the product for one instruction set. Its results are those of [`mod@reference`], bit
/// for bit.
pub(crate) trait LinearKernel {
    /// Bytes of an input in the panel; 0 if the kernel reads windows where they are.
    const INPUT_SIZE: usize;

    /// Writes, for every product, row `c`'s output at position `p` to `outputs.values[p *
    /// outputs.step + c]`: `saturate(round(factor[c] * (bias[c] + sum_i weights[c][i] *
    /// window[p][i])))`.
    ///
    /// The panel has room for one window; with room for more a kernel takes more positions at a
    /// time.
    fn apply(linear: Linear<'_>, products: &mut [Product<'_>]);
}

/// Windows of a tensor, one for each position, whose starts are `step` values apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows<'a> {
    pub(crate) values: &'a [i16],
    pub(crate) step: usize,
    pub(crate) n_positions: usize,
}

impl<'a> Windows<'a> {
    /// The windows from a later position on.
    #[inline(always)]
    pub(crate) fn skip_positions(self, position: usize) -> Self {
        Self {
            values: from(self.values, position * self.step),
            n_positions: self.n_positions - position,
            ..self
        }
    }
}

/// Where outputs go: row `c`'s at position `p` to `values[p * step + c]`.
#[derive(Debug)]
pub(crate) struct Outputs<'a> {
    pub(crate) values: &'a mut [i16],
    pub(crate) step: usize,
}

impl Outputs<'_> {
    #[inline(always)]
    pub(crate) fn reborrow(&mut self) -> Outputs<'_> {
        Outputs {
            values: self.values,
            step: self.step,
        }
    }
}

/// The operands of one environment.
#[derive(Debug)]
pub(crate) struct Product<'a> {
    pub(crate) windows: Windows<'a>,
    #[cfg_attr(
        not(cortex_m_kernels),
        expect(dead_code, reason = "those kernels read windows where they are")
    )]
    pub(crate) panel: &'a mut Panel,
    pub(crate) outputs: Outputs<'a>,
}

/// Rows of the model file, one for each output: bias (`i32`, in the sum's scale), factor
/// (multiplier, shift), weights.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linear<'a> {
    pub(crate) rows: &'a [u8],
    pub(crate) window: u16,
    pub(crate) bits: WeightBits,
    /// Whether every factor's shift is above 32: then a kernel needs only the upper word of the
    /// product with the multiplier.
    pub(crate) is_upper_word_enough: bool,
}

/// One row of a [`Linear`].
pub(crate) struct Row<'a> {
    pub(crate) bias: i32,
    pub(crate) factor: Factor,
    pub(crate) weights: &'a [u8],
    bits: WeightBits,
}

impl<'a> Linear<'a> {
    const HEADER_SIZE: usize = 4 + Factor::SIZE;

    /// Bytes of a row of `window` weights in the model file.
    pub(crate) const fn row_size(window: usize, bits: WeightBits) -> usize {
        Self::HEADER_SIZE + bits.size(window)
    }

    /// Bytes of one of these rows.
    pub(crate) fn own_row_size(self) -> usize {
        Self::row_size(self.window(), self.bits)
    }

    /// Rows of `window` weights (a multiple of [`LANES`], at least one).
    ///
    /// # Errors
    /// The index of the first row whose factor is out of range, or whose sum could overflow 32 bits
    /// for some input: partial sums in any order are bounded by `|bias| + 2^15 sum |w|`.
    #[inline(never)]
    pub(crate) fn checked(rows: &'a [u8], window: usize, bits: WeightBits) -> Result<Self, usize> {
        let mut linear = Self {
            rows,
            window: u16::try_from(window).map_err(|_| 0_usize)?,
            bits,
            is_upper_word_enough: true,
        };
        for (index, row) in linear.rows().enumerate() {
            let norm = i64::from(row.norm());
            let bound = i64::from(row.bias).abs() + (norm << 15);
            if bound > i64::from(i32::MAX) || !row.factor.is_valid() {
                return Err(index);
            }
            linear.is_upper_word_enough &= row.factor.shift > 32;
        }
        Ok(linear)
    }

    /// Number of outputs.
    pub(crate) fn n_rows(self) -> usize {
        self.rows.len() / self.own_row_size().max(1)
    }

    /// Number of weights in a row.
    pub(crate) fn window(self) -> usize {
        self.window.into()
    }

    #[inline(always)]
    pub(crate) fn rows(self) -> impl Iterator<Item = Row<'a>> {
        let bits = self.bits;
        slices::rows(self.rows, self.own_row_size()).map(move |row| {
            let (header, weights) = slices::split(row, Self::HEADER_SIZE);
            Row {
                bias: read::i32_at(header, 0),
                factor: Factor::read(header, 4),
                weights,
                bits,
            }
        })
    }

    /// [`LinearKernel::apply`] by the reference implementation.
    pub(crate) fn apply_reference(self, windows: Windows<'_>, outputs: Outputs<'_>) {
        reference::multiply(self, windows, outputs);
    }

    /// The reference implementation without saturation to 16 bits: calls `store(p, c, value)`.
    #[inline(always)]
    pub(crate) fn for_each_output(
        self,
        windows: Windows<'_>,
        mut store: impl FnMut(usize, usize, i32),
    ) {
        for (channel, row) in self.rows().enumerate() {
            for position in 0..windows.n_positions {
                let window = windows.skip_positions(position).values;
                let sum = row.bias.wrapping_add(row.dot(window));
                store(position, channel, row.factor.apply(sum));
            }
        }
    }
}

impl Row<'_> {
    /// Sum of the weights' magnitudes. A window has fewer than 2^16 weights.
    fn norm(&self) -> u32 {
        match self.bits {
            WeightBits::Four => reference::norm(weights::of_4_bits(self.weights)),
            WeightBits::Eight => reference::norm(weights::of_8_bits(self.weights)),
        }
    }

    /// Dot product with as many inputs.
    #[inline(always)]
    fn dot(&self, window: &[i16]) -> i32 {
        match self.bits {
            WeightBits::Four => reference::dot(weights::of_4_bits(self.weights), window),
            WeightBits::Eight => reference::dot(weights::of_8_bits(self.weights), window),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
