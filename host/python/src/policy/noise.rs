//! Seeds and noise as arguments.

use super::episodes::Seeds;
use crate::arrays::array;
use crate::errors::failed;
use crate::seeds;
use anyhow::{Context, Result};
use pusht_host::plan_input::{PlanNoise, noise_value};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use rand::TryRng;

/// The seeds of `value`: an integer, to which environment i adds i, or one for each environment.
pub fn seeds(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Seeds>> {
    let Some(value) = value else {
        return Ok(None);
    };
    Ok(Some(match value.try_iter() {
        Ok(_) => Seeds::Each(seeds::seeds(value)?),
        Err(_) => Seeds::From(seeds::seed(value)?),
    }))
}

/// A seed of the operating system.
pub fn any_seed() -> PyResult<Seeds> {
    let seed = rand::rngs::SysRng.try_next_u64();
    let seed = seed.map_err(|error| PyOSError::new_err(error.to_string()))?;
    Ok(Seeds::From(seed))
}

/// The noise of each plan. `outer` has the number of plans of a batch, or nothing for one plan; a
/// plan's noise has `shape`.
pub fn noises(
    seed: Option<&Bound<'_, PyAny>>,
    noise: Option<&Bound<'_, PyAny>>,
    outer: &[usize],
    shape: [usize; 2],
) -> PyResult<Vec<PlanNoise>> {
    let n_plans = outer.iter().product();
    let Some(noise) = noise else {
        let seeds = seeds(seed)?.map_or_else(any_seed, Ok)?;
        seeds.check("plans", n_plans).map_err(failed)?;
        return Ok((0..n_plans)
            .map(|plan| PlanNoise::seeded(seeds.of(plan)))
            .collect());
    };
    if seed.is_some() {
        return Err(PyValueError::new_err(
            "seed and noise: only one of them can be given",
        ));
    }
    let needed = [outer, &shape].concat();
    let (values, given) = array(noise)?;
    if given != needed {
        return Err(PyValueError::new_err(format!(
            "noise: an array of shape {needed:?} is needed, one of shape {given:?} is given"
        )));
    }
    let samples = values.chunks_exact(shape[0] * shape[1]);
    let samples = samples.map(|sample| {
        let values = sample.iter().copied().map(noise_value);
        let values = values.collect::<Result<Vec<_>>>().context("noise")?;
        Ok(PlanNoise::given(values, None))
    });
    samples.collect::<Result<_>>().map_err(failed)
}
