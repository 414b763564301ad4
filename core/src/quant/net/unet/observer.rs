//! Looking inside a pass: every tensor, and the beginning and the end of every matrix product.

use crate::quant::kernels::linear::Linear;

/// Sees every tensor that the network computes, in the order of the computation.
pub trait Observer {
    /// Takes one tensor, `[L][C]`: its values, `C`, and the binary places of a value.
    fn observe(&mut self, values: &[i16], n_channels: usize, exponent: u32);

    /// A matrix product (a convolution, a projection) begins.
    fn product_begins(&mut self) {}

    /// It has ended.
    fn product_ends(&mut self, layer: Layer) {
        let _ = layer;
    }
}

/// Looks at nothing and costs nothing.
pub struct Unobserved;

impl Observer for Unobserved {
    #[inline(always)]
    fn observe(&mut self, _: &[i16], _: usize, _: u32) {}
}

/// A matrix product of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Which kind of layer it belongs to.
    pub kind: LayerKind,
    /// Outputs per position.
    pub n_outputs: usize,
    /// Inputs per output, those in zero rows included.
    pub n_inputs: usize,
    /// Positions of all plans of the batch.
    pub n_positions: usize,
}

/// Kinds of [`Layer`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LayerKind {
    /// The observation's share of a block's FiLM projection.
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

    /// Multiplications of a weight with an activation.
    pub fn n_multiplications(&self) -> usize {
        self.n_outputs * self.n_inputs * self.n_positions
    }
}
