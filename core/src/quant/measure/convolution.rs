//! A linear product alone.

use crate::Error;
use crate::quant::format::error::ModelError;
use crate::quant::kernels::linear::weights::WeightBits;
use crate::quant::kernels::linear::{LANES, Linear, Outputs, Product, Windows};
use crate::quant::kernels::rounding::Factor;

/// Output rows as the model file has them (`docs/model-format.md`): bias, factor, weights.
#[derive(Clone, Copy, Debug)]
pub struct Convolution<'a>(Linear<'a>);

impl<'a> Convolution<'a> {
    /// Number of bytes of a row of `window` weights.
    pub const fn row_size(window: usize, bits: WeightBits) -> usize {
        Linear::row_size(window, bits)
    }

    /// Writes one row: `weights` as bytes in the file's order.
    pub fn write_row(row: &mut [u8], bias: i32, factor: Factor, weights: impl Iterator<Item = u8>) {
        let header = bias.to_le_bytes().into_iter();
        let header = header.chain(factor.multiplier.to_le_bytes());
        let bytes = header.chain(factor.shift.to_le_bytes()).chain(weights);
        for (place, byte) in row.iter_mut().zip(bytes) {
            *place = byte;
        }
    }

    /// Rows of `window` weights, a multiple of [`LANES`].
    ///
    /// # Errors
    /// [`ModelError::OutOfRange`] if `window` is not such a multiple or `rows` not a whole number
    /// of rows, [`ModelError::AccumulatorOverflow`] if a sum could overflow 32 bits.
    pub fn new(rows: &'a [u8], window: usize, bits: WeightBits) -> Result<Self, ModelError> {
        let row_size = Self::row_size(window, bits);
        if window == 0 || !window.is_multiple_of(LANES) || !rows.len().is_multiple_of(row_size) {
            return Err(ModelError::OutOfRange {
                what: "rows of a convolution",
                at: 0,
            });
        }
        match Linear::checked(rows, window, bits) {
            Ok(linear) => Ok(Self(linear)),
            Err(row) => Err(ModelError::AccumulatorOverflow { at: row * row_size }),
        }
    }

    /// Outputs of `n_positions` windows that begin `step` values apart: row `c`'s to `output[p *
    /// n_rows + c]`. The panel's length is that of [`panel_len`](super::panel_len).
    ///
    /// # Errors
    /// [`Error::WrongLength`] if the input ends before the last window, or the output's length is
    /// not `n_positions * n_rows`.
    pub fn run(
        &self,
        panel: &mut [u64],
        input: &[i16],
        step: usize,
        n_positions: usize,
        output: &mut [i16],
    ) -> Result<(), Error> {
        let (windows, outputs) = self.operands(input, step, n_positions, output)?;
        self.0.apply([Product {
            windows,
            panel,
            outputs,
        }]);
        Ok(())
    }

    /// As [`run`](Self::run), by the reference implementation.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_reference(
        &self,
        input: &[i16],
        step: usize,
        n_positions: usize,
        output: &mut [i16],
    ) -> Result<(), Error> {
        let (windows, outputs) = self.operands(input, step, n_positions, output)?;
        self.0.apply_reference(windows, outputs);
        Ok(())
    }

    fn operands<'o>(
        &self,
        input: &'o [i16],
        step: usize,
        n_positions: usize,
        output: &'o mut [i16],
    ) -> Result<(Windows<'o>, Outputs<'o>), Error> {
        let n_rows = self.0.n_rows();
        let needed = n_positions.saturating_sub(1) * step + self.0.window();
        let check = |what, expected, got, is_right| {
            if is_right {
                return Ok(());
            }
            Err(Error::WrongLength {
                what,
                expected,
                got,
            })
        };
        check("input", needed, input.len(), input.len() >= needed)?;
        let expected = n_positions * n_rows;
        check("output", expected, output.len(), output.len() == expected)?;
        let windows = Windows {
            values: input,
            step,
            n_positions,
        };
        let outputs = Outputs {
            values: output,
            step: n_rows,
        };
        Ok((windows, outputs))
    }
}
