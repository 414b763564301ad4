//! diffusion_policy's `MultiStepWrapper` (`gym_util/multistep_wrapper.py`).

use super::{check_limit, forward, push_bounded};
use crate::batch_space::{batch_space, concatenate, row};
use crate::env::{Env, EnvError, Step};
use crate::space::Space;
use crate::value::{Dict, Value};
use crate::vector::stack_values;
use pusht_core::names;
use std::collections::{BTreeMap, VecDeque};

/// How the rewards of an episode are combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RewardAggregation {
    /// Largest reward.
    #[default]
    Max,
    /// Smallest reward.
    Min,
    /// Mean reward.
    Mean,
    /// Sum of rewards.
    Sum,
}

names! {
    RewardAggregation, "a way to combine rewards":
    Max = "max",
    Min = "min",
    Mean = "mean",
    Sum = "sum",
}

/// Options of [`MultiStep`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MultiStepOptions {
    /// Observations per returned stack, the latest last.
    pub n_obs_steps: usize,
    /// Actions per step.
    pub n_action_steps: usize,
    /// Steps of the wrapped environment after which an episode is truncated, at least 1; `None`:
    /// never.
    pub max_episode_steps: Option<usize>,
    /// How the rewards are combined.
    pub reward_agg_method: RewardAggregation,
}

/// Executes a chunk of actions per step and returns the last observations, stacked.
///
/// As upstream: at the start of an episode the oldest observation pads the stack; actions after the
/// end of the episode are skipped; the reward combines **all** steps of the episode so far, not
/// only the chunk's; `info` entries are stacked like the observations, without padding.
#[derive(Clone, Debug)]
pub struct MultiStep<E> {
    env: E,
    options: MultiStepOptions,
    space: Space,
    action_space: Space,
    observations: VecDeque<Value>,
    infos: BTreeMap<String, VecDeque<Value>>,
    rewards: Vec<f64>,
    terminated: bool,
    truncated: bool,
}

impl<E: Env> MultiStep<E> {
    /// Wraps `env`.
    ///
    /// # Errors
    /// If `n_obs_steps`, `n_action_steps` or `max_episode_steps` is 0.
    pub fn new(env: E, options: MultiStepOptions) -> Result<Self, EnvError> {
        if options.n_obs_steps == 0 || options.n_action_steps == 0 {
            let message = "n_obs_steps and n_action_steps: at least 1 needed";
            return Err(EnvError::new("ValueError", message));
        }
        check_limit(options.max_episode_steps.map(|most| most as u64))?;
        Ok(Self {
            space: env.observation_space(),
            action_space: env.action_space(),
            env,
            options,
            observations: VecDeque::new(),
            infos: BTreeMap::new(),
            rewards: Vec::new(),
            terminated: false,
            truncated: false,
        })
    }

    fn step_one(&mut self, action: &Value) -> Result<(), EnvError> {
        let step = self.env.step(action)?;
        self.rewards.push(step.reward);
        let most = self.options.max_episode_steps;
        self.terminated |= step.terminated;
        self.truncated |= step.truncated || most.is_some_and(|most| self.rewards.len() >= most);
        let len = self.options.n_obs_steps;
        push_bounded(&mut self.observations, step.observation, len);
        for (name, value) in step.info {
            push_bounded(self.infos.entry(name).or_default(), value, len);
        }
        Ok(())
    }

    fn stacked(&self) -> Value {
        let missing = self.options.n_obs_steps - self.observations.len();
        let oldest = self.observations.iter().take(1).cycle().take(missing);
        concatenate(&self.space, oldest.chain(&self.observations).cloned())
    }

    fn reward(&self) -> f64 {
        let rewards = self.rewards.iter().copied();
        let sum = || rewards.clone().sum::<f64>();
        match self.options.reward_agg_method {
            RewardAggregation::Max => rewards.reduce(f64::max).unwrap_or(0.0),
            RewardAggregation::Min => rewards.reduce(f64::min).unwrap_or(0.0),
            RewardAggregation::Mean => sum() / self.rewards.len().max(1) as f64,
            RewardAggregation::Sum => sum(),
        }
    }
}

impl<E: Env> Env for MultiStep<E> {
    forward!(metadata render close set_attr);

    fn observation_space(&self) -> Space {
        batch_space(&self.space, self.options.n_obs_steps)
    }

    fn action_space(&self) -> Space {
        batch_space(&self.action_space, self.options.n_action_steps)
    }

    fn reset(&mut self, seed: Option<u64>, options: &Dict) -> Result<(Value, Dict), EnvError> {
        let (observation, info) = self.env.reset(seed, options)?;
        self.observations = VecDeque::from([observation]);
        self.infos.clear();
        self.rewards.clear();
        (self.terminated, self.truncated) = (false, false);
        Ok((self.stacked(), info))
    }

    fn step(&mut self, actions: &Value) -> Result<Step, EnvError> {
        if !self.action_space().is_shape_of(actions) {
            return Err(EnvError::wrong_value(
                "actions",
                "a chunk of actions",
                actions,
            ));
        }
        if self.observations.is_empty() {
            return Err(EnvError::new(
                "ResetNeeded",
                "call `reset` before anything else",
            ));
        }
        for index in 0..self.options.n_action_steps {
            if self.terminated || self.truncated {
                break;
            }
            self.step_one(&row(&self.action_space, actions, index))?;
        }
        let info = self.infos.iter().map(|(name, values)| {
            let values: Vec<Option<&Value>> = values.iter().map(Some).collect();
            (name.clone(), stack_values(&values))
        });
        Ok(Step {
            observation: self.stacked(),
            reward: self.reward(),
            terminated: self.terminated,
            truncated: self.truncated,
            info: info.collect(),
        })
    }

    fn call(&mut self, name: &str, arguments: &[Value]) -> Result<Value, EnvError> {
        match name {
            "get_rewards" => Ok(self.rewards.clone().into()),
            _ => self.env.call(name, arguments),
        }
    }

    fn get_attr(&self, name: &str) -> Result<Value, EnvError> {
        match name {
            "reward" => Ok(self.rewards.clone().into()),
            _ => self.env.get_attr(name),
        }
    }
}
