//! The integer policy: observations in, actions out.

use crate::Error;
use crate::control::receding_horizon::{Action, Planner};
use crate::noise::Noise;
use crate::pusht::observation::{MAX_OBSERVATION_DIM, STATE_DIM, observe};
use crate::quant::format::model::Model;
use crate::quant::kernels::mish::mish_q16;
use crate::quant::kernels::rounding::{rounding_shift_right, saturate_i16};
use crate::quant::kernels::slices;
use crate::quant::net::sampler::{self, FixedPlan};
use crate::quant::net::scratch::{ACTION_DIM, MAX_CONDITION_LEN, MAX_HORIZON, Parts, Scratch};
use crate::quant::net::unet::{Observer, Unobserved};
use core::{array, slice};
use fixed::types::I16F16;

/// A [`Model`] and the memory to run it in.
#[derive(Debug)]
pub struct IntPolicy<'m> {
    model: &'m Model<'m>,
    scratch: &'m mut Scratch,
}

impl<'m> IntPolicy<'m> {
    /// Every model that was parsed fits.
    pub fn new(model: &'m Model<'m>, scratch: &'m mut Scratch) -> Self {
        Self { model, scratch }
    }

    /// Plans from `observations` (`To` of them, oldest first, as the model's
    /// [`ObservationKind`](crate::pusht::observation::ObservationKind) orders their values; px and rad) into `chunk`
    /// (`Ta` actions, px). Integers throughout.
    ///
    /// # Errors
    /// [`Error::WrongLength`].
    pub fn plan_fixed(
        &mut self,
        observations: &[I16F16],
        noise: &mut dyn Noise,
        chunk: &mut [[I16F16; ACTION_DIM]],
    ) -> Result<(), Error> {
        self.plan_observed(observations, noise, chunk, &mut Unobserved)
    }

    /// As [`plan_fixed`](Self::plan_fixed); `observer` sees every tensor of every pass.
    ///
    /// # Errors
    /// [`Error::WrongLength`].
    pub fn plan_observed(
        &mut self,
        observations: &[I16F16],
        noise: &mut dyn Noise,
        chunk: &mut [[I16F16; ACTION_DIM]],
        observer: &mut impl Observer,
    ) -> Result<(), Error> {
        let plan = &mut FixedPlan {
            observations,
            noise,
            chunk,
        };
        plan.check(self.model)?;
        let (scratch, plan) = (array::from_mut(&mut *self.scratch), slice::from_mut(plan));
        plan_all(self.model, scratch, plan, observer);
        Ok(())
    }
}

impl FixedPlan<'_> {
    fn check(&self, model: &Model<'_>) -> Result<(), Error> {
        let settings = &model.settings;
        check_len(
            "observations",
            settings.n_observed(),
            self.observations.len(),
        )?;
        check_len("chunk", settings.n_action_steps, self.chunk.len())
    }
}

/// `B` plans, checked, together: each as if it were alone.
#[inline(always)]
pub(crate) fn plan_all<const B: usize>(
    model: &Model<'_>,
    scratch: &mut [Scratch; B],
    plans: &mut [FixedPlan<'_>],
    observer: &mut impl Observer,
) {
    debug_assert!(plans.len() == B);
    let mut parts = (scratch.each_mut()).map(|scratch| scratch.parts(&model.sizes));
    for (plan, part) in plans.iter().zip(&mut parts) {
        write_condition(model, plan.observations, part.condition);
    }
    sampler::sample(model, plans, &mut parts, observer);
    for (plan, part) in plans.iter_mut().zip(&parts) {
        read_actions(model, plan.observations, part, plan.chunk);
    }
}

impl Planner for IntPolicy<'_> {
    fn n_obs_steps(&self) -> usize {
        self.model.n_obs_steps()
    }

    fn n_action_steps(&self) -> usize {
        self.model.n_action_steps()
    }

    /// The border: rounds the observations to I16F16, plans, and widens the actions.
    // Not inlined, so that its buffers are not on the stack while the simulator runs.
    #[inline(never)]
    fn plan(
        &mut self,
        states: &[[f64; STATE_DIM]],
        noise: &mut dyn Noise,
        chunk: &mut [Action],
    ) -> Result<(), Error> {
        check_len("chunk", self.model.n_action_steps(), chunk.len())?;
        let window = ObservationWindow::of(self.model, states)?;
        let mut actions = [[I16F16::ZERO; ACTION_DIM]; MAX_HORIZON];
        let actions = slices::part_mut(&mut actions, 0, chunk.len());
        self.plan_fixed(window.values(), noise, actions)?;
        for (action, planned) in chunk.iter_mut().zip(actions) {
            *action = planned.map(I16F16::to_num);
        }
        Ok(())
    }
}

/// What a plan sees, as the integer path takes it.
#[derive(Clone, Copy, Debug)]
pub struct ObservationWindow {
    values: [I16F16; MAX_CONDITION_LEN],
    len: usize,
}

impl ObservationWindow {
    pub(crate) const EMPTY: Self = Self {
        values: [I16F16::ZERO; MAX_CONDITION_LEN],
        len: 0,
    };

    /// The observations that `states` (`To` of them, oldest first) give, derived in `f64` and rounded to nearest.
    ///
    /// # Errors
    /// [`Error::NonFiniteObservation`], [`Error::WrongLength`].
    pub fn of(model: &Model<'_>, states: &[[f64; STATE_DIM]]) -> Result<Self, Error> {
        check_len("states", model.n_obs_steps(), states.len())?;
        let kind = model.observation();
        let len = model.settings.n_observed();
        let mut values = [I16F16::ZERO; MAX_CONDITION_LEN];
        for (state, values) in states.iter().zip(slices::rows_mut(&mut values, kind.dim())) {
            let mut observation = [0.0; MAX_OBSERVATION_DIM];
            let observation = slices::part_mut(&mut observation, 0, kind.dim());
            observe(kind, state, observation)?;
            for (value, observed) in values.iter_mut().zip(observation) {
                *value = saturating_fixed(*observed);
            }
        }
        Ok(Self { values, len })
    }

    /// `To` observations, oldest first; px and rad.
    pub fn values(&self) -> &[I16F16] {
        slices::part(&self.values, 0, self.len)
    }
}

/// `I16F16::saturating_from_num`, which panics at NaN: no observation is one, but the optimiser cannot know.
fn saturating_fixed(value: f64) -> I16F16 {
    let end = if value < 0.0 {
        I16F16::MIN
    } else {
        I16F16::MAX
    };
    I16F16::checked_from_num(value).unwrap_or(end)
}

pub(crate) fn check_len(what: &'static str, expected: usize, got: usize) -> Result<(), Error> {
    if expected == got {
        Ok(())
    } else {
        Err(Error::WrongLength {
            what,
            expected,
            got,
        })
    }
}

/// Normalises the observations and takes their `mish`, which is all that the network wants of them.
fn write_condition(model: &Model<'_>, observations: &[I16F16], condition: &mut [i16]) {
    let dim = model.settings.observation.dim();
    let shift = 16 - model.settings.condition_exponent;
    condition.fill(0);
    for (index, (place, value)) in condition.iter_mut().zip(observations).enumerate() {
        let normalized = model.normalize_observation(index % dim, *value);
        let activated_q16 = mish_q16(normalized.to_bits());
        *place = saturate_i16(rounding_shift_right(i64::from(activated_q16), shift));
    }
}

/// The predictions `To - 1 .. To - 1 + Ta`, in pixels of the window.
fn read_actions(
    model: &Model<'_>,
    observations: &[I16F16],
    parts: &Parts<'_>,
    chunk: &mut [[I16F16; ACTION_DIM]],
) {
    let mut origin = [I16F16::ZERO; ACTION_DIM];
    if model.settings.actions_from_agent {
        let kind = model.settings.observation;
        let newest = observations.len().saturating_sub(kind.dim());
        let agent = slices::part(observations, newest + kind.agent_at(), ACTION_DIM);
        slices::copy(agent, &mut origin);
    }
    let predictions = slices::from(parts.sample, model.settings.n_obs_steps.saturating_sub(1));
    for (action, prediction) in chunk.iter_mut().zip(predictions) {
        for (axis, value) in action.iter_mut().enumerate() {
            let counted = model.unnormalize_action(axis, prediction[axis]);
            *value = origin[axis].saturating_add(counted);
        }
    }
}
