//! Memory layout of a tensor.

use crate::quant::kernels::linear::{Outputs, Product, Windows};
use crate::quant::kernels::panel::Panel;
use crate::quant::kernels::slices;

/// Shape of a tensor between its zero rows: `[padding + L + padding][C]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) length: usize,
    pub(super) n_channels: usize,
    pub(super) padding: usize,
}

impl Shape {
    /// The `L` rows without the padding.
    pub(super) fn rows(self, buffer: &[i16]) -> &[i16] {
        slices::part(
            buffer,
            self.padding * self.n_channels,
            self.length * self.n_channels,
        )
    }

    /// The `L` rows; sets the padding to zero.
    pub(super) fn padded_rows_mut(self, buffer: &mut [i16]) -> &mut [i16] {
        let padding = self.padding * self.n_channels;
        let (before, rest) = slices::split_mut(buffer, padding);
        let (rows, after) = slices::split_mut(rest, self.length * self.n_channels);
        slices::zero(before);
        slices::zero(slices::part_mut(after, 0, padding));
        rows
    }

    /// The `L` rows; does not change the padding.
    pub(super) fn rows_mut(self, buffer: &mut [i16]) -> &mut [i16] {
        slices::part_mut(
            buffer,
            self.padding * self.n_channels,
            self.length * self.n_channels,
        )
    }

    /// Windows of a convolution with `kernel_size` taps and padding `kernel_size / 2`.
    pub(super) fn windows(self, buffer: &[i16], kernel_size: usize, stride: usize) -> Windows<'_> {
        Windows {
            values: slices::from(buffer, (self.padding - kernel_size / 2) * self.n_channels),
            step: stride * self.n_channels,
            n_positions: self.length / stride,
        }
    }

    /// Matrix product that writes a tensor of this shape into `buffer`.
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
