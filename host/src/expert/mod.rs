//! The expert: a planner that searches on exact snapshots of the simulator.
//!
//! ```text
//! snapshot -> push: a face, a direction, a speed -> route: the way round the block -> rollout: simulate, score the best
//!   prefix -> search: cross-entropy rounds over pushes, then small changes of the targets -> the first targets
//! ```
//! `docs/expert.md` tells the method and what it reaches.

mod outline;
mod push;
mod rollout;
mod route;
mod search;

use anyhow::{Result, ensure};
use pusht_core::pusht::env::PushTEnv;
use pusht_core::pusht::episode::Action;
use search::Search;

/// How the expert plays.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ExpertOptions {
    /// Longest way of the target in a control step, px.
    pub speed_limit_px: f64,
    /// Coverage above which it has finished.
    pub stop_coverage: f64,
    /// Pushes that are tried at random before each search; the later rounds try in proportion.
    pub n_samples: usize,
}

impl Default for ExpertOptions {
    fn default() -> Self {
        Self {
            speed_limit_px: 16.0,
            stop_coverage: 0.97,
            n_samples: 96,
        }
    }
}

impl ExpertOptions {
    /// Checks the ranges.
    ///
    /// # Errors
    /// One line that names the option.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.speed_limit_px >= 1.0 && self.speed_limit_px <= 100.0,
            "speed limit {} px is not 1 to 100",
            self.speed_limit_px
        );
        ensure!(
            self.stop_coverage > 0.0 && self.stop_coverage <= 0.99,
            "stop coverage {} is not above 0 and at most 0.99",
            self.stop_coverage
        );
        ensure!(
            (8..=10_000).contains(&self.n_samples),
            "{} samples are not 8 to 10000",
            self.n_samples
        );
        Ok(())
    }
}

/// The expert in an episode. A function of the seed and of the states that it is shown.
pub struct Expert {
    options: ExpertOptions,
    search: Search,
    /// Targets that are still to be executed, next last.
    queue: Vec<Action>,
    /// Targets of the last search behind those.
    rest: Vec<Action>,
    last_target: Option<Action>,
}

impl Expert {
    /// Targets that are executed before the next search, at most.
    const REPLAN_EVERY: usize = 8;

    /// An expert whose random numbers `seed` names.
    pub fn new(options: ExpertOptions, seed: u64) -> Self {
        Self {
            options,
            search: Search::new(options, seed),
            queue: Vec::new(),
            rest: Vec::new(),
            last_target: None,
        }
    }

    /// An expert that takes over an episode in which `last_target` was the last action.
    pub fn taking_over(options: ExpertOptions, seed: u64, last_target: Action) -> Self {
        Self {
            last_target: Some(last_target),
            ..Self::new(options, seed)
        }
    }

    /// Whether nothing is left to do in `env`.
    pub fn has_finished(&self, env: &PushTEnv) -> bool {
        env.coverage() > self.options.stop_coverage
    }

    /// The next action in `env`, which is left as it is. It is a number of single precision, so that a record can keep it.
    pub fn act(&mut self, env: &PushTEnv) -> Action {
        if self.queue.is_empty() {
            let [agent_x, agent_y, ..] = env.state();
            let cursor = self.last_target.unwrap_or([agent_x, agent_y]);
            let plan = self.search.plan(env, cursor, &self.rest);
            let executed = plan.useful.clamp(1, Self::REPLAN_EVERY);
            self.rest = plan.targets[executed..].to_vec();
            self.queue.extend(plan.targets[..executed].iter().rev());
        }
        let action = self.queue.pop().unwrap_or_default();
        let action = action.map(|value| f64::from(value as f32));
        self.last_target = Some(action);
        action
    }
}

#[cfg(test)]
mod tests;
