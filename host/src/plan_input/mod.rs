//! What a plan is made from, checked: observations in any supported form, and noise.

mod noise;

pub use noise::{PlanNoise, noise_value};

use crate::engine::Engine;
use anyhow::{Result, bail, ensure};
use pusht_core::control::PlanShape;
use pusht_core::pusht::observation::{MASKED_KEYPOINTS_DIM, ObservationKind, STATE_DIM, observe};

/// What a plan's input is checked against.
#[derive(Clone, Debug)]
pub struct Checks {
    /// Dimensions of a window of observations and of a chunk of actions.
    pub shape: PlanShape,
    /// Rows and columns of the initial noise.
    pub noise_shape: [usize; 2],
    /// Kind of PushT observation; `None` for other tasks.
    kind: Option<ObservationKind>,
    /// Range of each value of an observation.
    ranges: Vec<[f64; 2]>,
}

impl Checks {
    /// Checks for a policy.
    pub fn of(engine: &Engine) -> Self {
        Self {
            shape: engine.shape(),
            noise_shape: engine.noise_shape(),
            kind: engine.observation().ok(),
            ranges: engine.observed_ranges(),
        }
    }

    /// The policy's observation of `row`: its own values, or for a policy of PushT a state or
    /// masked keypoints.
    ///
    /// # Errors
    /// If it has another number of values, or one that no sensor means.
    pub fn observation(&self, row: &[f64]) -> Result<Vec<f64>> {
        let obs_dim = self.shape.obs_dim;
        match (self.kind, <&[f64; STATE_DIM]>::try_from(row)) {
            _ if row.len() == obs_dim => {
                for (index, (value, range)) in row.iter().zip(&self.ranges).enumerate() {
                    check_value(index, *value, *range)?;
                }
                Ok(row.to_vec())
            }
            (Some(kind), Ok(state)) => {
                ensure!(
                    state.iter().all(|value| value.abs() <= FAR),
                    "the state {state:?} has a value beyond {FAR}"
                );
                let mut values = vec![0.0; obs_dim];
                observe(kind, state, &mut values)?;
                Ok(values)
            }
            // Values, then their visibility: the policy sees the values, as in diffusion_policy.
            (Some(ObservationKind::Keypoints), _) if row.len() == MASKED_KEYPOINTS_DIM => {
                self.observation(&row[..obs_dim])
            }
            (Some(_), Err(_)) => bail!(
                "it has {} values, the policy needs {obs_dim}, or a state's {STATE_DIM}",
                row.len()
            ),
            (None, _) => bail!("it has {} values, the policy needs {obs_dim}", row.len()),
        }
    }
}

/// Least size of a value that is refused.
const FAR: f64 = 1e4;
/// Least distance from the range of the policy's data, in units of that range.
const FAR_RANGES: f64 = 100.0;

/// Refuses a value that no sensor means: not finite, or far beyond the policy's data.
fn check_value(index: usize, value: f64, [low, high]: [f64; 2]) -> Result<()> {
    ensure!(value.is_finite(), "value {index} is not finite");
    let width = (high - low).abs();
    let beyond = (low.min(high) - value).max(value - low.max(high));
    ensure!(
        value.abs() <= FAR || beyond <= FAR_RANGES * width,
        "value {index} is {value:e}, far beyond the policy's range of {low:.4} to {high:.4}"
    );
    Ok(())
}
