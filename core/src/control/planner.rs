//! What every policy looks like from outside: a window of observations in, a chunk of actions out.

use crate::Error;
use crate::noise::Noise;

/// Sizes of the rows that a policy takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PlanShape {
    /// `To`: observations that a plan looks at.
    pub n_obs_steps: usize,
    /// `Do`: values of an observation.
    pub obs_dim: usize,
    /// `Ta`: actions that are executed before the next plan.
    pub n_action_steps: usize,
    /// `Da`: values of an action.
    pub action_dim: usize,
}

impl PlanShape {
    /// Values of a window, `[To][Do]`.
    pub const fn window_len(&self) -> usize {
        self.n_obs_steps * self.obs_dim
    }

    /// Values of a chunk, `[Ta][Da]`.
    pub const fn chunk_len(&self) -> usize {
        self.n_action_steps * self.action_dim
    }
}

/// What a value of an observation or action is called, and its unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Value<'a> {
    /// Name; empty if unknown.
    pub name: &'a str,
    /// Unit; empty for a number without one.
    pub unit: &'a str,
}

/// A policy that turns the last `To` observations into the next `Ta` actions.
pub trait Planner {
    /// Sizes of a window and of a chunk.
    fn shape(&self) -> PlanShape;

    /// Plans from `window` (`[To][Do]`, oldest first) into `chunk` (`[Ta][Da]`), both in the
    /// task's units. The initial sample, and whatever the scheduler draws after it, comes from
    /// `noise`.
    ///
    /// # Errors
    /// [`Error::NonFiniteObservation`] if a value of the window is NaN or infinite;
    /// [`Error::WrongLength`] if a slice is not as long as [`shape`](Self::shape) says.
    fn plan(
        &mut self,
        window: &[f64],
        noise: &mut dyn Noise,
        chunk: &mut [f64],
    ) -> Result<(), Error>;

    /// Turns `action` (`[Da]`), the last one, into what is to be held while nobody plans;
    /// `observation` (`[Do]`) is the newest. Unless overridden, that is the last action.
    fn hold(&self, observation: &[f64], action: &mut [f64]) {
        let _ = (observation, action);
    }

    /// Name of the task, if it is known.
    fn task(&self) -> &str {
        ""
    }

    /// Name and unit of value `index`: the `Do` values of an observation, then the `Da` values of
    /// an action.
    fn value(&self, index: usize) -> Value<'_> {
        let _ = index;
        Value::default()
    }
}

/// One plan of several that are computed together: the arguments of [`Planner::plan`].
pub struct PlanJob<'p> {
    /// `[To][Do]`, oldest first.
    pub window: &'p [f64],
    /// Source of the initial sample, and of whatever the scheduler draws after it.
    pub noise: &'p mut dyn Noise,
    /// `[Ta][Da]`.
    pub chunk: &'p mut [f64],
}

/// `Ok` if a slice is as long as its shape says.
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

/// `Ok` if every value of an observation is finite.
pub(crate) fn check_finite(observation: &[f64]) -> Result<(), Error> {
    if observation.iter().all(|value| value.is_finite()) {
        Ok(())
    } else {
        Err(Error::NonFiniteObservation)
    }
}
