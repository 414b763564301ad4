//! How a tensor lies in memory.

use crate::quant::kernels::linear::{Outputs, Panel, Product, Windows};
use crate::quant::kernels::slices;

/// A tensor between its rows of zeros: `[padding + L + padding][C]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) length: usize,
    pub(super) n_channels: usize,
    pub(super) padding: usize,
}

impl Shape {
    /// The `L` rows.
    pub(super) fn rows(self, buffer: &[i16]) -> &[i16] {
        slices::part(
            buffer,
            self.padding * self.n_channels,
            self.length * self.n_channels,
        )
    }

    /// The `L` rows; makes the padding around them zero.
    pub(super) fn padded_rows_mut(self, buffer: &mut [i16]) -> &mut [i16] {
        let padding = self.padding * self.n_channels;
        let (before, rest) = slices::split_mut(buffer, padding);
        let (rows, after) = slices::split_mut(rest, self.length * self.n_channels);
        before.fill(0);
        slices::part_mut(after, 0, padding).fill(0);
        rows
    }

    /// The `L` rows; leaves the padding as it is.
    pub(super) fn rows_mut(self, buffer: &mut [i16]) -> &mut [i16] {
        slices::part_mut(
            buffer,
            self.padding * self.n_channels,
            self.length * self.n_channels,
        )
    }

    /// The windows of a convolution of `kernel_size` taps and padding `kernel_size / 2`.
    pub(super) fn windows(self, buffer: &[i16], kernel_size: usize, stride: usize) -> Windows<'_> {
        Windows {
            values: slices::from(buffer, (self.padding - kernel_size / 2) * self.n_channels),
            step: stride * self.n_channels,
            n_positions: self.length / stride,
        }
    }

    /// The product that fills a tensor of this shape in `buffer`.
    pub(super) fn product<'a>(
        self,
        windows: Windows<'a>,
        panel: &'a mut Panel,
        buffer: &'a mut [i16],
    ) -> Product<'a> {
        Product {
            windows,
            panel,
            outputs: Outputs {
                values: self.rows_mut(buffer),
                step: self.n_channels,
            },
        }
    }

    pub(super) fn with_channels(self, n_channels: usize) -> Self {
        Self { n_channels, ..self }
    }

    pub(super) fn with_length(self, length: usize) -> Self {
        Self { length, ..self }
    }
}
