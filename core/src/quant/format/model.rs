//! A parsed model file: views into its bytes.

use super::error::ModelError;
use super::layers::Unet;
use super::limits::MAX_LEVELS;
use super::values::{ActionValue, Names, ObservationValue};
use crate::control::{PlanShape, Value};
use crate::quant::kernels::{read, slices};

/// A quantised diffusion policy of any low-dimensional task, read in place.
///
/// `Do`, `Da`: values of an observation and of an action. `To`, `Tp`, `Ta`: observation steps,
/// horizon, executed actions. `C`, `L`: channels, positions.
///
/// ```
/// use pusht_core::quant::Model;
///
/// # let bytes = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/fetch.ptm"));
/// let model = Model::parse(bytes)?;
/// let shape = model.shape();
/// assert_eq!((shape.obs_dim, shape.action_dim), (28, 4));
/// assert_eq!(model.task(), "fetch-pick-and-place");
/// assert_eq!((model.value(0).name, model.value(0).unit), ("gripper_x", "m"));
/// # Ok::<(), pusht_core::quant::ModelError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Model<'a> {
    pub(crate) settings: Settings,
    pub(crate) passes: &'a [u8],
    pub(crate) observation_values: &'a [u8],
    pub(crate) action_values: &'a [u8],
    pub(crate) names: Names<'a>,
    pub(crate) unet: Unet<'a>,
    pub(crate) provenance: &'a str,
    pub(crate) sizes: Sizes,
}

impl<'a> Model<'a> {
    /// Sizes of a window of observations and of a chunk of actions.
    pub fn shape(&self) -> PlanShape {
        PlanShape {
            n_obs_steps: self.settings.n_obs_steps,
            obs_dim: self.settings.obs_dim,
            n_action_steps: self.settings.n_action_steps,
            action_dim: self.settings.action_dim,
        }
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

    /// Name of the task, and of what derives its observations; empty if the file doesn't say.
    pub fn task(&self) -> &'a str {
        self.names.task()
    }

    /// Name and unit of value `index`: the `Do` values of an observation, then the `Da` values of
    /// an action.
    pub fn value(&self, index: usize) -> Value<'a> {
        self.names.value(index)
    }

    /// How value `index` of an observation enters the network.
    pub fn observation_value(&self, index: usize) -> ObservationValue {
        ObservationValue::read(self.observation_values, index)
    }

    /// How value `index` of an action leaves the network.
    pub fn action_value(&self, index: usize) -> ActionValue {
        ActionValue::read(self.action_values, index)
    }

    /// How the model was made.
    pub fn provenance(&self) -> &'a str {
        self.provenance
    }

    /// Working memory of a plan, in words of 8 bytes: the length of the slice that
    /// [`IntPolicy::new`](crate::quant::IntPolicy::new) takes. The same on every machine.
    pub fn scratch_len(&self) -> usize {
        self.sizes.scratch_len()
    }

    pub(crate) fn pass(&self, index: usize) -> Pass {
        Pass::read(slices::from(self.passes, index * Pass::SIZE))
    }
}

/// The sizes and exponents at the head of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) obs_dim: usize,
    pub(crate) action_dim: usize,
    pub(crate) n_obs_steps: usize,
    pub(crate) horizon: usize,
    pub(crate) n_action_steps: usize,
    pub(crate) n_levels: usize,
    pub(crate) kernel_size: usize,
    pub(crate) n_groups: usize,
    /// Groups of the final block: upstream builds it with its default, 8, whatever the others have.
    pub(crate) final_n_groups: usize,
    pub(crate) film_has_scale: bool,
    pub(crate) n_passes: usize,
    /// Binary places of the network's input and of the condition.
    pub(crate) sample_exponent: u32,
    pub(crate) condition_exponent: u32,
    /// Channels of each level; the first `n_levels` count.
    pub(crate) down_dims: [u16; MAX_LEVELS],
}

impl Settings {
    /// Channels of a level.
    pub(crate) fn channels(&self, level: usize) -> usize {
        self.down_dims
            .get(level)
            .copied()
            .unwrap_or_default()
            .into()
    }

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

    /// Values of a window of observations.
    pub(crate) fn window_len(&self) -> usize {
        self.n_obs_steps * self.obs_dim
    }
}

/// How many values each part of the working memory has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sizes {
    /// Of `i16`.
    pub(crate) condition: usize,
    pub(crate) input: usize,
    pub(crate) hidden: usize,
    pub(crate) skips: usize,
    pub(crate) film: usize,
    /// Of `i32`: a window of observations, a trajectory of actions.
    pub(crate) window: usize,
    pub(crate) trajectory: usize,
    /// The largest window of a product, which the kernels' panel has to hold.
    pub(crate) largest_window: usize,
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
