//! What comes between the scene and the policy: noise, delay and lost observations.

use pusht_core::noise::{Noise, NoiseSource};
use pusht_core::pusht::observation::STATE_DIM;

/// Px of noise on a position that go with one radian of noise on the block's angle.
const PX_PER_RAD: f64 = 60.0;

/// Disturbances of observations; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Disturbance {
    /// Standard deviation of the noise on positions, px.
    pub(crate) noise_px: f64,
    /// Age of an observation, control ticks.
    pub(crate) delay_ticks: usize,
    /// Share of observations that are lost: the one before counts again.
    pub(crate) lost_share: f64,
}

impl Disturbance {
    /// What is observed of `state`; nothing if the observation is lost.
    pub(crate) fn observed(
        &self,
        mut state: [f64; STATE_DIM],
        random: &mut NoiseSource,
    ) -> Option<[f64; STATE_DIM]> {
        if self.lost_share > 0.0 && uniform(random) < self.lost_share {
            return None;
        }
        if self.noise_px > 0.0 {
            for (index, value) in state.iter_mut().enumerate() {
                let deviation = match index {
                    4 => self.noise_px / PX_PER_RAD,
                    _ => self.noise_px,
                };
                *value += deviation * gaussian(random);
            }
        }
        Some(state)
    }
}

fn gaussian(random: &mut NoiseSource) -> f64 {
    random.next_gaussian().to_num()
}

/// A number from 0 to 1: of two independent normal values, exp(-(x^2 + y^2) / 2) is uniform.
fn uniform(random: &mut NoiseSource) -> f64 {
    let (x, y) = (gaussian(random), gaussian(random));
    (-(x * x + y * y) / 2.0).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: [f64; STATE_DIM] = [100.0, 200.0, 300.0, 400.0, 1.0];

    #[test]
    fn without_disturbance_the_state_is_observed_and_nothing_is_drawn() {
        let mut random = NoiseSource::new(0);
        let observed = Disturbance::default().observed(STATE, &mut random);
        assert_eq!(observed, Some(STATE));
        assert_eq!(random, NoiseSource::new(0));
    }

    #[test]
    fn the_shares_and_sizes_are_those_that_are_set() {
        const N: usize = 20_000;
        let disturbance = Disturbance {
            noise_px: 6.0,
            delay_ticks: 0,
            lost_share: 0.25,
        };
        let mut random = NoiseSource::new(1);
        let observed: Vec<_> = (0..N)
            .filter_map(|_| disturbance.observed(STATE, &mut random))
            .collect();
        let lost = 1.0 - observed.len() as f64 / N as f64;
        assert!((lost - 0.25).abs() < 0.02, "{lost}");
        for (index, deviation) in [(0, 6.0), (3, 6.0), (4, 0.1)] {
            let squares = observed.iter().map(|o| (o[index] - STATE[index]).powi(2));
            let found = (squares.sum::<f64>() / observed.len() as f64).sqrt();
            assert!((found / deviation - 1.0).abs() < 0.03, "{index}: {found}");
        }
    }
}
