//! A sub-environment with its autoreset. All vector environments and workers run this code.

use super::error::Cause;
use super::{AutoresetMode, VectorError};
use crate::env::{Env, Step};
use crate::space::Space;
use crate::value::{Dict, Value, dict};
use std::str::FromStr;

impl AutoresetMode {
    /// Its name in Gymnasium.
    pub fn name(self) -> &'static str {
        match self {
            Self::NextStep => "NextStep",
            Self::SameStep => "SameStep",
            Self::Disabled => "Disabled",
        }
    }
}

impl FromStr for AutoresetMode {
    type Err = VectorError;

    fn from_str(word: &str) -> Result<Self, VectorError> {
        [Self::NextStep, Self::SameStep, Self::Disabled]
            .into_iter()
            .find(|mode| mode.name() == word)
            .ok_or_else(|| VectorError::UnknownMode {
                what: "autoreset mode (NextStep, SameStep, Disabled)",
                got: word.to_owned(),
            })
    }
}

/// A sub-environment with its autoreset.
pub(super) struct SubEnv {
    pub(super) env: Box<dyn Env>,
    space: Space,
    mode: AutoresetMode,
    /// Whether the episode has ended, so that the next step starts another.
    is_over: bool,
}

impl SubEnv {
    /// `is_over`: whether the first step resets it, because it replaces one that was lost in an
    /// episode.
    pub(super) fn new(env: Box<dyn Env>, mode: AutoresetMode, is_over: bool) -> Self {
        let space = env.observation_space();
        Self {
            env,
            space,
            mode,
            is_over,
        }
    }

    pub(super) fn reset(
        &mut self,
        seed: Option<u64>,
        options: &Dict,
    ) -> Result<(Value, Dict), Cause> {
        let (observation, info) = self.env.reset(seed, options).map_err(Cause::Error)?;
        self.check(&observation)?;
        self.is_over = false;
        Ok((observation, info))
    }

    pub(super) fn step(&mut self, action: &Value) -> Result<Step, Cause> {
        if self.is_over {
            return match self.mode {
                AutoresetMode::Disabled => Err(Cause::EpisodeOver),
                AutoresetMode::NextStep | AutoresetMode::SameStep => self.reset_as_step(),
            };
        }
        let step = self.env.step(action).map_err(Cause::Error)?;
        self.check(&step.observation)?;
        if !step.is_last() {
            return Ok(step);
        }
        self.is_over = true;
        match self.mode {
            AutoresetMode::SameStep => self.reset_in_step(step),
            AutoresetMode::NextStep | AutoresetMode::Disabled => Ok(step),
        }
    }

    /// Resets instead of stepping, and returns the reset as a step.
    fn reset_as_step(&mut self) -> Result<Step, Cause> {
        let (observation, info) = self.reset(None, &Dict::new())?;
        Ok(Step {
            observation,
            reward: 0.0,
            terminated: false,
            truncated: false,
            info,
        })
    }

    /// Resets after the last step of an episode, whose observation and info go into the infos.
    fn reset_in_step(&mut self, last: Step) -> Result<Step, Cause> {
        let (observation, mut info) = self.reset(None, &Dict::new())?;
        info.extend(dict([
            ("final_obs", last.observation),
            ("final_info", last.info.into()),
        ]));
        Ok(Step {
            observation,
            info,
            ..last
        })
    }

    fn check(&self, observation: &Value) -> Result<(), Cause> {
        if self.space.is_shape_of(observation) {
            return Ok(());
        }
        Err(Cause::ObservationShape(describe(observation)))
    }
}

/// Type and shape of a value, for error messages.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Array(array) => format!("{} of shape {:?}", array.dtype().name(), array.shape()),
        Value::Dict(parts) => {
            let parts: Vec<String> = parts
                .iter()
                .map(|(name, part)| format!("{name}: {}", describe(part)))
                .collect();
            format!("{{{}}}", parts.join(", "))
        }
        other => other.kind().to_owned(),
    }
}
