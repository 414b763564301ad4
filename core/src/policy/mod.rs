//! The low-dimensional Diffusion Policy: from the last `To` observations to the next `Tp` actions.
//!
//! The counterpart of diffusion_policy's `DiffusionUnetLowdimPolicy`: normalise, sample a
//! trajectory with the network and a scheduler, un-normalise. Letters: `B` plans of a batch, `To`
//! observation steps, `Tp` horizon, `Ta` executed actions, `Do` and `Da` sizes of an observation
//! and of an action.

mod normalizer;
mod predict_action;
mod sample;
pub mod scheduler;
pub mod unet;

pub use normalizer::{FitMode, FitOptions, FitStats, LinearNormalizer};
pub use predict_action::{
    ActionPrediction, Conditioning, DiffusionUnetLowdimPolicy, PolicyOptions,
};
pub use sample::{Condition, SampleInput, Scheduler, conditional_sample, sample_scratch_len};

use scheduler::SchedulerError;
use unet::UnetError;

/// Why a policy can't be built or asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PolicyError {
    /// A rule of [`PolicyOptions`] is broken.
    Options(&'static str),
    /// A value of an observation is NaN or infinite.
    NonFiniteObservation,
    /// A plan has overflowed `f32`, by too large an observation or too large weights.
    NonFiniteAction,
    /// A slice of the wrong length.
    WrongLength {
        /// Name of the argument.
        what: &'static str,
        /// Elements needed.
        expected: usize,
        /// Elements given.
        got: usize,
    },
    /// The network refused.
    Unet(UnetError),
    /// The scheduler refused.
    Scheduler(SchedulerError),
}

impl core::fmt::Display for PolicyError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Options(rule) => write!(f, "policy: {rule}"),
            Self::NonFiniteObservation => write!(f, "policy: observation is not finite"),
            Self::NonFiniteAction => write!(f, "policy: planned action is not finite"),
            Self::WrongLength {
                what,
                expected,
                got,
            } => write!(f, "policy: {what} needs {expected} values, got {got}"),
            Self::Unet(error) => error.fmt(f),
            Self::Scheduler(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for PolicyError {}

impl From<UnetError> for PolicyError {
    fn from(error: UnetError) -> Self {
        Self::Unet(error)
    }
}

impl From<SchedulerError> for PolicyError {
    fn from(error: SchedulerError) -> Self {
        Self::Scheduler(error)
    }
}

fn expect_finite(values: &[f32]) -> Result<(), PolicyError> {
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(()),
        false => Err(PolicyError::NonFiniteAction),
    }
}

fn expect_len(what: &'static str, got: usize, expected: usize) -> Result<(), PolicyError> {
    if got == expected {
        return Ok(());
    }
    Err(PolicyError::WrongLength {
        what,
        expected,
        got,
    })
}
