//! Many episodes: every thread plays some side by side and has their plans computed together.
//!
//! ```text
//!  seeds -> up to BATCH episodes of a thread -> [ one plan for each, together -> each acts until it needs the next ] -> results
//! ```
//! An episode that is over makes room for the next seed, so that the batches stay full. Between plans episodes have nothing to do with
//! each other: `PushTBatch`, which steps environments together, would only have them wait.

use super::start;
use crate::engine::Engine;
use anyhow::{Context, Result};
use indicatif::ProgressBar;
use pusht_core::Error;
use pusht_core::control::receding_horizon::{
    Action, MAX_HORIZON, MAX_OBS_STEPS, PlanJob, RecedingHorizon,
};
use pusht_core::pusht::env::{PushTEnv, Seeding};
use pusht_core::pusht::episode::{EpisodeResult, MAX_EPISODE_STEPS, Record};
use pusht_core::pusht::observation::STATE_DIM;
use pusht_core::quant::BATCH;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Episodes that were played, and what their plans cost.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// Seed and result of each, in the order of the seeds.
    pub episodes: Vec<(u64, EpisodeResult)>,
    /// Plans made.
    pub plans: u32,
    /// Time in all plans, summed over threads.
    pub planning: Duration,
}

/// Plays one episode a seed on all threads of the present pool.
///
/// # Errors
/// If an episode can't be started or the policy refuses a state.
pub fn play(
    engine: &Engine,
    seeds: Range<u64>,
    seeding: Seeding,
    progress: &ProgressBar,
) -> Result<Played> {
    let seeds = Seeds {
        next: AtomicU64::new(seeds.start),
        end: seeds.end,
    };
    // Few episodes are rather spread over all threads than planned for together.
    let n_threads = rayon::current_num_threads() as u64;
    let a_thread = seeds.left().div_ceil(n_threads).min(BATCH as u64) as usize;
    let of_threads = rayon::broadcast(|_| {
        let played = Thread {
            engine,
            seeds: &seeds,
            seeding,
            progress,
            played: Played::default(),
        }
        .play(a_thread);
        if played.is_err() {
            seeds.stop();
        }
        played
    });
    let mut all = Played::default();
    for played in of_threads {
        let played = played?;
        all.episodes.extend(played.episodes);
        all.plans += played.plans;
        all.planning += played.planning;
    }
    all.episodes.sort_by_key(|(seed, _)| *seed);
    Ok(all)
}

/// The seeds that no thread has taken yet.
struct Seeds {
    next: AtomicU64,
    end: u64,
}

impl Seeds {
    fn left(&self) -> u64 {
        self.end.saturating_sub(self.next.load(Ordering::Relaxed))
    }

    fn take(&self) -> Option<u64> {
        let one_more = |next| (next < self.end).then_some(next + 1);
        (self.next)
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()
    }

    fn stop(&self) {
        self.next.store(self.end, Ordering::Relaxed);
    }
}

/// What one thread does.
struct Thread<'t> {
    engine: &'t Engine,
    seeds: &'t Seeds,
    seeding: Seeding,
    progress: &'t ProgressBar,
    played: Played,
}

impl Thread<'_> {
    /// Up to `n_episodes` at a time, until no seed is left.
    fn play(mut self, n_episodes: usize) -> Result<Played> {
        let (n_obs_steps, n_action_steps) =
            (self.engine.n_obs_steps(), self.engine.n_action_steps());
        self.engine.with_batch_planner(|plan| {
            let mut episodes = Vec::new();
            loop {
                while episodes.len() < n_episodes
                    && let Some(seed) = self.seeds.take()
                {
                    episodes.push(Episode::start(seed, self.seeding)?);
                }
                if episodes.is_empty() {
                    return anyhow::Ok(());
                }
                let begin = Instant::now();
                let jobs = (episodes.iter_mut()).map(|e| e.job(n_obs_steps, n_action_steps));
                plan(&mut jobs.collect::<Vec<_>>())
                    .with_context(|| format!("one of the seeds {}", seeds_of(&episodes)))?;
                self.played.planning += begin.elapsed();
                self.played.plans += episodes.len() as u32;
                self.act(&mut episodes, n_action_steps)?;
            }
        })?;
        Ok(self.played)
    }

    /// Lets every episode act until it needs the next plan; those that are over leave.
    fn act(&mut self, episodes: &mut Vec<Episode>, n_action_steps: usize) -> Result<()> {
        let mut at = 0;
        while let Some(episode) = episodes.get_mut(at) {
            let seed = episode.seed;
            match (episode.act(n_action_steps)).with_context(|| format!("seed {seed}"))? {
                Some(result) => {
                    self.played.episodes.push((seed, result));
                    self.progress.inc(1);
                    episodes.swap_remove(at);
                }
                None => at += 1,
            }
        }
        Ok(())
    }
}

fn seeds_of(episodes: &[Episode]) -> String {
    let seeds: Vec<_> = episodes.iter().map(|e| e.seed.to_string()).collect();
    seeds.join(", ")
}

/// An episode that needs a plan.
struct Episode {
    seed: u64,
    env: PushTEnv,
    horizon: RecedingHorizon,
    record: Record,
    states: [[f64; STATE_DIM]; MAX_OBS_STEPS],
    chunk: [Action; MAX_HORIZON],
}

impl Episode {
    fn start(seed: u64, seeding: Seeding) -> Result<Self> {
        let env = start(seed, seeding)?;
        let mut horizon = RecedingHorizon::new(seed);
        horizon.observe(&env.state())?;
        Ok(Self {
            seed,
            env,
            horizon,
            record: Record::new(),
            states: Default::default(),
            chunk: [[0.0; 2]; MAX_HORIZON],
        })
    }

    /// The plan that it needs.
    fn job(&mut self, n_obs_steps: usize, n_action_steps: usize) -> PlanJob<'_> {
        let (states, noise) = self.horizon.plan_inputs(n_obs_steps);
        self.states = states;
        PlanJob {
            states: &self.states[..n_obs_steps],
            noise,
            chunk: &mut self.chunk[..n_action_steps],
        }
    }

    /// Acts by that plan until it needs the next one, or returns how it ended.
    fn act(&mut self, n_action_steps: usize) -> Result<Option<EpisodeResult>, Error> {
        self.horizon.deliver(&self.chunk[..n_action_steps], 0)?;
        loop {
            let state = self.env.state();
            let action = self.horizon.next_action(&state);
            let outcome = self.env.step(action)?;
            self.record.tick(&state, &action, &outcome);
            let state = self.env.state();
            if self.record.is_over(MAX_EPISODE_STEPS) {
                return Ok(Some(self.record.clone().finish(&state)));
            }
            self.horizon.observe(&state)?;
            if self.horizon.planned().next().is_none() {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::PolicyArgs;
    use crate::evaluate::episode;
    use rayon::ThreadPoolBuilder;
    use std::path::PathBuf;

    /// More seeds than a batch holds, so that new episodes take the places of finished ones.
    const SEEDS: Range<u64> = 300_000..300_013;

    #[test]
    fn an_episode_is_independent_of_its_batch() {
        let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/pusht-small.ptm");
        let engine = Engine::load(&PolicyArgs {
            policy: Some(PathBuf::from(model)),
            ..PolicyArgs::default()
        });
        let engine = engine.unwrap();
        let alone: Vec<_> = SEEDS
            .map(|seed| {
                let env = start(seed, Seeding::Legacy).unwrap();
                (seed, episode(&engine, env, seed).unwrap())
            })
            .collect();
        for n_threads in [1, 3] {
            let pool = ThreadPoolBuilder::new().num_threads(n_threads).build();
            let played = pool
                .unwrap()
                .install(|| play(&engine, SEEDS, Seeding::Legacy, &ProgressBar::hidden()));
            assert_eq!(played.unwrap().episodes, alone, "{n_threads} threads");
        }
    }

    /// No thread may wait for another that has failed.
    #[test]
    fn an_invalid_seed_ends_every_thread() {
        let engine = Engine::load(&PolicyArgs::default()).unwrap();
        let none = 1 << 32;
        let played = play(
            &engine,
            none..none + 20,
            Seeding::Legacy,
            &ProgressBar::hidden(),
        );
        assert!(played.is_err());
    }
}
