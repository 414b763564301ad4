//! Simulation of a plan, scored by its best prefix.

use super::outline::CORNERS_PX;
use pusht_core::pusht::env::{GOAL_ANGLE_RAD, GOAL_PX, PushTEnv, Vec2};
use pusht_core::pusht::episode::Action;
use pusht_core::pusht::geometry::Pose;

/// Distance below which gains are negligible, px.
const SOFT_PX: f64 = 0.5;
/// Cost of a search in steps, so that the shortest prefix is not always the best.
const OVERHEAD_STEPS: f64 = 3.0;
/// Steps without gain after which the simulation of a plan ends.
const PATIENCE_STEPS: usize = 5;

/// Score of a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Logarithmic reduction of the distance per step.
    pub rate: f64,
    /// Length of the best prefix, steps.
    pub useful: usize,
}

impl Score {
    /// Score of a plan without gain.
    pub const NONE: Self = Self {
        rate: f64::NEG_INFINITY,
        useful: 0,
    };
}

/// Simulates `targets` in a copy of `env` until the block is at the goal, or for some steps without
/// gain after the first `n_before`. The score is the maximum of `[ln(D_0 + s) - ln(D_t + s)] / (t +
/// 3)` over t, with D the mean distance of the T's corners from the goal's. It is independent of
/// scale, and it selects the length of the push.
pub fn rollout(env: &PushTEnv, targets: &[Action], n_before: usize, stop_coverage: f64) -> Score {
    let mut env = *env;
    let start = (distance_px(&env) + SOFT_PX).ln();
    let (mut best, mut nearest, mut stale) = (Score::NONE, f64::INFINITY, 0);
    for (step, target) in targets.iter().enumerate() {
        let Ok(outcome) = env.step(*target) else {
            break;
        };
        let finished = outcome.coverage > stop_coverage;
        let distance = if finished { 0.0 } else { distance_px(&env) };
        let rate = (start - (distance + SOFT_PX).ln()) / ((step + 1) as f64 + OVERHEAD_STEPS);
        if rate > best.rate {
            best = Score {
                rate,
                useful: step + 1,
            };
        }
        if distance < nearest {
            (nearest, stale) = (distance, 0);
        } else if step >= n_before {
            stale += 1;
        }
        if finished || stale >= PATIENCE_STEPS {
            break;
        }
    }
    best
}

/// Mean distance of the T's corners from those of the goal, px.
fn distance_px(env: &PushTEnv) -> f64 {
    let info = env.info();
    let (block, goal) = (
        Pose::new(info.block_pos_px, info.block_angle_rad),
        Pose::new(GOAL_PX, GOAL_ANGLE_RAD),
    );
    let apart = CORNERS_PX
        .map(Vec2::from)
        .map(|c| (block.transform(c) - goal.transform(c)).norm());
    apart.iter().sum::<f64>() / CORNERS_PX.len() as f64
}
