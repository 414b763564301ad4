//! What can go wrong with a vector of environments.

use super::VectorStep;
use crate::env::EnvError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Why a call to a vector environment failed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum VectorError {
    /// There is no environment to make a vector of.
    NoEnvironments,
    /// A call was made while the answer to another is still to be waited for.
    AlreadyPendingCall {
        /// The call.
        called: &'static str,
        /// The one that is pending.
        pending: &'static str,
    },
    /// An answer is waited for that nobody asked for.
    NoAsyncCall {
        /// The call.
        called: &'static str,
        /// The one that has to come first.
        needed: &'static str,
    },
    /// The vector environment is closed.
    ClosedEnvironment,
    /// Not every environment answered in time. Late answers are dropped when they come.
    Timeout {
        /// The call.
        called: &'static str,
        /// How long was waited.
        timeout: Duration,
        /// The environments that did not answer.
        pending: Vec<usize>,
    },
    /// Another number of seeds than of environments.
    SeedCount {
        /// How many environments there are.
        expected: usize,
        /// How many seeds there are.
        got: usize,
    },
    /// `options["reset_mask"]` is no array.
    ResetMaskKind {
        /// What it is.
        got: &'static str,
    },
    /// `options["reset_mask"]` has not the shape (number of environments).
    ResetMaskShape {
        /// How many environments there are.
        expected: usize,
        /// Its shape.
        got: Vec<usize>,
    },
    /// `options["reset_mask"]` is not of flags.
    ResetMaskType {
        /// Its type.
        got: &'static str,
    },
    /// `options["reset_mask"]` is false everywhere.
    ResetMaskEmpty,
    /// Another number of actions than of environments.
    ActionCount {
        /// How many environments there are.
        expected: usize,
        /// How many actions there are.
        got: usize,
    },
    /// The actions are no batch of the action space, by their type or shape.
    ActionShape {
        /// The first environment whose action is not of the space.
        index: usize,
        /// What it got.
        got: String,
    },
    /// An action with a NaN or an infinite number. No environment was stepped.
    NonFiniteAction {
        /// The environment that it was for.
        index: usize,
    },
    /// A list of values for an attribute that is not as long as there are environments.
    ValueCount {
        /// How many environments there are.
        expected: usize,
        /// How many values there are.
        got: usize,
    },
    /// A name that `call` does not take, since a method of the vector environment does it.
    ReservedName(String),
    /// An environment's observation space differs from the first one's.
    ObservationSpace {
        /// The environment.
        index: usize,
        /// Whether it may differ in its bounds.
        may_differ: bool,
    },
    /// An environment's action space differs from the first one's.
    ActionSpace {
        /// The environment.
        index: usize,
    },
    /// A word that names no observation mode or autoreset mode.
    UnknownMode {
        /// What it should name.
        what: &'static str,
        /// The word.
        got: String,
    },
    /// The observations of this space have no fixed size, and so no place in shared memory.
    CustomSpace(String),
    /// This program was started as a worker, but did not call `run_if_worker` first.
    MissedWorkerEntry,
    /// There is no environment of that index.
    NoSuchEnvironment(usize),
    /// Some environments failed; the others did what they were asked.
    Environments {
        /// Which ones, and how.
        faults: Vec<Fault>,
        /// Of a step, what the others returned. The rows of the ones that failed are their last observations, with
        /// reward 0.
        rest: Option<Box<VectorStep>>,
    },
}

/// An environment that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which one.
    pub index: usize,
    /// How.
    pub cause: Cause,
}

/// How an environment failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Cause {
    /// It returned an error, and lives on.
    Error(EnvError),
    /// Its episode is over, and without autoreset the caller resets it.
    EpisodeOver,
    /// It returned an observation that is not of its space, and lives on.
    ObservationShape(String),
    /// Its worker panicked.
    Panicked(String),
    /// Its worker process ended with this code.
    Exited(i32),
    /// Its worker process was killed by this signal.
    Killed(i32),
    /// Its worker could not be started or spoken to.
    Lost(String),
}

impl Cause {
    /// Whether the worker is gone, and has to be restarted.
    pub fn is_fatal(&self) -> bool {
        !matches!(
            self,
            Self::Error(_) | Self::EpisodeOver | Self::ObservationShape(_)
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
            Self::Panicked(message) => write!(f, "its worker panicked: {message}"),
            Self::Exited(code) => write!(f, "its worker exited with code {code}"),
            Self::Killed(signal) => write!(f, "its worker was killed by signal {signal}"),
            Self::Lost(why) => write!(f, "its worker is lost: {why}"),
        }
    }
}

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
            Self::ActionShape { index, got } => write!(
                f,
                "the action of environment {index} has not the type and shape of the action space: {got}"
            ),
            Self::NonFiniteAction { index } => {
                write!(f, "the action of environment {index} is not finite")
            }
            Self::ValueCount { expected, got } => {
                write!(f, "{got} values for {expected} environments")
            }
            Self::ReservedName(name) => {
                write!(f, "`{name}` is not for `call`: use `{name}` itself")
            }
            Self::ObservationSpace { index, may_differ } => match may_differ {
                false => write!(
                    f,
                    "the observation space of environment {index} differs from the first one's; if that is meant, use \
                     ObservationMode::Different"
                ),
                true => write!(
                    f,
                    "the observation space of environment {index} has another type or shape than the first one's"
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
                "this program is a worker of a vector environment, but does not call `run_if_worker` first"
            ),
            Self::NoSuchEnvironment(index) => write!(f, "there is no environment {index}"),
            Self::Environments { faults, .. } => {
                for (at, Fault { index, cause }) in faults.iter().enumerate() {
                    let separator = if at == 0 { "" } else { "; " };
                    write!(f, "{separator}environment {index}: {cause}")?;
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
