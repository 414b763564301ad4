//! The expert: a planner that searches on exact snapshots of the simulator.
//!
//! ```text
//! snapshot -> push: a face, a direction, a speed -> route: the way around the block
//!   -> rollout: simulate, score the best prefix
//!   -> search: cross-entropy rounds over pushes, then refinement -> the first targets
//! ```
//! `docs/expert.md` describes the method and its results.

mod outline;
mod push;
mod rollout;
mod route;
mod search;

use anyhow::{Result, ensure};
use pusht_core::pusht::env::PushTEnv;
use pusht_core::pusht::episode::Action;
use search::Search;

/// Options of the expert.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ExpertOptions {
    /// Largest movement of the target per control step, px.
    pub speed_limit_px: f64,
    /// Coverage above which the expert has finished.
    pub stop_coverage: f64,
    /// Random pushes in the first round of a search; later rounds are proportional.
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
    /// If an option is out of range; the error names it.
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

    /// Whether the block is at the goal.
    pub fn has_finished(&self, env: &PushTEnv) -> bool {
        env.coverage() > self.stop_coverage
    }
}

/// The expert in an episode: a function of the seed and of the states.
#[derive(Debug)]
pub struct Expert {
    search: Search,
    /// Targets to execute, next last.
    queue: Vec<Action>,
    /// Later targets of the last search.
    rest: Vec<Action>,
    last_target: Option<Action>,
}

impl Expert {
    /// Largest number of targets executed before the next search.
    const REPLAN_EVERY: usize = 8;

    /// Creates an expert; `seed` is the seed of its random numbers.
    pub fn new(options: ExpertOptions, seed: u64) -> Self {
        Self {
            search: Search::new(options, seed),
            queue: Vec::new(),
            rest: Vec::new(),
            last_target: None,
        }
    }

    /// Creates an expert for an episode in progress, whose last action was `last_target`.
    pub fn taking_over(options: ExpertOptions, seed: u64, last_target: Action) -> Self {
        Self {
            last_target: Some(last_target),
            ..Self::new(options, seed)
        }
    }

    /// Next action (px) in `env`, which is not changed. It has single precision, as records do.
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
