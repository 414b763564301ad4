//! A parsed model file: views into its bytes, in the order of the computation.

use crate::pusht::observation::ObservationKind;
use crate::quant::format::error::ModelError;
use crate::quant::format::parse;
use crate::quant::kernels::linear::Linear;
use crate::quant::kernels::norm::Norm;
use crate::quant::kernels::read;
use crate::quant::kernels::rounding::Factor;
use crate::quant::kernels::slices;
use crate::quant::net::scratch::ACTION_DIM;
use fixed::types::{I8F24, I16F16};
use heapless::Vec;

/// Most levels of a U-Net.
pub const MAX_LEVELS: usize = 4;
/// Residual blocks of a U-Net with [`MAX_LEVELS`].
pub(crate) const MAX_BLOCKS: usize = 4 * MAX_LEVELS;
/// Most binary places of a tensor of activations: a value is `i16 / 2^exponent`.
pub const MAX_ACTIVATION_EXPONENT: u32 = 16;
/// Most binary places of a FiLM projection.
pub const MAX_FILM_EXPONENT: u32 = 15;

/// A quantised diffusion policy, read in place.
///
/// `To`, `Tp`, `Ta`: observation steps, horizon, executed actions. `C`, `L`: channels, positions.
#[derive(Clone, Debug)]
pub struct Model<'a> {
    pub(crate) settings: Settings,
    pub(crate) passes: &'a [u8],
    pub(crate) observation_scales: &'a [u8],
    pub(crate) action_scales: &'a [u8],
    pub(crate) unet: Unet<'a>,
    pub(crate) provenance: &'a str,
    pub(crate) sizes: Sizes,
}

impl<'a> Model<'a> {
    /// Checks everything in `bytes`, a whole model file; afterwards nothing can fail.
    ///
    /// # Errors
    /// What is wrong, and at which byte.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ModelError> {
        parse::model(bytes)
    }

    /// What the policy sees.
    pub fn observation(&self) -> ObservationKind {
        self.settings.observation
    }

    /// `To`.
    pub fn n_obs_steps(&self) -> usize {
        self.settings.n_obs_steps
    }

    /// `Tp`.
    pub fn horizon(&self) -> usize {
        self.settings.horizon
    }

    /// `Ta`: actions to execute before the next plan, from prediction `To - 1` on.
    pub fn n_action_steps(&self) -> usize {
        self.settings.n_action_steps
    }

    /// Executes another number of actions before the next plan.
    ///
    /// # Errors
    /// [`ModelError::OutOfRange`] if they are none or reach past the horizon.
    pub fn set_n_action_steps(&mut self, n_action_steps: usize) -> Result<(), ModelError> {
        let most = self.settings.horizon + 1 - self.settings.n_obs_steps;
        if !(1..=most).contains(&n_action_steps) {
            return Err(ModelError::OutOfRange {
                what: "action steps",
                at: 0,
            });
        }
        self.settings.n_action_steps = n_action_steps;
        Ok(())
    }

    /// Passes of the network in a plan.
    pub fn n_passes(&self) -> usize {
        self.passes.len() / Pass::SIZE
    }

    /// An observation's value `index` (px or rad), normalised.
    pub fn normalize_observation(&self, index: usize, value: I16F16) -> I16F16 {
        let scale = Affine::read(self.observation_scales, index);
        I16F16::from_bits(scale.apply(value.to_bits()))
    }

    /// An action's value (0 is x, 1 is y) in px, from its normalised one.
    pub fn unnormalize_action(&self, axis: usize, value: I8F24) -> I16F16 {
        let scale = Affine::read(self.action_scales, axis);
        I16F16::from_bits(scale.apply(value.to_bits()))
    }

    /// Whether actions are counted from where the newest observation has the agent, not from the window's corner.
    pub fn actions_from_agent(&self) -> bool {
        self.settings.actions_from_agent
    }

    /// How the model was made.
    pub fn provenance(&self) -> &'a str {
        self.provenance
    }

    /// Bytes of [`Scratch`](super::Scratch) that a plan touches.
    pub fn memory_bytes(&self) -> usize {
        let samples = 2 * ACTION_DIM * self.sizes.horizon * size_of::<i32>();
        (self.sizes.total() + self.sizes.condition) * size_of::<i16>() + samples
    }

    pub(crate) fn pass(&self, index: usize) -> Pass {
        Pass::read(slices::from(self.passes, index * Pass::SIZE))
    }
}

/// The sizes and exponents at the head of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) observation: ObservationKind,
    pub(crate) n_obs_steps: usize,
    pub(crate) horizon: usize,
    pub(crate) n_action_steps: usize,
    pub(crate) n_levels: usize,
    pub(crate) kernel_size: usize,
    pub(crate) n_groups: usize,
    /// Of the final block: upstream builds it with its default, 8, whatever the others have.
    pub(crate) final_n_groups: usize,
    pub(crate) film_has_scale: bool,
    pub(crate) n_passes: usize,
    /// Binary places of the network's input and of the condition.
    pub(crate) sample_exponent: u32,
    pub(crate) condition_exponent: u32,
    /// Channels of each level; the first `n_levels` count.
    pub(crate) down_dims: [usize; MAX_LEVELS],
    /// Whether actions are counted from where the newest observation has the agent, not from the window's corner.
    pub(crate) actions_from_agent: bool,
}

impl Settings {
    /// Zero rows before and after every tensor.
    pub(crate) fn padding(&self) -> usize {
        (self.kernel_size / 2).max(1)
    }

    /// Outputs of a block's FiLM projection, for a block of `n_channels`.
    pub(crate) fn film_len(&self, n_channels: usize) -> usize {
        if self.film_has_scale {
            2 * n_channels
        } else {
            n_channels
        }
    }

    /// `To` observations.
    pub(crate) fn n_observed(&self) -> usize {
        self.n_obs_steps * self.observation.dim()
    }
}

/// How many values each part of the working memory has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sizes {
    pub(crate) horizon: usize,
    pub(crate) condition: usize,
    pub(crate) input: usize,
    pub(crate) hidden: usize,
    pub(crate) skips: usize,
    pub(crate) film: usize,
}

impl Sizes {
    /// Values of the arena.
    pub(crate) fn total(&self) -> usize {
        self.input + 2 * self.hidden + self.skips + self.film
    }
}

/// diffusion_policy's `ConditionalUnet1D` (arXiv 2303.04137).
#[derive(Clone, Debug, Default)]
pub(crate) struct Unet<'a> {
    /// Two a level down, two in the middle, two a level up.
    pub(crate) blocks: Vec<ResidualBlock<'a>, MAX_BLOCKS>,
    pub(crate) downsamples: Vec<Downsample<'a>, MAX_LEVELS>,
    pub(crate) upsamples: Vec<Upsample<'a>, MAX_LEVELS>,
    pub(crate) final_block: ConvBlock<'a>,
    /// Binary places of the final block's output.
    pub(crate) final_exponent: u32,
    /// From channels to an action, in I8F24.
    pub(crate) final_conv: Linear<'a>,
}

/// Convolution, GroupNorm, Mish.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConvBlock<'a> {
    pub(crate) conv: Linear<'a>,
    /// Binary places of the convolution's output.
    pub(crate) conv_exponent: u32,
    pub(crate) norm: Norm<'a>,
}

/// Upstream's `ConditionalResidualBlock1D`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResidualBlock<'a> {
    pub(crate) n_channels: usize,
    pub(crate) first: ConvBlock<'a>,
    pub(crate) film: Film<'a>,
    /// Binary places of the first half's output, after FiLM.
    pub(crate) hidden_exponent: u32,
    pub(crate) second: ConvBlock<'a>,
    /// The 1x1 convolution beside the block, where the number of channels changes.
    pub(crate) residual_conv: Option<Linear<'a>>,
    /// Binary places of what is added, and of the sum.
    pub(crate) residual_exponent: u32,
    pub(crate) exponent: u32,
}

/// A FiLM projection (Perez et al. 2018, arXiv 1709.07871), split by what it depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Film<'a> {
    /// The observation's share.
    pub(crate) condition: Linear<'a>,
    /// The diffusion step's share, with the bias: `i16`, `[passes][outputs]`.
    pub(crate) steps: &'a [u8],
    /// Binary places of both.
    pub(crate) exponent: u32,
}

/// A convolution of stride 2: `[L][C]` becomes `[L / 2][C]`.
pub(crate) type Downsample<'a> = Resample<'a, 1>;
/// A transposed convolution of stride 2, `[L][C]` becomes `[2 L][C]`: the even positions' rows, then the odd ones'.
pub(crate) type Upsample<'a> = Resample<'a, 2>;

/// A change of the length by a factor of two, as one convolution for each phase of the output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resample<'a, const PHASES: usize> {
    pub(crate) phases: [Linear<'a>; PHASES],
    /// Binary places of the output.
    pub(crate) exponent: u32,
}

/// One step of the sampler:
/// `x_0 = clip(k_x x + k_o out)`, then `x' = n_0 x_0 + n_x x + n_o out + n_z z`, with `z` standard normal.
///
/// With the right coefficients this is DDPM (Ho et al. 2020, arXiv 2006.11239) and DDIM (Song et al. 2020,
/// arXiv 2010.02502), whether the network predicts the noise, the sample or the velocity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    /// Whether `z` is drawn.
    pub(crate) draws_noise: bool,
    /// `k_x`, `k_o`: mantissas with [`clean_shift`](Self::clean_shift) binary places.
    pub(crate) clean: [i32; 2],
    pub(crate) clean_shift: u32,
    /// Largest `|x_0|`, I8F24.
    pub(crate) clip: i32,
    /// `n_0`, `n_x`, `n_o`, `n_z`: mantissas with [`next_shift`](Self::next_shift) binary places.
    pub(crate) next: [i32; 4],
    pub(crate) next_shift: u32,
}

impl Pass {
    /// Bytes of a pass in the model file.
    pub(crate) const SIZE: usize = 44;
    /// Largest mantissa: four products with an `i32` then stay below 2^62.
    pub(crate) const MAX_MANTISSA: u32 = 1 << 29;

    /// Reads a record; its first word, the diffusion step, is there for people.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let word = |i: usize| read::i32_at(bytes, 4 * i);
        Self {
            draws_noise: word(1) != 0,
            clean: [word(2), word(3)],
            clean_shift: word(4) as u32,
            clip: word(5),
            next: [word(6), word(7), word(8), word(9)],
            next_shift: word(10) as u32,
        }
    }
}

/// An affine map of one value of an observation or action: a factor, then an offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Affine {
    factor: Factor,
    offset: i32,
}

impl Affine {
    /// Bytes of a map in the model file.
    pub(crate) const SIZE: usize = Factor::SIZE + 4;

    /// Entry `index` of a table.
    pub(crate) fn read(table: &[u8], index: usize) -> Self {
        let at = index * Self::SIZE;
        Self {
            factor: Factor::read(table, at),
            offset: read::i32_at(table, at + Factor::SIZE),
        }
    }

    pub(crate) fn is_valid(self) -> bool {
        self.factor.is_valid()
    }

    pub(crate) fn apply(self, value: i32) -> i32 {
        self.factor.apply(value).saturating_add(self.offset)
    }
}
