//! Gymnasium's `TimeLimit`.

use super::{check_limit, forward};
use crate::env::{Env, EnvError, Step};
use crate::value::{Dict, Value};

/// Truncates episodes after a number of steps.
#[derive(Clone, Debug)]
pub struct TimeLimit<E> {
    env: E,
    max_episode_steps: u64,
    elapsed_steps: u64,
}

impl<E: Env> TimeLimit<E> {
    /// Sets `truncated` from step `max_episode_steps` on.
    ///
    /// # Errors
    /// If `max_episode_steps` is 0.
    pub fn new(env: E, max_episode_steps: u64) -> Result<Self, EnvError> {
        check_limit(Some(max_episode_steps))?;
        Ok(Self {
            env,
            max_episode_steps,
            elapsed_steps: 0,
        })
    }
}

impl<E: Env> Env for TimeLimit<E> {
    forward!(observation_space action_space metadata render close call get_attr set_attr);

    fn reset(&mut self, seed: Option<u64>, options: &Dict) -> Result<(Value, Dict), EnvError> {
        self.elapsed_steps = 0;
        self.env.reset(seed, options)
    }

    fn step(&mut self, action: &Value) -> Result<Step, EnvError> {
        let mut step = self.env.step(action)?;
        self.elapsed_steps += 1;
        step.truncated |= self.elapsed_steps >= self.max_episode_steps;
        Ok(step)
    }
}
