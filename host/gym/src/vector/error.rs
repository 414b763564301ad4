//! Errors of vector environments.

use super::VectorStep;
use crate::env::EnvError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// An error of a vector environment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum VectorError {
    /// A vector environment was to be made of no sub-environments.
    NoEnvironments,
    /// A call was made while another is pending.
    AlreadyPendingCall {
        /// The call.
        called: &'static str,
        /// The pending call.
        pending: &'static str,
    },
    /// A `_wait` method was called without the `_async` method before it.
    NoAsyncCall {
        /// The call.
        called: &'static str,
        /// The call that must come first.
        needed: &'static str,
    },
    /// The vector environment is closed.
    ClosedEnvironment,
    /// Some sub-environments did not reply in time. Late replies are discarded.
    Timeout {
        /// The call.
        called: &'static str,
        /// The caller's timeout.
        timeout: Duration,
        /// Indices of the sub-environments that did not reply.
        pending: Vec<usize>,
    },
    /// The number of seeds differs from the number of sub-environments.
    SeedCount {
        /// Number of sub-environments.
        expected: usize,
        /// Number of seeds.
        got: usize,
    },
    /// The seeds that count up from the first one pass 2^64 - 1.
    SeedTooLarge {
        /// The first one.
        first: u64,
        /// Index of the first sub-environment without a seed.
        index: usize,
    },
    /// `options["reset_mask"]` is not an array.
    ResetMaskKind {
        /// Its kind.
        got: &'static str,
    },
    /// `options["reset_mask"]` does not have the shape (n).
    ResetMaskShape {
        /// Number of sub-environments.
        expected: usize,
        /// Its shape.
        got: Vec<usize>,
    },
    /// `options["reset_mask"]` is not an array of booleans.
    ResetMaskType {
        /// Its element type.
        got: &'static str,
    },
    /// `options["reset_mask"]` is false everywhere.
    ResetMaskEmpty,
    /// The number of actions differs from the number of sub-environments.
    ActionCount {
        /// Number of sub-environments.
        expected: usize,
        /// Number of actions.
        got: usize,
    },
    /// The number of values of the actions is not that of the sub-environments' actions together.
    ActionLength {
        /// Values needed.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// The actions do not have the action space's type and shape.
    ActionShape {
        /// Index of the first such action; `None` for the batch as a whole.
        index: Option<usize>,
        /// Type and shape of that action or batch.
        got: String,
    },
    /// An action contains NaN or an infinite number. No sub-environment was stepped.
    NonFiniteAction {
        /// Index of the action.
        index: usize,
    },
    /// The number of values for an attribute differs from the number of sub-environments.
    ValueCount {
        /// Number of sub-environments.
        expected: usize,
        /// Number of values.
        got: usize,
    },
    /// `call` was given the name of a method of the vector environment itself.
    ReservedName(String),
    /// The batched observation space that [`ObservationMode::Spaces`](super::ObservationMode) gives
    /// is not one of as many values of the sub-environments' spaces.
    BatchedSpace,
    /// A sub-environment's observation space differs from the first one's, or from the one that
    /// [`ObservationMode::Spaces`](super::ObservationMode) gives.
    ObservationSpace {
        /// Index of the sub-environment.
        index: usize,
        /// Whether the observation mode allows other bounds.
        may_differ: bool,
    },
    /// A sub-environment's action space differs from the first one's.
    ActionSpace {
        /// Index of the sub-environment.
        index: usize,
    },
    /// A string does not name an observation mode or autoreset mode.
    UnknownMode {
        /// What was expected.
        what: &'static str,
        /// The string.
        got: String,
    },
    /// Observations of this custom space have no fixed size and do not fit into shared memory.
    CustomSpace(String),
    /// This program was started as a worker, but has not called
    /// [`run_if_worker`](super::run_if_worker).
    MissedWorkerEntry,
    /// There is no sub-environment of this index.
    NoSuchEnvironment(usize),
    /// Some sub-environments failed; the call took effect in the others.
    Environments {
        /// The failures, by index.
        faults: Vec<Fault>,
        /// For a step or a reset: the results of the others, in a reset with reward 0. The rows of
        /// those that failed hold their latest observations and reward 0. Only where the step
        /// itself succeeded, and what followed failed (with
        /// [`SameStep`](super::AutoresetMode::SameStep) the reset, or [`Cause::InfoName`]), do they
        /// hold its results, and `final_obs` and `final_info` of an episode that ended. `None`
        /// after all other calls, and after a reset of [`PushTBatch`](crate::batch::PushTBatch),
        /// which fails before it resets any.
        rest: Option<Box<VectorStep>>,
    },
}

/// A failure of a sub-environment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// Index of the sub-environment.
    pub index: usize,
    /// How it failed.
    pub cause: Cause,
}

/// How a sub-environment failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Cause {
    /// It returned an error. It stays usable.
    Error(EnvError),
    /// It was stepped after the end of its episode, with autoreset disabled. It stays usable.
    EpisodeOver,
    /// It returned an observation of another type or shape than its space (given here). It stays
    /// usable.
    ObservationShape(String),
    /// Its info has this name, which is taken: `_x` beside `x` says which sub-environments have an
    /// `x`; after the end of an episode `final_obs` and `final_info` hold the last ones. Its other
    /// results are kept. It stays usable.
    InfoName(String),
    /// Its worker panicked, with this message.
    Panicked(String),
    /// Its worker process exited with this code.
    Exited(i32),
    /// Its worker process was killed by this signal.
    Killed(i32),
    /// Its worker could not be started or reached, for this reason.
    Lost(String),
}

impl VectorError {
    /// The failure of one sub-environment.
    pub(crate) fn of(index: usize, cause: impl Into<Cause>) -> Self {
        let cause = cause.into();
        Self::Environments {
            faults: vec![Fault { index, cause }],
            rest: None,
        }
    }
}

impl From<EnvError> for Cause {
    fn from(error: EnvError) -> Self {
        Self::Error(error)
    }
}

impl Cause {
    /// Whether the worker is gone and must be restarted.
    pub fn is_fatal(&self) -> bool {
        !matches!(
            self,
            Self::Error(_) | Self::EpisodeOver | Self::ObservationShape(_) | Self::InfoName(_)
        )
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => write!(f, "{error}"),
            Self::EpisodeOver => write!(f, "its episode is over and it was not reset"),
            Self::ObservationShape(got) => {
                write!(f, "its observation is not of its space: {got}")
            }
            Self::InfoName(name) => {
                write!(
                    f,
                    "its info `{name}` has a name that the vector environment needs"
                )
            }
            Self::Panicked(message) => write!(f, "its worker panicked: {message}"),
            Self::Exited(code) => write!(f, "its worker exited with code {code}"),
            Self::Killed(signal) => write!(f, "its worker was killed by signal {signal}"),
            Self::Lost(why) => write!(f, "its worker is lost: {why}"),
        }
    }
}

impl std::error::Error for Cause {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "environment {}: {}", self.index, self.cause)
    }
}

impl std::error::Error for Fault {}

impl fmt::Display for VectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEnvironments => write!(f, "a vector environment needs an environment"),
            Self::AlreadyPendingCall { called, pending } => write!(
                f,
                "`{called}` was called while a call to `{pending}` is pending"
            ),
            Self::NoAsyncCall { called, needed } => {
                write!(
                    f,
                    "`{called}` was called without a call to `{needed}` before"
                )
            }
            Self::ClosedEnvironment => write!(f, "the vector environment is closed"),
            Self::Timeout {
                called,
                timeout,
                pending,
            } => write!(
                f,
                "`{called}`: no answer within {} s from environment {}",
                timeout.as_secs_f64(),
                list(pending)
            ),
            Self::SeedCount { expected, got } => {
                write!(f, "{got} seeds for {expected} environments")
            }
            Self::SeedTooLarge { first, index } => write!(
                f,
                "seed {first}: environment {index} would get one beyond {}",
                u64::MAX
            ),
            Self::ResetMaskKind { got } => {
                write!(f, "options[\"reset_mask\"] must be an array, it is {got}")
            }
            Self::ResetMaskShape { expected, got } => write!(
                f,
                "options[\"reset_mask\"] must have the shape ({expected}), it has ({})",
                list(got)
            ),
            Self::ResetMaskType { got } => {
                write!(f, "options[\"reset_mask\"] must be of bool, it is of {got}")
            }
            Self::ResetMaskEmpty => {
                write!(f, "options[\"reset_mask\"] must be true for an environment")
            }
            Self::ActionCount { expected, got } => {
                write!(f, "{got} actions for {expected} environments")
            }
            Self::ActionLength { expected, got } => {
                write!(f, "the actions have {got} values, {expected} are needed")
            }
            Self::ActionShape { index, got } => {
                match index {
                    Some(index) => write!(f, "the action of environment {index} does")?,
                    None => write!(f, "the actions do")?,
                }
                write!(f, " not have the action space's type and shape: {got}")
            }
            Self::NonFiniteAction { index } => {
                write!(f, "the action of environment {index} is not finite")
            }
            Self::ValueCount { expected, got } => {
                write!(f, "{got} values for {expected} environments")
            }
            Self::ReservedName(name) => {
                write!(f, "`{name}` is not for `call`: use `{name}` itself")
            }
            Self::BatchedSpace => write!(
                f,
                "the batched observation space is not one of the environments' spaces"
            ),
            Self::ObservationSpace { index, may_differ } => match may_differ {
                false => write!(
                    f,
                    "the observation space of environment {index} differs from the first one's; if \
                     that is intended, use ObservationMode::Different"
                ),
                true => write!(
                    f,
                    "the observation space of environment {index} differs from that of the others \
                     in type or shape"
                ),
            },
            Self::ActionSpace { index } => write!(
                f,
                "the action space of environment {index} differs from the first one's"
            ),
            Self::UnknownMode { what, got } => write!(f, "`{got}` is no {what}"),
            Self::CustomSpace(name) => write!(
                f,
                "observations of the space `{name}` have no fixed size; do without shared memory"
            ),
            Self::MissedWorkerEntry => write!(
                f,
                "this program was started as a worker of a vector environment, but has not called \
                 `run_if_worker`"
            ),
            Self::NoSuchEnvironment(index) => write!(f, "there is no environment {index}"),
            Self::Environments { faults, .. } => {
                for (at, fault) in faults.iter().enumerate() {
                    let separator = if at == 0 { "" } else { "; " };
                    write!(f, "{separator}{fault}")?;
                }
                Ok(())
            }
        }
    }
}

fn list(numbers: &[usize]) -> String {
    let words: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    words.join(", ")
}

impl std::error::Error for VectorError {}
