//! A sub-environment with its autoreset. All vector environments and workers run this code.

use super::error::Cause;
use super::{AutoresetMode, VectorError};
use crate::env::{Env, Step};
use crate::space::Space;
use crate::value::{Dict, Value};
use serde::{Deserialize, Serialize};
use std::fmt;
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

impl fmt::Display for AutoresetMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
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

    /// Takes an action, or starts the next episode instead where the last one has ended.
    /// [`Self::autoreset`] comes after it.
    pub(super) fn step(&mut self, action: &Value) -> Result<Step, Cause> {
        if self.is_over {
            return match self.mode {
                AutoresetMode::Disabled => Err(Cause::EpisodeOver),
                AutoresetMode::NextStep | AutoresetMode::SameStep => self.reset_as_step(),
            };
        }
        let step = self.env.step(action).map_err(Cause::Error)?;
        self.check(&step.observation)?;
        self.is_over = step.is_last();
        Ok(step)
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

    /// The reset within a step that ended the episode; `None` if none is due.
    pub(super) fn autoreset(&mut self) -> Option<Result<(Value, Dict), Cause>> {
        let is_due = self.is_over && self.mode == AutoresetMode::SameStep;
        is_due.then(|| self.reset(None, &Dict::new()))
    }

    fn check(&self, observation: &Value) -> Result<(), Cause> {
        if self.space.is_shape_of(observation) {
            return Ok(());
        }
        Err(Cause::ObservationShape(observation.describe()))
    }
}

/// A step, with the reset that followed within it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Stepped {
    pub(super) step: Step,
    /// Why that reset failed.
    pub(super) fault: Option<Cause>,
}

impl Stepped {
    /// Combines a step with the reset within it. The episode's last observation and info go into
    /// the infos, also where the reset failed: nothing of the step is lost.
    pub(super) fn new(step: Step, reset: Option<Result<(Value, Dict), Cause>>) -> Self {
        let Some(reset) = reset else {
            return Self { step, fault: None };
        };
        let (observation, mut info, mut fault) = match reset {
            Ok((observation, info)) => (observation, info, None),
            Err(cause) => (step.observation.clone(), Dict::new(), Some(cause)),
        };
        for (name, last) in [
            ("final_obs", step.observation),
            ("final_info", step.info.into()),
        ] {
            if info.insert(name.to_owned(), last).is_some() {
                fault = Some(Cause::InfoName(name.to_owned()));
            }
        }
        let step = Step {
            observation,
            info,
            ..step
        };
        Self { step, fault }
    }
}
