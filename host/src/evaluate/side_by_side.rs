//! Batched evaluation: every thread plays several episodes and computes their plans as a batch.
//!
//! ```text
//!  seeds -> up to BATCH episodes per thread -> [ batch of plans -> their actions ] -> results
//! ```
//! The next seed replaces a finished episode, so that batches stay full. Between plans, episodes
//! are independent; stepping their environments together (`PushTBatch`) would only add waiting.

use super::start;
use crate::engine::Engine;
use anyhow::{Context, Result};
use indicatif::ProgressBar;
use pusht_core::Error;
use pusht_core::control::PlanJob;
use pusht_core::pusht::env::Seeding;
use pusht_core::pusht::episode::{EpisodeResult, MAX_EPISODE_STEPS};
use pusht_core::pusht::rollout::{Horizon, Rollout};
use pusht_core::quant::BATCH;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Finished episodes with the cost of their plans.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// Seed and result of every episode, in the order of the seeds.
    pub episodes: Vec<(u64, EpisodeResult)>,
    /// Number of plans.
    pub plans: u32,
    /// Time of all plans, summed over threads.
    pub planning: Duration,
}

/// Plays one episode per seed on all threads of the current pool.
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
    // Few episodes are spread over all threads rather than batched.
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

/// Queue of the remaining seeds.
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

/// Worker of one thread.
struct Thread<'t> {
    engine: &'t Engine,
    seeds: &'t Seeds,
    seeding: Seeding,
    progress: &'t ProgressBar,
    played: Played,
}

impl Thread<'_> {
    /// Plays up to `n_episodes` at a time until no seed is left.
    fn play(mut self, n_episodes: usize) -> Result<Played> {
        self.engine.with_batch_planner(|plan| {
            let mut episodes = Vec::new();
            loop {
                while episodes.len() < n_episodes
                    && let Some(seed) = self.seeds.take()
                {
                    episodes.push(Episode::start(self.engine, seed, self.seeding)?);
                }
                if episodes.is_empty() {
                    return anyhow::Ok(());
                }
                let begin = Instant::now();
                let jobs = episodes.iter_mut().map(Episode::job);
                plan(&mut jobs.collect::<Vec<_>>())
                    .with_context(|| format!("one of the seeds {}", seeds_of(&episodes)))?;
                self.played.planning += begin.elapsed();
                self.played.plans += episodes.len() as u32;
                self.advance(&mut episodes)?;
            }
        })?;
        Ok(self.played)
    }

    /// Advances every episode to its next plan, and removes finished ones.
    fn advance(&mut self, episodes: &mut Vec<Episode>) -> Result<()> {
        let mut at = 0;
        while let Some(episode) = episodes.get_mut(at) {
            let seed = episode.seed;
            match (episode.advance()).with_context(|| format!("seed {seed}"))? {
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
    rollout: Rollout<Horizon>,
    chunk: Vec<f64>,
}

impl Episode {
    fn start(engine: &Engine, seed: u64, seeding: Seeding) -> Result<Self> {
        let env = start(seed, seeding)?;
        Ok(Self {
            seed,
            rollout: engine.rollout(env, seed, MAX_EPISODE_STEPS)?,
            chunk: vec![0.0; engine.shape().chunk_len()],
        })
    }

    /// Job for the next plan.
    fn job(&mut self) -> PlanJob<'_> {
        self.rollout.plan_job(&mut self.chunk)
    }

    /// Executes the plan until the next one is needed; returns the result if the episode is over.
    fn advance(&mut self) -> Result<Option<EpisodeResult>, Error> {
        self.rollout.deliver(&self.chunk)?;
        while !self.rollout.is_over() && !self.rollout.needs_plan() {
            self.rollout.advance()?;
        }
        Ok((self.rollout.is_over()).then(|| self.rollout.episode().result()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::PolicyArgs;
    use crate::evaluate::episode;
    use rayon::ThreadPoolBuilder;
    use std::path::PathBuf;

    /// More seeds than a batch holds, so that new episodes replace finished ones.
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

    /// No thread may wait for a failed one.
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
