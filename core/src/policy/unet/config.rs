//! The options of the network, checked before anything else happens.

use super::UnetError;
use heapless::Vec;

/// Groups of GroupNorm in `final_conv`, whatever `n_groups` is.
///
/// Upstream builds that block without handing `n_groups` on, so it keeps the default
/// (diffusion_policy `conditional_unet1d.py`, `final_conv`).
pub const FINAL_CONV_N_GROUPS: usize = 8;

/// The options of diffusion_policy's `ConditionalUnet1D`, by its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnetConfig {
    /// Channels of the sample: `Da`, and `Do` more when inpainting.
    pub input_dim: usize,
    /// Channels of the local condition, if there is one.
    pub local_cond_dim: Option<usize>,
    /// Values of the global condition, if there is one: `To Do`.
    pub global_cond_dim: Option<usize>,
    /// Size of the embedding of the diffusion step: even, at least 4.
    pub diffusion_step_embed_dim: usize,
    /// Channels `C` of each level, the first divisible by [`FINAL_CONV_N_GROUPS`].
    pub down_dims: DownDims,
    /// Taps of the convolutions: odd.
    pub kernel_size: usize,
    /// Groups of GroupNorm: divides every one of `down_dims`.
    pub n_groups: usize,
    /// Whether FiLM predicts a scale beside the bias.
    pub cond_predict_scale: bool,
}

/// Channels of each level, 1 to [`DownDims::MAX_LEVELS`] of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DownDims(Vec<usize, { DownDims::MAX_LEVELS }>);

impl DownDims {
    /// Most levels of a network.
    pub const MAX_LEVELS: usize = 6;

    /// Channels of the levels, from the sample's side down.
    ///
    /// # Errors
    /// [`UnetError::Config`] for none or more than [`DownDims::MAX_LEVELS`].
    pub fn new(dims: &[usize]) -> Result<Self, UnetError> {
        if dims.is_empty() {
            return Err(UnetError::Config("down_dims is empty"));
        }
        Vec::from_slice(dims)
            .map(Self)
            .map_err(|_| UnetError::Config("down_dims has more than 6 levels"))
    }

    /// The channels as a slice.
    pub fn as_slice(&self) -> &[usize] {
        &self.0
    }
}

/// No size of a network may be larger; keeps every product of sizes far from overflow.
const MAX_DIM: usize = 1 << 14;

impl UnetConfig {
    /// Checks every rule that the fields document.
    ///
    /// # Errors
    /// [`UnetError::Config`] with the first rule broken.
    pub fn check(&self) -> Result<(), UnetError> {
        let dims = self.down_dims.as_slice();
        let sizes = [
            self.input_dim,
            self.diffusion_step_embed_dim,
            self.kernel_size,
            self.n_groups,
            self.local_cond_dim.unwrap_or(1),
            self.global_cond_dim.unwrap_or(1),
        ];
        let rules = [
            (
                sizes.iter().chain(dims).all(|d| (1..=MAX_DIM).contains(d)),
                "every size must be 1 to 16384",
            ),
            (
                self.kernel_size % 2 == 1,
                "kernel_size must be odd: an even one changes the length",
            ),
            (
                self.diffusion_step_embed_dim.is_multiple_of(2)
                    && self.diffusion_step_embed_dim >= 4,
                "diffusion_step_embed_dim must be even and at least 4",
            ),
            (
                dims.iter().all(|d| d.is_multiple_of(self.n_groups.max(1))),
                "n_groups must divide every one of down_dims",
            ),
            (
                dims[0].is_multiple_of(FINAL_CONV_N_GROUPS),
                "down_dims[0] must be divisible by 8, the groups of final_conv",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, rule)) => Err(UnetError::Config(rule)),
        }
    }

    /// The number that `Tp` must be a multiple of: each level but the last halves the length
    /// exactly.
    pub fn length_multiple(&self) -> usize {
        1 << (self.down_dims.as_slice().len() - 1)
    }

    /// Values that FiLM is predicted from: the step's embedding, then the global condition.
    pub fn cond_dim(&self) -> usize {
        self.diffusion_step_embed_dim + self.global_cond_dim.unwrap_or(0)
    }

    /// Rows of zeros on either side of a tensor, enough for every convolution of the network.
    pub(super) fn padding(&self) -> usize {
        (self.kernel_size / 2).max(1)
    }
}
