//! Wrappers: environments that change the behaviour of another one.

mod episode_statistics;
mod multi_step;
#[cfg(feature = "render")]
mod record_video;
mod time_limit;

pub use episode_statistics::RecordEpisodeStatistics;
pub use multi_step::{MultiStep, MultiStepOptions, RewardAggregation};
#[cfg(feature = "render")]
pub use record_video::{RecordVideo, capped_cubic_video_schedule};
pub use time_limit::TimeLimit;

use crate::env::EnvError;
use std::collections::VecDeque;

/// Checks a number of steps after which episodes are truncated.
fn check_limit(max_episode_steps: Option<u64>) -> Result<(), EnvError> {
    match max_episode_steps {
        Some(0) => Err(EnvError::new(
            "ValueError",
            "max_episode_steps: at least 1 needed",
        )),
        Some(_) | None => Ok(()),
    }
}

/// Appends `value` to a queue of at most `len` values and drops the oldest.
fn push_bounded<T>(queue: &mut VecDeque<T>, value: T, len: usize) {
    if queue.len() == len {
        queue.pop_front();
    }
    queue.push_back(value);
}

/// Methods that a wrapper forwards unchanged.
macro_rules! forward {
    ($($method:ident)*) => {
        $(forward!(@ $method);)*
    };
    (@ observation_space) => {
        fn observation_space(&self) -> $crate::space::Space {
            self.env.observation_space()
        }
    };
    (@ action_space) => {
        fn action_space(&self) -> $crate::space::Space {
            self.env.action_space()
        }
    };
    (@ metadata) => {
        fn metadata(&self) -> $crate::value::Dict {
            self.env.metadata()
        }
        fn render_mode(&self) -> Option<&str> {
            self.env.render_mode()
        }
    };
    (@ render) => {
        fn render(&mut self) -> Result<$crate::value::Value, $crate::env::EnvError> {
            self.env.render()
        }
    };
    (@ close) => {
        fn close(&mut self) {
            self.env.close();
        }
    };
    (@ call) => {
        fn call(
            &mut self,
            name: &str,
            arguments: &[$crate::value::Value],
        ) -> Result<$crate::value::Value, $crate::env::EnvError> {
            self.env.call(name, arguments)
        }
    };
    (@ get_attr) => {
        fn get_attr(&self, name: &str) -> Result<$crate::value::Value, $crate::env::EnvError> {
            self.env.get_attr(name)
        }
    };
    (@ set_attr) => {
        fn set_attr(
            &mut self,
            name: &str,
            value: $crate::value::Value,
        ) -> Result<(), $crate::env::EnvError> {
            self.env.set_attr(name, value)
        }
    };
}
use forward;

#[cfg(test)]
mod tests;
