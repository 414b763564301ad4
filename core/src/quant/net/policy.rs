//! The integer policy: observations in, actions out.

use super::sampler;
use super::scratch::Parts;
use super::unet::{Observer, Unobserved};
use crate::Error;
use crate::control::planner::{check_len, check_observed};
use crate::control::{PlanShape, Planner, Value};
use crate::noise::Noise;
use crate::quant::format::error::ModelError;
use crate::quant::format::model::Model;
use crate::quant::format::values::{Hold, ObservationValue};
use crate::quant::kernels::mish::mish_q16;
use crate::quant::kernels::rounding::{round_to_i16, saturate_i32};
use crate::quant::kernels::slices;
use core::array;
use fixed::types::I8F24;

/// A [`Model`] with its working memory.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pusht_core::control::Planner;
/// use pusht_core::noise::NoiseSource;
/// use pusht_core::quant::{IntPolicy, Model};
///
/// # let bytes = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/pusht-small.ptm"));
/// let model = Model::parse(bytes)?;
/// let mut scratch = vec![0; model.scratch_len()];
/// let mut policy = IntPolicy::new(&model, &mut scratch)?;
/// let shape = policy.shape();
/// let window = vec![256.0; shape.window_len()]; // [To][Do], oldest first
/// let mut chunk = vec![0.0; shape.chunk_len()]; // [Ta][Da]
/// policy.plan(&window, &mut NoiseSource::new(0), &mut chunk)?;
/// # assert!(chunk.iter().all(|value| (0.0..512.0).contains(value)), "{chunk:?}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct IntPolicy<'m> {
    model: &'m Model<'m>,
    scratch: &'m mut [u64],
}

impl<'m> IntPolicy<'m> {
    /// Creates the policy; `scratch` has at least [`Model::scratch_len`] words.
    ///
    /// # Errors
    /// [`ModelError::ScratchTooSmall`] if it has fewer.
    pub fn new(model: &'m Model<'m>, scratch: &'m mut [u64]) -> Result<Self, ModelError> {
        check_scratch(model.scratch_len(), scratch.len())?;
        Ok(Self { model, scratch })
    }

    /// Plans in integers from `window` (`[To][Do]`, oldest first) into `chunk` (`[Ta][Da]`), both
    /// in the fixed-point formats of [`Model::observation_value`] and [`Model::action_value`].
    ///
    /// # Errors
    /// [`Error::WrongLength`] if a slice does not have the length of [`Model::shape`].
    pub fn plan_fixed(
        &mut self,
        window: &[i32],
        noise: &mut dyn Noise,
        chunk: &mut [i32],
    ) -> Result<(), Error> {
        self.plan_observed(window, noise, chunk, &mut Unobserved)
    }

    /// As [`plan_fixed`](Self::plan_fixed); `observer` receives every tensor of every pass.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if a slice does not have the length of [`Model::shape`].
    pub fn plan_observed(
        &mut self,
        window: &[i32],
        noise: &mut dyn Noise,
        chunk: &mut [i32],
        observer: &mut impl Observer,
    ) -> Result<(), Error> {
        let shape = self.model.shape();
        check_len("window", shape.window_len(), window.len())?;
        check_len("chunk", shape.chunk_len(), chunk.len())?;
        let mut parts = Parts::of(self.scratch, &self.model.sizes);
        slices::copy(window, parts.window);
        plan_together(
            self.model,
            array::from_mut(&mut parts),
            &mut [noise],
            observer,
        );
        for (index, value) in chunk.iter_mut().enumerate() {
            *value = action(self.model, &parts, index);
        }
        Ok(())
    }
}

/// Checks the length of the working memory.
pub(super) fn check_scratch(needed: usize, available: usize) -> Result<(), ModelError> {
    if available < needed {
        return Err(ModelError::ScratchTooSmall { needed, available });
    }
    Ok(())
}

impl Planner for IntPolicy<'_> {
    fn shape(&self) -> PlanShape {
        self.model.shape()
    }

    // Not inlined, so that it takes no stack while the simulator runs.
    #[inline(never)]
    fn plan(
        &mut self,
        window: &[f64],
        noise: &mut dyn Noise,
        chunk: &mut [f64],
    ) -> Result<(), Error> {
        check_job(self.model, window, chunk)?;
        let mut parts = Parts::of(self.scratch, &self.model.sizes);
        write_window(self.model, window, &mut parts);
        plan_together(
            self.model,
            array::from_mut(&mut parts),
            &mut [noise],
            &mut Unobserved,
        );
        read_chunk(self.model, &parts, chunk);
        Ok(())
    }

    fn hold(&self, observation: &[f64], action: &mut [f64]) {
        for (index, value) in action.iter_mut().enumerate() {
            let action_value = self.model.action_value(index);
            match (action_value.hold, action_value.relative_to) {
                (Hold::Last, _) => {}
                (Hold::Observed, Some(from)) => {
                    *value = observation.get(from).copied().unwrap_or_default();
                }
                (Hold::Observed, None) | (Hold::Zero, _) => *value = 0.0,
            }
        }
    }

    fn task(&self) -> &str {
        self.model.task()
    }

    fn value(&self, index: usize) -> Value<'_> {
        self.model.value(index)
    }
}

/// Checks the lengths of `window` and `chunk` and the values of the observations.
pub(super) fn check_job(model: &Model<'_>, window: &[f64], chunk: &[f64]) -> Result<(), Error> {
    let shape = model.shape();
    check_len("window", shape.window_len(), window.len())?;
    check_len("chunk", shape.chunk_len(), chunk.len())?;
    check_observed(window)
}

/// Converts the window to fixed point.
pub(super) fn write_window(model: &Model<'_>, window: &[f64], parts: &mut Parts<'_>) {
    let dim = model.settings.obs_dim;
    let rows = slices::rows(window, dim).zip(slices::rows_mut(parts.window, dim));
    for (observation, fixed) in rows {
        for (index, (place, value)) in fixed.iter_mut().zip(observation).enumerate() {
            *place = model.observation_value(index).to_fixed(*value);
        }
    }
}

/// Converts the actions to floats.
pub(super) fn read_chunk(model: &Model<'_>, parts: &Parts<'_>, chunk: &mut [f64]) {
    let dim = model.settings.action_dim;
    let mut first = 0;
    for row in slices::rows_mut(chunk, dim) {
        for (index, value) in row.iter_mut().enumerate() {
            *value = (model.action_value(index)).to_f64(action(model, parts, first + index));
        }
        first += dim;
    }
}

/// Computes `B` independent plans from the windows in `parts`.
#[inline(always)]
pub(super) fn plan_together<const B: usize>(
    model: &Model<'_>,
    parts: &mut [Parts<'_>; B],
    noise: &mut [&mut dyn Noise; B],
    observer: &mut impl Observer,
) {
    for part in parts.iter_mut() {
        match model.settings.is_inpainting {
            // The step's share is all of FiLM's projection.
            true => part.film.fill(0),
            false => write_condition(model, part.window, part.condition),
        }
    }
    sampler::sample(model, noise, parts, observer);
}

/// Computes the condition: `mish` of the normalised observations.
fn write_condition(model: &Model<'_>, window: &[i32], condition: &mut [i16]) {
    let dim = model.settings.obs_dim;
    let shift = 16 - model.settings.condition_exponent;
    slices::zero(condition);
    let rows = slices::rows(window, dim).zip(slices::rows_mut(condition, dim));
    for (observation, places) in rows {
        let values = model.observation_values.as_chunks().0;
        for ((place, fixed), value) in places.iter_mut().zip(observation).zip(values) {
            let normalized = ObservationValue::of(value).normalize(*fixed);
            let activated_q16 = mish_q16(normalized.to_bits());
            *place = round_to_i16(activated_q16, shift);
        }
    }
}

/// Puts the observations into every trajectory when inpainting: `[To][Do]` after the actions of its
/// first `To` positions. Not inlined, nor generic: a device has one copy.
#[inline(never)]
pub(super) fn inpaint(model: &Model<'_>, parts: &mut [Parts<'_>]) {
    let settings = &model.settings;
    if !settings.is_inpainting {
        return;
    }
    for part in parts {
        let observations = slices::rows(part.window, settings.obs_dim);
        let rows = slices::rows_mut(part.sample, settings.input_dim);
        for (row, observation) in rows.zip(observations) {
            let places = slices::from_mut(row, settings.action_dim).iter_mut();
            let values = model.observation_values.as_chunks().0;
            for ((place, fixed), value) in places.zip(observation).zip(values) {
                let normalized = ObservationValue::of(value).normalize(*fixed);
                *place = I8F24::from_bits(saturate_i32(i64::from(normalized.to_bits()) << 8));
            }
        }
    }
}

/// Value `index` of the chunk `[Ta][Da]`, in fixed point.
pub(super) fn action(model: &Model<'_>, parts: &Parts<'_>, index: usize) -> i32 {
    let settings = &model.settings;
    let action_dim = settings.action_dim.max(1);
    let (step, column) = (index / action_dim, index % action_dim);
    let value = model.action_value(column);
    let newest = parts.window.len().saturating_sub(settings.obs_dim);
    let origin = value
        .relative_to
        .and_then(|from| parts.window.get(newest + from));
    let place = (settings.first_action + step) * settings.input_dim + column;
    let normalized = parts.sample.get(place).copied();
    debug_assert!(normalized.is_some(), "value {index} of a chunk");
    debug_assert!(value.relative_to.is_none() || origin.is_some());
    value.unnormalize(
        normalized.unwrap_or_default(),
        origin.copied().unwrap_or_default(),
    )
}
