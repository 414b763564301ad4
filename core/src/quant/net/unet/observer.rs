//! Observation of a pass: every tensor, and the start and end of every matrix product.

use crate::quant::kernels::linear::Linear;

/// Receives every tensor that the network computes, in the order of computation.
pub trait Observer {
    /// Called with each tensor, `[L][C]`: its values, `C`, and the binary places of a value.
    fn observe(&mut self, values: &[i16], n_channels: usize, exponent: u32);

    /// Called before a matrix product (a convolution or a projection).
    fn product_begins(&mut self) {}

    /// Called after a matrix product.
    fn product_ends(&mut self, layer: Layer) {
        let _ = layer;
    }
}

/// Observer that does nothing, at no cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Unobserved;

impl Observer for Unobserved {
    #[inline(always)]
    fn observe(&mut self, _: &[i16], _: usize, _: u32) {}
}

/// A matrix product of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layer {
    /// Kind of the layer that it belongs to.
    pub kind: LayerKind,
    /// Outputs per position.
    pub n_outputs: usize,
    /// Inputs per output, zero rows included.
    pub n_inputs: usize,
    /// Positions of all plans of the batch.
    pub n_positions: usize,
}

/// Kinds of [`Layer`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LayerKind {
    /// Projection of the observations by a block's FiLM.
    Film,
    /// A convolution of stride 1.
    Convolution,
    /// The 1x1 convolution of a block's residual connection.
    Residual,
    /// A convolution of stride 2.
    Downsample,
    /// A phase of a transposed convolution of stride 2.
    Upsample,
    /// The last 1x1 convolution.
    Output,
}

impl Layer {
    pub(super) fn new(kind: LayerKind, linear: &Linear<'_>, n_positions: usize) -> Self {
        Self {
            kind,
            n_outputs: linear.n_rows(),
            n_inputs: linear.window(),
            n_positions,
        }
    }

    /// Number of multiplications of a weight with an activation.
    pub fn n_multiplications(&self) -> usize {
        self.n_outputs * self.n_inputs * self.n_positions
    }
}
