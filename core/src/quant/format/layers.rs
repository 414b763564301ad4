//! Layers of the network as views into the file, with small types to save RAM on devices.

use super::limits::MAX_LEVELS;
use crate::quant::kernels::linear::Linear;
use crate::quant::kernels::norm::Norm;
use heapless::Vec;

/// Residual blocks of a U-Net with [`MAX_LEVELS`] levels.
pub(crate) const MAX_BLOCKS: usize = 4 * MAX_LEVELS;

/// diffusion_policy's `ConditionalUnet1D` (arXiv 2303.04137).
#[derive(Clone, Debug, Default)]
pub(crate) struct Unet<'a> {
    /// Two blocks per level down, two in the middle, two per level up.
    pub(crate) blocks: Vec<ResidualBlock<'a>, MAX_BLOCKS>,
    pub(crate) downsamples: Vec<Downsample<'a>, MAX_LEVELS>,
    pub(crate) upsamples: Vec<Upsample<'a>, MAX_LEVELS>,
    pub(crate) final_block: FinalBlock<'a>,
}

/// Convolution, GroupNorm, Mish.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConvBlock<'a> {
    pub(crate) conv: Linear<'a>,
    /// Binary places of the convolution's output.
    pub(crate) conv_exponent: u8,
    pub(crate) norm: Norm<'a>,
}

/// diffusion_policy's `ConditionalResidualBlock1D`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ResidualBlock<'a> {
    pub(crate) n_channels: u16,
    pub(crate) first: ConvBlock<'a>,
    pub(crate) film: Film<'a>,
    /// Binary places of the first half's output, after FiLM.
    pub(crate) hidden_exponent: u8,
    pub(crate) second: ConvBlock<'a>,
    /// 1x1 convolution of the residual connection, if the number of channels changes.
    pub(crate) residual_conv: Option<Linear<'a>>,
    /// Binary places of the residual and of the sum.
    pub(crate) residual_exponent: u8,
    pub(crate) exponent: u8,
}

/// FiLM projection (Perez et al. 2018, arXiv 1709.07871), split by its input.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Film<'a> {
    /// Projection of the observations.
    pub(crate) condition: Linear<'a>,
    /// Projection of the diffusion step, with the bias: `i16`, `[passes][outputs]`.
    pub(crate) steps: &'a [u8],
    /// Binary places of both projections.
    pub(crate) exponent: u8,
}

/// `Downsample1d`: convolution with three taps and stride 2.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Downsample<'a> {
    pub(crate) conv: Linear<'a>,
    /// Binary places of the output.
    pub(crate) exponent: u8,
}

/// `Upsample1d`: transposed convolution with four taps and stride 2.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Upsample<'a> {
    /// Rows of the even positions, then of the odd positions, two taps each.
    pub(crate) phases: [Linear<'a>; 2],
    /// Binary places of the output.
    pub(crate) exponent: u8,
}

/// Layers after the last upsampling.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FinalBlock<'a> {
    pub(crate) block: ConvBlock<'a>,
    /// Binary places of the convolution block's output.
    pub(crate) exponent: u8,
    /// 1x1 convolution from channels to an action, in I8F24.
    pub(crate) conv: Linear<'a>,
}
