//! Interface of every policy: a window of observations in, a chunk of actions out.

use crate::Error;
use crate::noise::Noise;

/// Dimensions of a policy's input and output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PlanShape {
    /// `To`: observations per plan.
    pub n_obs_steps: usize,
    /// `Do`: values of an observation.
    pub obs_dim: usize,
    /// `Ta`: actions executed per plan.
    pub n_action_steps: usize,
    /// `Da`: values of an action.
    pub action_dim: usize,
}

impl PlanShape {
    /// Length of a window, `[To][Do]`.
    pub const fn window_len(&self) -> usize {
        self.n_obs_steps * self.obs_dim
    }

    /// Length of a chunk, `[Ta][Da]`.
    pub const fn chunk_len(&self) -> usize {
        self.n_action_steps * self.action_dim
    }
}

/// Name and unit of a value of an observation or action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Value<'a> {
    /// Name; empty if unknown.
    pub name: &'a str,
    /// Unit; empty for a dimensionless value.
    pub unit: &'a str,
}

/// A policy that turns the last `To` observations into the next `Ta` actions.
pub trait Planner {
    /// Dimensions of a window and of a chunk.
    fn shape(&self) -> PlanShape;

    /// Plans from `window` (`[To][Do]`, oldest first) into `chunk` (`[Ta][Da]`), both in the task's
    /// units. `noise` provides the initial sample and the draws of a stochastic scheduler.
    ///
    /// # Errors
    /// [`Error::NonFiniteObservation`] if a value of the window is NaN or infinite;
    /// [`Error::ObservationTooLarge`] if an integer policy gets one beyond [`MAX_OBSERVED`];
    /// [`Error::NonFiniteAction`] if an action would be; [`Error::WrongLength`] if a slice does not have the length of [`shape`](Self::shape).
    fn plan(
        &mut self,
        window: &[f64],
        noise: &mut dyn Noise,
        chunk: &mut [f64],
    ) -> Result<(), Error>;

    /// Changes `action` (`[Da]`), the last one, to the action to hold while no plan arrives.
    /// `observation` (`[Do]`) is the newest. The default is the last action.
    fn hold(&self, observation: &[f64], action: &mut [f64]) {
        let _ = (observation, action);
    }

    /// Name of the task; empty if unknown.
    fn task(&self) -> &str {
        ""
    }

    /// Name and unit of value `index`: first the `Do` values of an observation, then the `Da` of an
    /// action.
    fn value(&self, index: usize) -> Value<'_> {
        let _ = index;
        Value::default()
    }
}

/// One plan of a batch: the arguments of [`Planner::plan`].
pub struct PlanJob<'p> {
    /// Window of observations, `[To][Do]`, oldest first.
    pub window: &'p [f64],
    /// Source of the initial sample and of the scheduler's draws.
    pub noise: &'p mut dyn Noise,
    /// Planned actions, `[Ta][Da]`.
    pub chunk: &'p mut [f64],
}

/// Shows everything but the source of noise.
impl core::fmt::Debug for PlanJob<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PlanJob")
            .field("window", &self.window)
            .field("chunk", &self.chunk)
            .finish_non_exhaustive()
    }
}

/// Checks the length of a slice.
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

/// Largest size of an observed value, in its own unit: nothing that is driven has a larger one, and
/// as an action to hold it would be one that nothing can follow.
pub const MAX_OBSERVED: f64 = 1e9;

/// Checks that every value of an observation is finite and has at most the size [`MAX_OBSERVED`].
pub(crate) fn check_observed(observation: &[f64]) -> Result<(), Error> {
    // Sizes have the order of their bits, with infinity and NaN at the end: no float arithmetic.
    let largest = observation.iter().map(|value| value.abs().to_bits()).max();
    match largest.unwrap_or_default() {
        bits if bits <= MAX_OBSERVED.to_bits() => Ok(()),
        bits if bits < f64::INFINITY.to_bits() => Err(Error::ObservationTooLarge),
        _ => Err(Error::NonFiniteObservation),
    }
}

/// Checks that every value of planned actions is finite.
pub(super) fn check_actions(actions: &[f64]) -> Result<(), Error> {
    if are_finite(actions) {
        Ok(())
    } else {
        Err(Error::NonFiniteAction)
    }
}

fn are_finite(values: &[f64]) -> bool {
    values.iter().all(|value| value.is_finite())
}
