//! Rust's own speed, for `tests/python/bench.py`.

use crate::errors::refused_batch;
use pusht_core::pusht::env::WINDOW_PX;
use pusht_gym::batch::{ACTION_DIM, BatchOptions, PushTBatch};
use pusht_gym::space::{Space, seeded};
use pusht_gym::vector::{Seed, VectorError};
use pyo3::prelude::*;
use std::time::{Duration, Instant};

/// Number of different action batches.
const ACTIONS: usize = 64;
/// Steps before the measurement, after which episodes have ended and begun.
const WARM_UP: usize = 400;

/// Environment steps per second of a `PushTBatch` with random actions, measured for `seconds`.
#[pyfunction]
pub fn batch_rate(py: Python<'_>, num_envs: usize, seconds: f64) -> PyResult<f64> {
    let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    py.detach(|| measure(num_envs, time)).map_err(refused_batch)
}

fn measure(num_envs: usize, time: Duration) -> Result<f64, VectorError> {
    let mut batch = PushTBatch::new(num_envs, BatchOptions::default())?;
    let mut random = seeded(0);
    let space = Space::uniform_box(0.0, WINDOW_PX, &[num_envs, ACTION_DIM]);
    let actions: Vec<_> = (0..ACTIONS).map(|_| space.sample(&mut random)).collect();
    batch.reset(&Seed::Int(0))?;
    let mut step = |at: usize| {
        let actions = actions[at % ACTIONS].as_slice().unwrap_or_default();
        batch.step(actions).map(|_| ())
    };
    for at in 0..WARM_UP {
        step(at)?;
    }
    let (start, mut steps) = (Instant::now(), 0);
    while start.elapsed() < time {
        step(steps)?;
        steps += 1;
    }
    Ok((steps * num_envs) as f64 / start.elapsed().as_secs_f64())
}
