//! Evaluation of a policy over many episodes.

pub mod disturbances;
pub mod paired;
pub mod side_by_side;
pub mod statistics;

use crate::engine::Engine;
use anyhow::{Context, Result};
use indicatif::ProgressBar;
use pusht_core::pusht::disturbance::Disturbances;
use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
use pusht_core::pusht::episode::{EpisodeResult, MAX_EPISODE_STEPS};
use serde::{Serialize, Serializer};
use statistics::Estimate;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Score of one episode.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EpisodeScore {
    /// Seed of the start state and of the policy's noise.
    pub seed: u64,
    /// Largest reward of any step.
    pub max_reward: f64,
    /// Largest coverage of any step.
    pub max_coverage: f64,
    /// Whether the goal was reached.
    pub success: bool,
    /// Control steps taken.
    pub steps: usize,
    /// Control steps until the goal was reached; `None` if it was not.
    pub steps_to_success: Option<usize>,
    /// Coverage at the end, where the episode was played here.
    pub final_coverage: Option<f64>,
    /// Length of the agent's way, px, where the episode was played here.
    pub way_px: Option<f64>,
    /// Digest of the bits of all actions, which a device and the browser page log, too.
    #[serde(serialize_with = "as_hexadecimal")]
    pub action_digest: u64,
    /// Digest of the bits of all states, the final state included.
    #[serde(serialize_with = "as_hexadecimal")]
    pub state_digest: u64,
}

/// As a string: JSON's numbers are exact to 53 bits only.
fn as_hexadecimal<S: Serializer>(digest: &u64, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{digest:#018x}"))
}

/// Under which conditions episodes are played. The default: nothing is disturbed, and an episode
/// ends with success.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Conditions {
    /// What disturbs them.
    pub disturbances: Disturbances,
    /// Whether an [`Estimator`](pusht_core::pusht::estimator::Estimator) is before the policy.
    pub estimator: bool,
    /// Whether an episode goes on after success, for [`MAX_EPISODE_STEPS`].
    pub to_the_end: bool,
}

impl Conditions {
    /// Whether the policy gets the scene as it is.
    fn is_clear(&self) -> bool {
        self.disturbances == Disturbances::default() && !self.estimator
    }
}

/// Scores of a policy over all episodes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Mean over episodes of the largest reward: the published score.
    pub mean_max_reward: f64,
    /// Mean over episodes of the largest coverage.
    pub mean_max_coverage: f64,
    /// Share of episodes that reached the goal.
    pub success_rate: f64,
    /// 95 % confidence interval of the success rate (Wilson 1927).
    pub success_ci95: [f64; 2],
    /// Control steps to success: the median. An episode without success counts as longer than any.
    pub median_steps_to_success: Estimate,
    /// Control steps to success: the 95th percentile, in the same sense.
    pub p95_steps_to_success: Estimate,
    /// Mean of the coverage at the end.
    pub mean_final_coverage: Estimate,
    /// Mean length of the agent's way, px.
    pub mean_way_px: Estimate,
    /// Scores of the episodes, in the order of the seeds.
    pub episodes: Vec<EpisodeScore>,
}

/// An evaluation with the cost of its plans.
#[derive(Clone, Debug)]
pub struct TimedEvaluation {
    /// The scores.
    pub evaluation: Evaluation,
    /// Number of plans.
    pub plans: u32,
    /// Time of all plans, summed over threads.
    pub planning: Duration,
}

/// Creates the start state of `seed`, in gym-pusht's order of placing the block.
///
/// # Errors
/// If `seed` is outside the seeding's range.
pub fn start(seed: u64, seeding: Seeding) -> Result<PushTEnv> {
    start_with(PushTParams::default(), seed, seeding)
}

/// As [`start`], with other parameters of the environment.
///
/// # Errors
/// As [`start`], and if a parameter is out of range.
pub fn start_with(params: PushTParams, seed: u64, seeding: Seeding) -> Result<PushTEnv> {
    let start = StartState::from_seed(seed, seeding).with_context(|| format!("seed {seed}"))?;
    PushTEnv::new(params, start, StartOrder::Legacy).with_context(|| format!("seed {seed}"))
}

/// Plays one episode from the current state of `env`.
///
/// # Errors
/// If the policy is for another task or refuses a state.
pub fn episode(engine: &Engine, env: PushTEnv, seed: u64) -> Result<EpisodeResult> {
    let mut rollout = engine.rollout(env, seed, MAX_EPISODE_STEPS)?;
    engine
        .with_planner(|planner| rollout.run(planner, |_, _| ()))
        .with_context(|| format!("seed {seed}"))
}

/// Plays one episode per seed on all cores, with batched plans that do not affect the result. Once
/// `stop` is true, no episode begins any more.
///
/// # Errors
/// If an episode can't be started or the policy refuses a state.
pub fn evaluate(
    engine: &Engine,
    seeds: &[u64],
    seeding: Seeding,
    conditions: &Conditions,
    stop: &AtomicBool,
    progress: &ProgressBar,
) -> Result<TimedEvaluation> {
    progress.set_length(seeds.len() as u64);
    let played = side_by_side::play(engine, seeds, (seeding, conditions), stop, progress)?;
    let episodes = played.episodes.into_iter();
    Ok(TimedEvaluation {
        plans: played.plans,
        planning: played.planning,
        evaluation: summarize(episodes.map(|of| of.score).collect()),
    })
}

/// Score of an episode of which only the result is known.
pub fn score(seed: u64, result: &EpisodeResult) -> EpisodeScore {
    EpisodeScore {
        seed,
        max_reward: result.max_reward,
        max_coverage: result.max_coverage,
        success: result.success,
        steps: result.steps,
        steps_to_success: result.success.then_some(result.steps),
        final_coverage: None,
        way_px: None,
        action_digest: result.action_digest,
        state_digest: result.state_digest,
    }
}

/// Computes the statistics of some episodes.
pub fn summarize(episodes: Vec<EpisodeScore>) -> Evaluation {
    let n = episodes.len();
    let mean = |value: fn(&EpisodeScore) -> f64| match n {
        0 => 0.0,
        _ => episodes.iter().map(value).sum::<f64>() / n as f64,
    };
    let successes = episodes.iter().filter(|e| e.success).count();
    let steps: Vec<Option<usize>> = episodes.iter().map(|e| e.steps_to_success).collect();
    Evaluation {
        mean_max_reward: mean(|e| e.max_reward),
        mean_max_coverage: mean(|e| e.max_coverage),
        success_rate: mean(|e| f64::from(u8::from(e.success))),
        success_ci95: wilson_ci95(successes, n),
        median_steps_to_success: statistics::quantile(&steps, 0.5),
        p95_steps_to_success: statistics::quantile(&steps, 0.95),
        mean_final_coverage: statistics::mean(episodes.iter().filter_map(|e| e.final_coverage)),
        mean_way_px: statistics::mean(episodes.iter().filter_map(|e| e.way_px)),
        episodes,
    }
}

/// Wilson score interval for `successes` out of `n` at 95 % (z = 1.96): for p = successes / n, (p +
/// z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).
pub fn wilson_ci95(successes: usize, n: usize) -> [f64; 2] {
    const Z: f64 = 1.959_963_984_540_054;
    if n == 0 {
        return [0.0, 1.0];
    }
    let count = n as f64;
    let p = successes as f64 / count;
    let center = p + Z * Z / (2.0 * count);
    let half = Z * (p * (1.0 - p) / count + Z * Z / (4.0 * count * count)).sqrt();
    let scale = 1.0 + Z * Z / count;
    [
        ((center - half) / scale).max(0.0),
        ((center + half) / scale).min(1.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_interval_has_its_textbook_values() {
        // statsmodels 0.15.0, proportion_confint(x, n, method="wilson").
        for (x, n, low, high) in [
            (0, 10, 0.0, 0.277_532_799_862_889_26),
            (30, 50, 0.461_814_377_475_893_5, 0.723_916_102_697_434_4),
            (10, 10, 0.722_467_200_137_110_4, 1.0),
        ] {
            let [a, b] = wilson_ci95(x, n);
            assert!(
                (a - low).abs() < 1e-12 && (b - high).abs() < 1e-12,
                "{x}/{n}: {a} {b}"
            );
        }
        assert_eq!(wilson_ci95(0, 0), [0.0, 1.0]);
    }

    #[test]
    fn a_summary_is_the_mean_over_episodes() {
        let episode = |max_reward, success| EpisodeScore {
            seed: 0,
            max_reward,
            max_coverage: max_reward * 0.95,
            success,
            steps: 300,
            steps_to_success: success.then_some(300),
            final_coverage: Some(0.5),
            way_px: Some(10.0),
            action_digest: 0xab,
            state_digest: 0,
        };
        let summary = summarize(vec![episode(1.0, true), episode(0.5, false)]);
        assert_eq!(summary.mean_max_reward, 0.75);
        assert_eq!(summary.success_rate, 0.5);
        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!(json["episodes"][0]["action_digest"], "0x00000000000000ab");
    }
}
