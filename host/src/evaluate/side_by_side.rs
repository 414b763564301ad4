//! Batched evaluation: every thread plays several episodes and computes their plans as a batch.
//!
//! ```text
//!  seeds -> up to BATCH episodes per thread -> [ batch of plans -> their actions ] -> results
//! ```
//! The next seed replaces a finished episode, so that batches stay full. Between plans, episodes
//! are independent; stepping their environments together (`PushTBatch`) would only add waiting.

use super::{Conditions, EpisodeScore, score, start_with};
use crate::engine::Engine;
use anyhow::{Context, Result};
use indicatif::ProgressBar;
use pusht_core::Error;
use pusht_core::control::PlanJob;
use pusht_core::pusht::border::{Clear, Disturbed};
use pusht_core::pusht::env::Seeding;
use pusht_core::pusht::episode::{Episode as Steps, EpisodeResult, MAX_EPISODE_STEPS};
use pusht_core::pusht::rollout::{Horizon, Rollout};
use pusht_core::quant::BATCH;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Finished episodes with the cost of their plans.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// The episodes, in the order of the seeds.
    pub episodes: Vec<Finished>,
    /// Number of plans.
    pub plans: u32,
    /// Time of all plans, summed over threads.
    pub planning: Duration,
}

/// A finished episode.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// Index of its seed.
    pub index: usize,
    /// Its result.
    pub result: EpisodeResult,
    /// Its score.
    pub score: EpisodeScore,
}

/// Plays one episode per seed on all threads of the current pool. Once `stop` is true, no episode
/// begins any more.
///
/// # Errors
/// If an episode can't be started or the policy refuses a state.
pub fn play(
    engine: &Engine,
    seeds: &[u64],
    conditions: (Seeding, &Conditions),
    stop: &AtomicBool,
    progress: &ProgressBar,
) -> Result<Played> {
    // Few episodes are spread over all threads rather than batched.
    let a_thread = seeds.len().div_ceil(rayon::current_num_threads());
    let seeds = Seeds {
        all: seeds,
        next: AtomicUsize::new(0),
        stop,
    };
    let of_threads = rayon::broadcast(|_| {
        let played = Thread {
            engine,
            seeds: &seeds,
            conditions,
            progress,
            played: Played::default(),
        }
        .play(a_thread.min(BATCH));
        if played.is_err() {
            seeds.clear();
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
    all.episodes.sort_by_key(|finished| finished.index);
    Ok(all)
}

/// Queue of the remaining seeds.
struct Seeds<'s> {
    all: &'s [u64],
    next: AtomicUsize,
    stop: &'s AtomicBool,
}

impl Seeds<'_> {
    /// Index and value of the next seed.
    fn take(&self) -> Option<(usize, u64)> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        self.all.get(index).map(|seed| (index, *seed))
    }

    /// Leaves no seed.
    fn clear(&self) {
        self.next.store(self.all.len(), Ordering::Relaxed);
    }
}

/// Worker of one thread.
struct Thread<'t> {
    engine: &'t Engine,
    seeds: &'t Seeds<'t>,
    conditions: (Seeding, &'t Conditions),
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
                    && let Some((index, seed)) = self.seeds.take()
                {
                    episodes.push(Episode::start(self.engine, (index, seed), self.conditions)?);
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
                Some(finished) => {
                    self.played.episodes.push(finished);
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
    /// Index of its seed.
    index: usize,
    seed: u64,
    play: Play,
    chunk: Vec<f64>,
    steps_to_success: Option<usize>,
    way_px: f64,
}

/// The closed loop, disturbed or not.
#[expect(
    clippy::large_enum_variant,
    reason = "a few per thread, and most are disturbed"
)]
enum Play {
    Clear(Rollout<Horizon>),
    Disturbed(Rollout<Horizon, Disturbed>),
}

/// Calls the same method of either kind of play.
macro_rules! play {
    ($play:expr, $rollout:ident => $call:expr) => {
        match $play {
            Play::Clear($rollout) => $call,
            Play::Disturbed($rollout) => $call,
        }
    };
}

impl Episode {
    fn start(
        engine: &Engine,
        (index, seed): (usize, u64),
        (seeding, conditions): (Seeding, &Conditions),
    ) -> Result<Self> {
        let params = conditions.disturbances.params(seed)?;
        let env = start_with(params, seed, seeding)?;
        let mut steps = Steps::new(env, MAX_EPISODE_STEPS);
        if conditions.to_the_end {
            steps = steps.with_steps_after_success(MAX_EPISODE_STEPS);
        }
        let kind = engine.observation()?;
        let horizon = Horizon::new(engine.loop_shape(), seed)?;
        let play = if conditions.is_clear() {
            let clear = Clear;
            Play::Clear(Rollout::with_border(steps, kind, horizon, clear)?)
        } else {
            let mut border = Disturbed::new(&conditions.disturbances, seed, &params);
            if conditions.estimator {
                border = border.with_estimator();
            }
            Play::Disturbed(Rollout::with_border(steps, kind, horizon, border)?)
        };
        Ok(Self {
            index,
            seed,
            play,
            chunk: vec![0.0; engine.shape().chunk_len()],
            steps_to_success: None,
            way_px: 0.0,
        })
    }

    /// Job for the next plan.
    fn job(&mut self) -> PlanJob<'_> {
        play!(&mut self.play, rollout => rollout.plan_job(&mut self.chunk))
    }

    /// Executes the plan until the next one is needed; returns it finished if it is over.
    fn advance(&mut self) -> Result<Option<Finished>, Error> {
        play!(&mut self.play, rollout => {
            rollout.deliver(&self.chunk)?;
            while !rollout.is_over() && !rollout.needs_plan() {
                let tick = rollout.advance()?;
                let [x, y, ..] = tick.state;
                let [to_x, to_y, ..] = rollout.episode().env().state();
                self.way_px += f64::hypot(to_x - x, to_y - y);
                if tick.outcome.terminated && self.steps_to_success.is_none() {
                    self.steps_to_success = Some(tick.index + 1);
                }
            }
        });
        let steps = play!(&self.play, rollout => rollout.episode());
        Ok(steps.is_over().then(|| self.finish(steps)))
    }

    fn finish(&self, steps: &Steps) -> Finished {
        let result = steps.result();
        Finished {
            index: self.index,
            result,
            score: EpisodeScore {
                steps_to_success: self.steps_to_success,
                final_coverage: Some(steps.env().coverage()),
                way_px: Some(self.way_px),
                ..score(self.seed, &result)
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::PolicyArgs;
    use crate::evaluate::{episode, start};
    use pusht_core::pusht::disturbance::{Disturbances, PoseAmount};
    use rayon::ThreadPoolBuilder;
    use std::path::PathBuf;

    fn small() -> Engine {
        let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/pusht-small.ptm");
        let engine = Engine::load(&PolicyArgs {
            policy: Some(PathBuf::from(model)),
            ..PolicyArgs::default()
        });
        engine.unwrap()
    }

    fn play_on(n_threads: usize, seeds: &[u64], stop: &AtomicBool) -> Result<Played> {
        let pool = ThreadPoolBuilder::new().num_threads(n_threads).build()?;
        let (engine, progress) = (small(), ProgressBar::hidden());
        let clear = (Seeding::Legacy, &Conditions::default());
        pool.install(|| play(&engine, seeds, clear, stop, &progress))
    }

    #[test]
    fn an_episode_is_independent_of_its_batch() {
        // More seeds than a batch holds, so that new episodes replace finished ones; in no order.
        let seeds: Vec<u64> = (300_000..300_013).rev().collect();
        let engine = small();
        let alone = seeds.iter().map(|seed| {
            let env = start(*seed, Seeding::Legacy).unwrap();
            episode(&engine, env, *seed).unwrap()
        });
        let alone: Vec<_> = alone.enumerate().collect();
        for n_threads in [1, 3] {
            let played = play_on(n_threads, &seeds, &AtomicBool::new(false));
            let played = played.unwrap().episodes.into_iter();
            let played: Vec<_> = played.map(|of| (of.index, of.result)).collect();
            assert_eq!(played, alone, "{n_threads} threads");
        }
    }

    #[test]
    fn a_disturbed_episode_is_independent_of_its_batch_and_can_go_on_after_success() {
        let seeds: Vec<u64> = (300_000..300_010).collect();
        let (engine, progress) = (small(), ProgressBar::hidden());
        let noise = PoseAmount { px: 2.0, rad: 0.02 };
        let conditions = Conditions {
            disturbances: Disturbances {
                observation_noise: noise,
                ..Disturbances::default()
            },
            estimator: true,
            to_the_end: true,
        };
        let stop = AtomicBool::new(false);
        let play = |seeds: &[u64]| {
            let of = (Seeding::Legacy, &conditions);
            play(&engine, seeds, of, &stop, &progress).unwrap().episodes
        };
        let all = play(&seeds);
        for (seed, of_all) in seeds.iter().zip(&all) {
            assert_eq!(play(&[*seed])[0].result, of_all.result, "{seed}");
            let score = &of_all.score;
            let steps = score.steps_to_success.unwrap();
            assert_eq!(score.steps, steps + MAX_EPISODE_STEPS);
            assert!(
                score.way_px > Some(0.0) && score.final_coverage > Some(0.5),
                "{score:?}"
            );
        }
    }

    /// No thread may wait for a failed one.
    #[test]
    fn an_invalid_seed_ends_every_thread() {
        let none: Vec<u64> = (1 << 32..(1 << 32) + 20).collect();
        assert!(play_on(3, &none, &AtomicBool::new(false)).is_err());
    }

    #[test]
    fn no_episode_begins_after_a_stop() {
        let played = play_on(3, &[300_000; 20], &AtomicBool::new(true));
        assert_eq!(played.unwrap().episodes, []);
    }
}
