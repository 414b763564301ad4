//! One matrix product alone, for measuring a kernel and for comparing it with the reference.

use super::linear::{LANES, Linear, Outputs, Product, Windows};
use super::panel::panel_len;
use super::rounding::Factor;
use crate::Error;
use crate::quant::format::error::ModelError;

/// Output rows as the model file has them (`docs/model-format.md`): bias, factor, weights.
#[derive(Clone, Copy, Debug)]
pub struct Convolution<'a>(Linear<'a>);

impl<'a> Convolution<'a> {
    /// Bytes of a row of `window` weights.
    pub const fn row_size(window: usize) -> usize {
        Linear::row_size(window)
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
    /// [`ModelError::OutOfRange`] if the window or the length is none of a whole number of rows,
    /// [`ModelError::AccumulatorOverflow`] if a sum could leave 32 bits.
    pub fn new(rows: &'a [u8], window: usize) -> Result<Self, ModelError> {
        let row_size = Self::row_size(window);
        if window == 0 || !window.is_multiple_of(LANES) || !rows.len().is_multiple_of(row_size) {
            return Err(ModelError::OutOfRange {
                what: "rows of a convolution",
                at: 0,
            });
        }
        match Linear::checked(rows, window) {
            Ok(linear) => Ok(Self(linear)),
            Err(row) => Err(ModelError::AccumulatorOverflow { at: row * row_size }),
        }
    }

    /// Words of working memory that [`run`](Self::run) takes.
    pub fn panel_len(&self) -> usize {
        panel_len(self.0.window())
    }

    /// Outputs of `n_positions` windows that begin `step` values apart: row `c`'s to `output[p * n_rows + c]`.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if the input ends before the last window, or the output is not as long.
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

    /// As [`run`](Self::run), by the definition.
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
