//! Noise of a requested plan: from a seed, or given.

use super::request::{Request, Rows};
use anyhow::{Context, Result, bail, ensure};
use pusht_core::noise::{I8F24, Noise, NoiseSource};

/// Noise of one plan: the given values, then those of a seed.
pub struct RequestNoise {
    given: std::vec::IntoIter<I8F24>,
    then: NoiseSource,
    /// Values of a sample.
    sample_len: usize,
    /// Number of samples in `step_noise`, if it is given.
    n_step_samples: Option<usize>,
    /// Values drawn beyond the given ones.
    n_missing: usize,
}

impl RequestNoise {
    /// Takes the noise of a request; a sample has the shape `[rows, columns]`.
    ///
    /// # Errors
    /// If the request has neither `seed` nor `noise`, or both; if a sample has another shape, or a
    /// value outside -128 to 128.
    pub fn new(request: &Request, shape: [usize; 2]) -> Result<Self> {
        let step_noise = request.step_noise.as_deref();
        let (seed, mut given) = match (request.seed, &request.noise) {
            (Some(seed), None) => (seed, Vec::new()),
            (None, Some(rows)) => (0, sample(rows, shape).context("noise")?),
            (None, None) => bail!("neither seed nor noise"),
            (Some(_), Some(_)) => bail!("both seed and noise"),
        };
        ensure!(
            step_noise.is_none() || request.noise.is_some(),
            "step_noise without noise, the initial sample"
        );
        for (index, rows) in step_noise.into_iter().flatten().enumerate() {
            given.extend(
                sample(rows, shape).with_context(|| format!("step_noise, sample {index}"))?,
            );
        }
        Ok(Self {
            given: given.into_iter(),
            then: NoiseSource::new(seed),
            sample_len: shape[0] * shape[1],
            n_step_samples: step_noise.map(<[Rows]>::len),
            n_missing: 0,
        })
    }

    /// Checks that the plan drew what `step_noise` has, if that is given.
    ///
    /// # Errors
    /// If it drew more or fewer samples.
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

/// Values of a sample, row by row.
fn sample(rows: &Rows, [n_rows, n_columns]: [usize; 2]) -> Result<Vec<I8F24>> {
    ensure!(
        rows.len() == n_rows,
        "it has {} rows, the policy needs {n_rows}",
        rows.len()
    );
    for (index, row) in rows.iter().enumerate() {
        ensure!(
            row.len() == n_columns,
            "row {index} has {} values, the policy needs {n_columns}",
            row.len()
        );
    }
    let value = |value: &f64| {
        I8F24::checked_from_num(*value)
            .with_context(|| format!("{value} is not within -128 to 128"))
    };
    rows.iter().flatten().map(value).collect()
}

impl Noise for RequestNoise {
    fn next_gaussian(&mut self) -> I8F24 {
        self.given.next().unwrap_or_else(|| {
            self.n_missing += 1;
            self.then.next_gaussian()
        })
    }
}
