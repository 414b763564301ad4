//! Gymnasium's `RecordEpisodeStatistics`.

use super::{forward, push_bounded};
use crate::env::{Env, EnvError, Step};
use crate::value::{Dict, Value, dict};
use std::collections::VecDeque;
use std::time::Instant;

/// Episodes in the queues.
const BUFFER_LENGTH: usize = 100;

/// Adds `episode` to the `info` of an episode's last step: return `r`, length `l` (steps) and
/// duration `t` (s). A step whose info has an `episode` already is an error, as in Gymnasium.
///
/// Attributes: `return_queue`, `length_queue` and `time_queue` of the last hundred episodes,
/// `episode_count`.
#[derive(Clone, Debug)]
pub struct RecordEpisodeStatistics<E> {
    env: E,
    start: Instant,
    episode_return: f64,
    length: i64,
    episode_count: i64,
    returns: VecDeque<f64>,
    lengths: VecDeque<i64>,
    times: VecDeque<f64>,
}

impl<E: Env> RecordEpisodeStatistics<E> {
    /// Wraps `env`.
    pub fn new(env: E) -> Self {
        Self {
            env,
            start: Instant::now(),
            episode_return: 0.0,
            length: 0,
            episode_count: 0,
            returns: VecDeque::new(),
            lengths: VecDeque::new(),
            times: VecDeque::new(),
        }
    }
}

impl<E: Env> Env for RecordEpisodeStatistics<E> {
    forward!(observation_space action_space metadata render close call set_attr);

    fn reset(&mut self, seed: Option<u64>, options: &Dict) -> Result<(Value, Dict), EnvError> {
        self.start = Instant::now();
        (self.episode_return, self.length) = (0.0, 0);
        self.env.reset(seed, options)
    }

    fn step(&mut self, action: &Value) -> Result<Step, EnvError> {
        let mut step = self.env.step(action)?;
        self.episode_return += step.reward;
        self.length += 1;
        if step.is_last() {
            let time_s = self.start.elapsed().as_secs_f64();
            let episode = dict([
                ("r", self.episode_return.into()),
                ("l", self.length.into()),
                ("t", time_s.into()),
            ]);
            if step.info.insert("episode".into(), episode.into()).is_some() {
                let message = "the environment has an info `episode` of its own";
                return Err(EnvError::new("ValueError", message));
            }
            push_bounded(&mut self.returns, self.episode_return, BUFFER_LENGTH);
            push_bounded(&mut self.lengths, self.length, BUFFER_LENGTH);
            push_bounded(&mut self.times, time_s, BUFFER_LENGTH);
            self.episode_count += 1;
        }
        Ok(step)
    }

    fn get_attr(&self, name: &str) -> Result<Value, EnvError> {
        Ok(match name {
            "return_queue" => self.returns.iter().copied().collect::<Vec<_>>().into(),
            "length_queue" => self.lengths.iter().copied().collect::<Vec<_>>().into(),
            "time_queue" => self.times.iter().copied().collect::<Vec<_>>().into(),
            "episode_count" => self.episode_count.into(),
            _ => return self.env.get_attr(name),
        })
    }
}
