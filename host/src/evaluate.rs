//! Evaluation of a policy over many episodes.

pub mod side_by_side;

use crate::engine::Engine;
use anyhow::{Context, Result};
use indicatif::ProgressBar;
use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
use pusht_core::pusht::episode::{EpisodeResult, MAX_EPISODE_STEPS};
use serde::Serialize;
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
    let start = StartState::from_seed(seed, seeding).with_context(|| format!("seed {seed}"))?;
    PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy)
        .with_context(|| format!("seed {seed}"))
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
    stop: &AtomicBool,
    progress: &ProgressBar,
) -> Result<TimedEvaluation> {
    progress.set_length(seeds.len() as u64);
    let played = side_by_side::play(engine, seeds, seeding, stop, progress)?;
    let episodes = played.episodes.into_iter();
    Ok(TimedEvaluation {
        plans: played.plans,
        planning: played.planning,
        evaluation: summarize(
            episodes
                .map(|(index, result)| score(seeds[index], &result))
                .collect(),
        ),
    })
}

/// Computes the score of an episode.
pub fn score(seed: u64, result: &EpisodeResult) -> EpisodeScore {
    EpisodeScore {
        seed,
        max_reward: result.max_reward,
        max_coverage: result.max_coverage,
        success: result.success,
        steps: result.steps,
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
    Evaluation {
        mean_max_reward: mean(|e| e.max_reward),
        mean_max_coverage: mean(|e| e.max_coverage),
        success_rate: mean(|e| f64::from(u8::from(e.success))),
        success_ci95: wilson_ci95(successes, n),
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
        };
        let summary = summarize(vec![episode(1.0, true), episode(0.5, false)]);
        assert_eq!(summary.mean_max_reward, 0.75);
        assert_eq!(summary.success_rate, 0.5);
    }
}
