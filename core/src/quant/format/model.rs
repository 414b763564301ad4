//! Parsed model file: views into its bytes.

use super::error::ModelError;
use super::layers::Unet;
use super::limits::MAX_LEVELS;
use super::values::{ActionValue, Names, ObservationValue};
use crate::control::{PlanShape, Value};
use crate::quant::kernels::linear::LANES;
use crate::quant::kernels::{read, slices};

/// A quantised diffusion policy of any low-dimensional task, used in place.
///
/// `Do`, `Da`: lengths of an observation and of an action. `To`, `Tp`, `Ta`: observation steps,
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
    /// Whether `passes` are fewer than the file's.
    pub(crate) stops_early: bool,
    pub(crate) observation_values: &'a [u8],
    pub(crate) action_values: &'a [u8],
    pub(crate) names: Names<'a>,
    pub(crate) weight_bits: &'a [u8],
    pub(crate) unet: Unet<'a>,
    pub(crate) provenance: &'a str,
    pub(crate) sizes: Sizes,
}

impl<'a> Model<'a> {
    /// Dimensions of a window of observations and of a chunk of actions.
    pub fn shape(&self) -> PlanShape {
        PlanShape {
            n_obs_steps: self.settings.n_obs_steps,
            obs_dim: self.settings.obs_dim,
            n_action_steps: self.settings.n_action_steps,
            action_dim: self.settings.action_dim,
        }
    }

    /// `Tp`: predicted actions per plan.
    pub fn horizon(&self) -> usize {
        self.settings.horizon
    }

    /// Values of a position of the trajectory: `Da`, or `Da + Do` when inpainting.
    pub fn trajectory_dim(&self) -> usize {
        self.settings.input_dim
    }

    /// `Ta`: actions executed per plan, from prediction [`first_action`](Self::first_action) on.
    pub fn n_action_steps(&self) -> usize {
        self.settings.n_action_steps
    }

    /// Index of the first executed prediction: `To - 1`, unless the file says otherwise.
    pub fn first_action(&self) -> usize {
        self.settings.first_action
    }

    /// Largest number of actions that a plan has to execute.
    pub fn most_action_steps(&self) -> usize {
        self.settings.horizon - self.settings.first_action
    }

    /// Sets the number of actions executed per plan.
    ///
    /// # Errors
    /// [`ModelError::OutOfRange`] if it is 0 or the actions exceed the horizon.
    pub fn set_n_action_steps(&mut self, n_action_steps: usize) -> Result<(), ModelError> {
        let most = self.most_action_steps();
        if !(1..=most).contains(&n_action_steps) {
            return Err(ModelError::OutOfRange {
                what: "action steps",
                at: 0,
            });
        }
        self.settings.n_action_steps = n_action_steps;
        Ok(())
    }

    /// Passes of the network per plan.
    pub fn n_passes(&self) -> usize {
        self.passes.len() / Pass::SIZE
    }

    /// Ends a plan after its first `n_passes` passes, with what the last of them takes for the clean
    /// trajectory. All passes are as in the file, so this trades quality for time without another
    /// file; one that was made for fewer passes plans better.
    ///
    /// # Errors
    /// [`ModelError::OutOfRange`] if it is 0 or more than are left.
    pub fn stop_after(&mut self, n_passes: usize) -> Result<(), ModelError> {
        let passes = self.passes.get(..n_passes.saturating_mul(Pass::SIZE));
        let Some(passes) = passes.filter(|passes| !passes.is_empty()) else {
            return Err(ModelError::OutOfRange {
                what: "passes",
                at: 0,
            });
        };
        self.stops_early |= passes.len() < self.passes.len();
        self.passes = passes;
        Ok(())
    }

    /// Name of the task, which also selects its observations; empty if the file has none.
    pub fn task(&self) -> &'a str {
        self.names.task()
    }

    /// Name and unit of value `index`: first the `Do` values of an observation, then the `Da` of an
    /// action.
    pub fn value(&self, index: usize) -> Value<'a> {
        self.names.value(index)
    }

    /// Fixed-point format and normaliser of value `index` of an observation.
    pub fn observation_value(&self, index: usize) -> ObservationValue {
        ObservationValue::read(self.observation_values, index)
    }

    /// Fixed-point format and normaliser of value `index` of an action.
    pub fn action_value(&self, index: usize) -> ActionValue {
        ActionValue::read(self.action_values, index)
    }

    /// Bits of each product's weights, 4 or 8, in the file's order of products; empty if all have 8.
    pub fn weight_bits(&self) -> &'a [u8] {
        self.weight_bits
    }

    /// Description of the model's origin.
    pub fn provenance(&self) -> &'a str {
        self.provenance
    }

    /// Working memory of a plan, in words of 8 bytes, for
    /// [`IntPolicy::new`](crate::quant::IntPolicy::new). Equal on every machine.
    pub fn scratch_len(&self) -> usize {
        self.sizes.scratch_len()
    }

    pub(crate) fn pass(&self, index: usize) -> Pass {
        let pass = Pass::read(slices::from(self.passes, index * Pass::SIZE));
        match self.stops_early && index + 1 == self.n_passes() {
            true => pass.to_clean(),
            false => pass,
        }
    }
}

/// Sizes and exponents in the file's settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) obs_dim: usize,
    pub(crate) action_dim: usize,
    pub(crate) n_obs_steps: usize,
    pub(crate) horizon: usize,
    pub(crate) n_action_steps: usize,
    /// Index of the first executed prediction.
    pub(crate) first_action: usize,
    /// Whether observations are part of the trajectory instead of a condition.
    pub(crate) is_inpainting: bool,
    /// Values of a position of the trajectory: an action, then an observation when inpainting.
    pub(crate) input_dim: usize,
    pub(crate) n_levels: usize,
    pub(crate) kernel_size: usize,
    pub(crate) n_groups: usize,
    /// Groups of the final block: always upstream's default, 8.
    pub(crate) final_n_groups: usize,
    pub(crate) film_has_scale: bool,
    pub(crate) n_passes: usize,
    /// Binary places of the network's input and of the condition.
    pub(crate) sample_exponent: u32,
    pub(crate) condition_exponent: u32,
    /// Channels per level; only the first `n_levels` are used.
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

    /// Outputs of the FiLM projection of a block with `n_channels` channels.
    pub(crate) fn film_len(&self, n_channels: usize) -> usize {
        if self.film_has_scale {
            2 * n_channels
        } else {
            n_channels
        }
    }

    /// Length of a window of observations.
    pub(crate) fn window_len(&self) -> usize {
        self.n_obs_steps * self.obs_dim
    }

    /// Length of the condition, in whole [`LANES`]; none when inpainting.
    pub(crate) fn condition_len(&self) -> usize {
        match self.is_inpainting {
            true => 0,
            false => self.window_len().next_multiple_of(LANES),
        }
    }
}

/// Lengths of the parts of a plan's working memory.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sizes {
    /// Condition, numbers of `i16`.
    pub condition: usize,
    /// Largest input of a layer, with its padding.
    pub input: usize,
    /// Largest output of a layer, with its padding.
    pub hidden: usize,
    /// All skips.
    pub skips: usize,
    /// Projections of FiLM.
    pub film: usize,
    /// Window of observations, numbers of `i32`.
    pub window: usize,
    /// Trajectory, numbers of `i32`.
    pub trajectory: usize,
    /// Length of the longest row of a matrix product, for the kernels' panel.
    pub largest_window: usize,
}

/// One step of the sampler, with `z` standard normal:
/// `x_0 = clip(k_x x + k_o out)`, `x' = n_0 x_0 + n_x x + n_o out + n_z z`.
///
/// The coefficients select DDPM (Ho et al. 2020, arXiv 2006.11239) or DDIM (Song et al. 2020, arXiv
/// 2010.02502), with noise, sample or velocity prediction.
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

// That sum of four, which `rounding_shift_right` takes.
const _: () = assert!(4 * ((Pass::MAX_MANTISSA as u64) << 31) <= 1 << 62);

impl Pass {
    /// Size of a pass in the model file, bytes.
    pub(crate) const SIZE: usize = 44;
    /// Largest mantissa: the sum of four products with an `i32` is at most 2^62.
    pub(crate) const MAX_MANTISSA: u32 = 1 << 29;

    /// Reads a record; its first word, the diffusion step, is informative only.
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

    /// The step that ends in its estimate of the clean trajectory, exactly.
    fn to_clean(self) -> Self {
        const SHIFT: u32 = 20;
        Self {
            draws_noise: false,
            next: [1 << SHIFT, 0, 0, 0],
            next_shift: SHIFT,
            ..self
        }
    }
}
