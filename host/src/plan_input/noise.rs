//! Noise of a plan: from a seed, or given.

use anyhow::{Context, Result, ensure};
use pusht_core::noise::{I8F24, Noise, NoiseSource};

/// Noise of one plan: the given values, then those of a seed.
#[derive(Clone, Debug)]
pub struct PlanNoise {
    given: std::vec::IntoIter<I8F24>,
    then: NoiseSource,
    /// Values of a sample.
    sample_len: usize,
    /// Number of given samples for the scheduler's passes, if there are any.
    n_step_samples: Option<usize>,
    /// Values drawn beyond the given ones.
    n_missing: usize,
}

impl PlanNoise {
    /// Noise of a seed, as in an episode's first plan.
    pub fn seeded(seed: u64) -> Self {
        Self {
            given: Vec::new().into_iter(),
            then: NoiseSource::new(seed),
            sample_len: 1,
            n_step_samples: None,
            n_missing: 0,
        }
    }

    /// A given initial sample, then the samples of the passes that draw one: given too, or of seed 0.
    pub fn given(initial: Vec<I8F24>, step_samples: Option<Vec<Vec<I8F24>>>) -> Self {
        let sample_len = initial.len().max(1);
        let n_step_samples = step_samples.as_ref().map(Vec::len);
        let mut given = initial;
        given.extend(step_samples.into_iter().flatten().flatten());
        Self {
            given: given.into_iter(),
            sample_len,
            n_step_samples,
            ..Self::seeded(0)
        }
    }

    /// Checks that the plan drew as many samples as were given for its passes.
    ///
    /// # Errors
    /// If it drew more or fewer.
    pub fn check_drawn(&self) -> Result<()> {
        let Some(n_given) = self.n_step_samples else {
            return Ok(());
        };
        let samples = |values: usize| values.div_ceil(self.sample_len);
        let drawn = n_given + samples(self.n_missing) - samples(self.given.len());
        ensure!(
            drawn == n_given,
            "step_noise has {n_given} samples, the policy's passes draw {drawn}"
        );
        Ok(())
    }
}

impl Noise for PlanNoise {
    fn next_gaussian(&mut self) -> I8F24 {
        self.given.next().unwrap_or_else(|| {
            self.n_missing += 1;
            self.then.next_gaussian()
        })
    }
}

/// A given value of noise.
///
/// # Errors
/// If it is not within -128 to 128.
pub fn noise_value(value: f64) -> Result<I8F24> {
    I8F24::checked_from_num(value).with_context(|| format!("{value} is not within -128 to 128"))
}
