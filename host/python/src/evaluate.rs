//! Scores of a policy, as `pusht eval` gives them.

use crate::options::parsed;
use crate::policy::Policy;
use crate::run::interruptible;
use crate::seeds::seeds;
use indicatif::ProgressBar;
use numpy::PyArray1;
use pusht_host::evaluate::disturbances::parse_all;
use pusht_host::evaluate::{self as scores, Conditions, EpisodeScore};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Largest reward, largest coverage, success and steps of every episode.
type Scores<'py> = (
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<bool>>,
    Bound<'py, PyArray1<i64>>,
);

/// Plays one episode per seed.
#[pyfunction]
pub fn evaluate<'py>(
    py: Python<'py>,
    policy: &Policy,
    seeds_of_episodes: &Bound<'py, PyAny>,
    seeding: &str,
    disturbances: Vec<String>,
    estimator: bool,
    num_threads: Option<usize>,
) -> PyResult<Scores<'py>> {
    let seeds = seeds(seeds_of_episodes)?;
    let seeding = parsed("seeding", seeding)?;
    let engine = policy.engine();
    let disturbances = parse_all(&disturbances);
    let conditions = Conditions {
        disturbances: disturbances.map_err(|e| PyValueError::new_err(format!("{e:#}")))?,
        estimator,
        to_the_end: false,
    };
    let timed = interruptible(py, num_threads, |stop| {
        scores::evaluate(
            engine,
            &seeds,
            seeding,
            &conditions,
            stop,
            &ProgressBar::hidden(),
        )
    })?;
    let episodes = timed.evaluation.episodes;
    Ok((
        column(py, &episodes, |episode| episode.max_reward),
        column(py, &episodes, |episode| episode.max_coverage),
        column(py, &episodes, |episode| episode.success),
        column(py, &episodes, |episode| episode.steps as i64),
    ))
}

fn column<'py, T: numpy::Element>(
    py: Python<'py>,
    episodes: &[EpisodeScore],
    value: fn(&EpisodeScore) -> T,
) -> Bound<'py, PyArray1<T>> {
    PyArray1::from_iter(py, episodes.iter().map(value))
}

/// 95 % confidence interval of a success rate (Wilson 1927).
#[pyfunction]
pub fn wilson_ci95(successes: usize, n: usize) -> [f64; 2] {
    scores::wilson_ci95(successes, n)
}
