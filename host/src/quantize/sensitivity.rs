//! Sensitivity of the float policy's actions to small changes of its observations, in the plans
//! where both engines differ most.

use super::calibrate::Window;
use super::compare::{between_px, plan};
use crate::float_engine::FloatPolicy;
use anyhow::Result;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use rayon::prelude::*;
use std::ops::Range;

/// How far each position in a plan's observations is moved, up or down, px.
pub const STEPS_PX: [f64; 3] = [0.001, 0.1, 1.0];
/// Draws of the signs for each of [`STEPS_PX`].
const DRAWS: usize = 16;
/// Values of a state that are positions; the angle stays.
const POSITIONS: usize = 4;

/// How far small changes of a plan's observations move the float policy's actions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sensitivity {
    /// The plan, and so the seed of its noise.
    pub plan: usize,
    /// The farthest that an action of the integer engine is from the float engine's, px.
    pub distance_px: f64,
    /// The farthest that an action of the float engine itself moved for each of [`STEPS_PX`], px.
    pub moved_px: [f64; STEPS_PX.len()],
}

/// The sensitivity of the plans `ranks` of a ranking by distance, the farthest first.
///
/// # Errors
/// If a window does not suit the policy.
pub fn of_ranks(
    policy: &FloatPolicy,
    windows: &[&Window],
    distances_px: &[Vec<f64>],
    ranks: Range<usize>,
) -> Result<Vec<Sensitivity>> {
    let ranking = ranking(distances_px);
    let ranks = ranks.start.min(ranking.len())..ranks.end.min(ranking.len());
    ranking[ranks]
        .par_iter()
        .map_init(
            || policy.clone(),
            |policy, (plan, distance_px)| {
                Ok(Sensitivity {
                    plan: *plan,
                    distance_px: *distance_px,
                    moved_px: moved_px(policy, windows[*plan], *plan)?,
                })
            },
        )
        .collect()
}

/// Every plan and the largest of its distances, the largest of all first.
fn ranking(distances_px: &[Vec<f64>]) -> Vec<(usize, f64)> {
    let farthest = |distances: &Vec<f64>| distances.iter().copied().fold(0.0, f64::max);
    let mut ranking: Vec<_> = distances_px.iter().map(farthest).enumerate().collect();
    ranking.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    ranking
}

/// The median of each of [`STEPS_PX`] over some plans (one at least).
pub fn median_moves_px(plans: &[Sensitivity]) -> [f64; STEPS_PX.len()] {
    std::array::from_fn(|step| {
        let mut moved_px: Vec<f64> = plans.iter().map(|plan| plan.moved_px[step]).collect();
        moved_px.sort_by(f64::total_cmp);
        let middle = moved_px.len() / 2;
        if moved_px.len().is_multiple_of(2) {
            (moved_px[middle - 1] + moved_px[middle]) / 2.0
        } else {
            moved_px[middle]
        }
    })
}

fn moved_px(
    policy: &mut FloatPolicy,
    window: &Window,
    seed: usize,
) -> Result<[f64; STEPS_PX.len()]> {
    let unmoved = plan(policy, window, seed)?;
    let mut random = Pcg64::seed_from_u64(seed as u64);
    let mut moved_px = [0.0_f64; STEPS_PX.len()];
    for (moved_px, step_px) in moved_px.iter_mut().zip(STEPS_PX) {
        for _ in 0..DRAWS {
            let mut window = window.clone();
            for value in window.iter_mut().flat_map(|state| &mut state[..POSITIONS]) {
                *value += if random.random::<bool>() {
                    step_px
                } else {
                    -step_px
                };
            }
            let moved = plan(policy, &window, seed)?;
            *moved_px = between_px(&unmoved, &moved).fold(*moved_px, f64::max);
        }
    }
    Ok(moved_px)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_with_the_farthest_action_comes_first() {
        let distances_px = [vec![1.0, 0.5], vec![0.0, 3.0], vec![2.0, 2.0]];
        assert_eq!(ranking(&distances_px), [(1, 3.0), (2, 2.0), (0, 1.0)]);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_two() {
        let plan = |moved_px| Sensitivity {
            plan: 0,
            distance_px: 0.0,
            moved_px: [moved_px; STEPS_PX.len()],
        };
        let plans = [8.0, 1.0, 2.0, 4.0].map(plan);
        assert_eq!(median_moves_px(&plans)[0], 3.0);
        assert_eq!(median_moves_px(&plans[1..])[0], 2.0);
    }
}
