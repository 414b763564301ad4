//! Sensitivity of the float policy's actions to its observations where both engines differ most.

use super::calibrate::Window;
use super::compare::{Metric, plan};
use crate::float_engine::FloatPolicy;
use anyhow::Result;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use rayon::prelude::*;
use std::ops::Range;

/// Changes of each observation value, in half ranges of its normaliser: 0.001, 0.1, 1 px for PushT.
pub const STEPS: [f64; 3] = [4e-6, 4e-4, 4e-3];
/// Random draws of the signs per entry of [`STEPS`].
const DRAWS: usize = 16;

/// Sensitivity of the float policy's actions to small changes of a plan's observations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sensitivity {
    /// Index of the plan, which is also the seed of its noise.
    pub plan: usize,
    /// Largest distance between an action of the integer engine and that of the float engine.
    pub distance: f64,
    /// Largest change of an action of the float engine, per entry of [`STEPS`].
    pub moved: [f64; STEPS.len()],
}

/// Sensitivity of the plans at `ranks` of a ranking by distance, largest first.
///
/// # Errors
/// If a window has the wrong length or a value that is NaN or infinite.
pub fn of_ranks(
    policy: &FloatPolicy,
    windows: &[&Window],
    distances: &[Vec<f64>],
    ranks: Range<usize>,
) -> Result<Vec<Sensitivity>> {
    let ranking = ranking(distances);
    let ranks = ranks.start.min(ranking.len())..ranks.end.min(ranking.len());
    ranking[ranks]
        .par_iter()
        .map_init(
            || policy.clone(),
            |policy, (plan, distance)| {
                Ok(Sensitivity {
                    plan: *plan,
                    distance: *distance,
                    moved: moved(policy, windows[*plan], *plan)?,
                })
            },
        )
        .collect()
}

/// Plans with their largest distance, in descending order.
fn ranking(distances: &[Vec<f64>]) -> Vec<(usize, f64)> {
    let farthest = |distances: &Vec<f64>| distances.iter().copied().fold(0.0, f64::max);
    let mut ranking: Vec<_> = distances.iter().map(farthest).enumerate().collect();
    ranking.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    ranking
}

/// Median per entry of [`STEPS`] over at least one plan.
pub fn median_moves(plans: &[Sensitivity]) -> [f64; STEPS.len()] {
    std::array::from_fn(|step| {
        let mut moved: Vec<f64> = plans.iter().map(|plan| plan.moved[step]).collect();
        moved.sort_by(f64::total_cmp);
        let middle = moved.len() / 2;
        if moved.len().is_multiple_of(2) {
            (moved[middle - 1] + moved[middle]) / 2.0
        } else {
            moved[middle]
        }
    })
}

fn moved(policy: &mut FloatPolicy, window: &Window, seed: usize) -> Result<[f64; STEPS.len()]> {
    let metric = Metric::of(policy);
    let unmoved = plan(policy, window, seed)?;
    let [obs, _] = policy.policy().normalizers();
    let scales: Vec<f64> = obs.scale().iter().map(|scale| f64::from(*scale)).collect();
    let mut random = Pcg64::seed_from_u64(seed as u64);
    let mut moved = [0.0_f64; STEPS.len()];
    for (moved, step) in moved.iter_mut().zip(STEPS) {
        for _ in 0..DRAWS {
            let mut window = window.clone();
            for (value, scale) in window.iter_mut().zip(scales.iter().cycle()) {
                let sign = if random.random::<bool>() { 1.0 } else { -1.0 };
                *value += sign * step / scale;
            }
            let distances = metric.between(&unmoved, &plan(policy, &window, seed)?);
            *moved = distances.into_iter().fold(*moved, f64::max);
        }
    }
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_with_the_farthest_action_comes_first() {
        let distances = [vec![1.0, 0.5], vec![0.0, 3.0], vec![2.0, 2.0]];
        assert_eq!(ranking(&distances), [(1, 3.0), (2, 2.0), (0, 1.0)]);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_two() {
        let plan = |moved| Sensitivity {
            plan: 0,
            distance: 0.0,
            moved: [moved; STEPS.len()],
        };
        let plans = [8.0, 1.0, 2.0, 4.0].map(plan);
        assert_eq!(median_moves(&plans)[0], 3.0);
        assert_eq!(median_moves(&plans[1..])[0], 2.0);
    }
}
