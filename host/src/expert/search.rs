//! Search for targets: cross-entropy rounds over pushes (Rubinstein 1999), then refinement.

use super::push::{MAX_STEPS, Push, Targets};
use super::rollout::{Score, rollout};
use super::{ExpertOptions, outline};
use pusht_core::noise::{Noise, NoiseSource};
use pusht_core::pusht::env::{PushTEnv, WINDOW_PX};
use pusht_core::pusht::episode::Action;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// Number of best pushes kept per round.
const N_ELITE: usize = 6;
/// Rounds that sample near the best pushes.
const N_ROUNDS: usize = 2;
/// Refinement rounds.
const N_REFINEMENTS: usize = 3;

/// A plan with its score.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Target positions, one per control step.
    pub targets: Targets,
    /// Length of the best prefix, steps.
    pub useful: usize,
    score: Score,
    n_before: usize,
}

/// Search with its random number generators.
#[derive(Debug)]
pub struct Search {
    options: ExpertOptions,
    uniform: Pcg64,
    gaussian: NoiseSource,
}

impl Search {
    pub fn new(options: ExpertOptions, seed: u64) -> Self {
        Self {
            options,
            uniform: Pcg64::seed_from_u64(seed),
            gaussian: NoiseSource::new(seed),
        }
    }

    /// Plans targets in `env` from the last target `cursor`; `rest` remains of the last plan.
    pub fn plan(&mut self, env: &PushTEnv, cursor: Action, rest: &[Action]) -> Plan {
        let mut best = self.simulated(env, rest.iter().copied().collect(), 0);
        let mut elite: Vec<(Push, Plan)> = Vec::new();
        for round in 0..=N_ROUNDS {
            let n_samples = match round {
                0 => self.options.n_samples,
                _ => self.options.n_samples / 3,
            };
            let mut found: Vec<(Push, Plan)> = Vec::with_capacity(n_samples);
            for _ in 0..n_samples {
                let push = match round {
                    0 => self.any_push(),
                    _ => self.near(elite.first().map(|_| &elite), round),
                };
                let Some(push) = push else { continue };
                let limit = self.options.speed_limit_px;
                if let Some((targets, n_before)) = push.targets(env, cursor, limit) {
                    found.push((push, self.simulated(env, targets, n_before)));
                }
            }
            elite.append(&mut found);
            elite.sort_by(|(_, a), (_, b)| b.score.rate.total_cmp(&a.score.rate));
            elite.truncate(N_ELITE);
        }
        if let Some((_, plan)) = elite.into_iter().next()
            && plan.score.rate > best.score.rate
        {
            best = plan;
        }
        self.refined(env, cursor, best)
    }

    fn simulated(&self, env: &PushTEnv, targets: Targets, n_before: usize) -> Plan {
        let score = rollout(env, &targets, n_before, self.options.stop_coverage);
        Plan {
            useful: score.useful,
            targets,
            score,
            n_before,
        }
    }

    fn any_push(&mut self) -> Option<Push> {
        Some(Push {
            along_px: self.uniform.random_range(0.0..outline::LENGTH_PX),
            angle_rad: self.uniform.random_range(-0.8..0.8),
            turn_rad: 0.04 * self.normal(),
            speed_px: self.any_speed(),
        })
    }

    /// Random speed, uniform in the logarithm.
    fn any_speed(&mut self) -> f64 {
        let share: f64 = self.uniform.random_range(0.0..1.0);
        self.options.speed_limit_px * (-2.3 * share).exp()
    }

    /// Random push near one of the best; nearer in later rounds.
    fn near(&mut self, elite: Option<&Vec<(Push, Plan)>>, round: usize) -> Option<Push> {
        let elite = elite?;
        let (push, _) = elite[self.uniform.random_range(0..elite.len())];
        let spread = 0.5_f64.powi(round as i32 - 1);
        Some(Push {
            along_px: push.along_px + 8.0 * spread * self.normal(),
            angle_rad: push.angle_rad + 0.15 * spread * self.normal(),
            turn_rad: push.turn_rad + 0.02 * spread * self.normal(),
            speed_px: (push.speed_px * (0.3 * spread * self.normal()).exp())
                .min(self.options.speed_limit_px),
        })
    }

    /// Refines a plan: perturbs the targets by a line over time and keeps the best.
    fn refined(&mut self, env: &PushTEnv, cursor: Action, mut best: Plan) -> Plan {
        for round in 0..N_REFINEMENTS {
            let spread_px = 4.0 * 0.5_f64.powi(round as i32);
            for _ in 0..self.options.n_samples / 4 {
                let changed = self.changed(&best, cursor, spread_px);
                let plan = self.simulated(env, changed, best.n_before);
                if plan.score.rate > best.score.rate {
                    best = plan;
                }
            }
        }
        if best.targets.is_empty() {
            // Without a reachable push, the target stays.
            best.targets.extend([cursor]);
        }
        best
    }

    fn changed(&mut self, plan: &Plan, cursor: Action, spread_px: f64) -> Targets {
        let [now, later] = [0, 1].map(|_| [0, 1].map(|_| spread_px * self.normal()));
        // Steps before the push stay near the path: the perturbation grows until the push.
        let grown = plan.n_before.max(1) as f64;
        let mut last = cursor;
        let mut targets = Targets::new();
        let length = plan.useful.clamp(1, MAX_STEPS) as f64;
        for (step, target) in plan.targets.iter().enumerate() {
            let (share, time) = (((step + 1) as f64 / grown).min(1.0), step as f64 / length);
            let moved = [0, 1].map(|axis| {
                let change = now[axis] + time * later[axis];
                (target[axis] + share * change).clamp(0.0, WINDOW_PX)
            });
            last = limited(last, moved, self.options.speed_limit_px);
            targets.extend([last]);
        }
        targets
    }

    fn normal(&mut self) -> f64 {
        self.gaussian.next_gaussian().to_num()
    }
}

/// `to`, limited to one step's distance from `from`.
fn limited(from: Action, to: Action, limit_px: f64) -> Action {
    let [dx, dy] = [to[0] - from[0], to[1] - from[1]];
    let share = (limit_px / dx.hypot(dy).max(1e-9)).min(1.0);
    [from[0] + share * dx, from[1] + share * dy]
}
