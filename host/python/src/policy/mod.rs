//! A policy: [`load`] reads it, [`observations`] takes its observations, [`plans`] computes its
//! plans, [`episodes`] has the windows and queues of the environments that it plays.

mod episodes;
mod load;
mod noise;
mod observations;
mod plans;

use crate::options::named;
use crate::run::unlocked;
use anyhow::{Result, ensure};
use episodes::Episodes;
pub use load::Loaded;
use numpy::{PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArray1};
pub use observations::observations;
use pusht_host::engine::{Engine, EngineKind};
use pusht_host::output::write_whole;
use pusht_host::plan_input::Checks;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyType};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Names of the engines.
const ENGINES: [(&str, EngineKind); 2] =
    [("integer", EngineKind::Int), ("float", EngineKind::Float)];

/// A diffusion policy, in integers or floats, and the episodes that it plays.
#[pyclass(module = "pusht", frozen)]
pub struct Policy {
    /// The policy.
    pub loaded: Loaded,
    /// What its input is checked against.
    pub checks: Checks,
    episodes: Mutex<Episodes>,
}

/// Arguments of `from_bytes`.
type Pickled<'py> = (Bound<'py, PyBytes>, usize);

#[pymethods]
impl Policy {
    #[new]
    #[pyo3(signature = (path=None, *, engine=None, n_action_steps=None, seed=None))]
    fn new(
        py: Python<'_>,
        path: Option<PathBuf>,
        engine: Option<&str>,
        n_action_steps: Option<usize>,
        seed: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let engine = engine.map(|name| named("engine", name, &ENGINES));
        let engine = engine.transpose()?;
        let seeds = noise::seeds(seed)?;
        let loaded = unlocked(py, || load(path, engine, n_action_steps))?;
        Ok(Self::of(loaded, seeds.map_or_else(noise::any_seed, Ok)?))
    }

    /// The policy in the contents of a file, as `to_bytes` returns them.
    #[classmethod]
    #[pyo3(signature = (data, n_action_steps=None))]
    fn from_bytes(
        class: &Bound<'_, PyType>,
        data: Vec<u8>,
        n_action_steps: Option<usize>,
    ) -> PyResult<Self> {
        let py = class.py();
        let loaded = unlocked(py, || {
            Loaded::of_bytes(data)?.with_action_steps(n_action_steps)
        })?;
        Self::unseeded(loaded)
    }

    /// Contents of the policy's file: a model file of an integer policy, safetensors of a float
    /// policy.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = unlocked(py, || self.loaded.to_bytes())?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Writes the policy to a file; an existing one is replaced as a whole.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        unlocked(py, || write_whole(&path, &self.loaded.to_bytes()?))
    }

    /// Pickling keeps the policy, not the episodes that it plays.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Pickled<'py>)> {
        let (py, policy) = (slf.py(), slf.get());
        let bytes = unlocked(py, || policy.loaded.made_of())?;
        let pickled = (PyBytes::new(py, &bytes), policy.n_action_steps());
        Ok((py.get_type::<Self>().getattr("from_bytes")?, pickled))
    }

    /// The next action of each environment: plans if none is left.
    fn select_action<'py>(
        &self,
        py: Python<'py>,
        observation: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let seen = observations(observation, &self.checks)?;
        if seen.shape.len() > 1 {
            return Err(self.wrong_shape(&seen.shape, "(Do,) or (B, Do)"));
        }
        let engine = self.engine();
        let actions = unlocked(py, || self.episodes().select(engine, &seen.values))?;
        reshaped(py, actions, [seen.shape, vec![self.action_dim()]].concat())
    }

    /// Plans the actions that follow a window of observations, or each of a batch.
    #[pyo3(signature = (observations, *, seed=None, noise=None))]
    fn predict_action<'py>(
        &self,
        py: Python<'py>,
        observations: &Bound<'py, PyAny>,
        seed: Option<&Bound<'py, PyAny>>,
        noise: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let seen = observations::observations(observations, &self.checks)?;
        let outer = match &seen.shape[..] {
            [n_obs_steps] if *n_obs_steps == self.n_obs_steps() => vec![],
            [batch, n_obs_steps] if *n_obs_steps == self.n_obs_steps() => vec![*batch],
            _ => return Err(self.wrong_shape(&seen.shape, "(To, Do) or (B, To, Do)")),
        };
        let mut noises = noise::noises(seed, noise, &outer, self.checks.noise_shape)?;
        let shape = self.checks.shape;
        let mut actions = vec![0.0; noises.len() * shape.chunk_len()];
        unlocked(py, || {
            let windows = seen.values.chunks_exact(shape.window_len());
            let chunks = actions.chunks_exact_mut(shape.chunk_len());
            let jobs = windows.zip(&mut noises).zip(chunks);
            let jobs = jobs.map(|((window, noise), chunk)| plans::Job {
                window,
                noise,
                chunk,
            });
            plans::plan(self.engine(), &mut jobs.collect::<Vec<_>>())
        })?;
        let extents = [outer, vec![shape.n_action_steps, shape.action_dim]].concat();
        reshaped(py, actions, extents)
    }

    /// Begins an episode in every environment, or where `mask` is true.
    #[pyo3(signature = (*, seed=None, mask=None))]
    fn reset(
        &self,
        seed: Option<&Bound<'_, PyAny>>,
        mask: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let seeds = noise::seeds(seed)?;
        let Some(mask) = mask else {
            self.episodes().reset(seeds);
            return Ok(());
        };
        let mask: PyReadonlyArray1<'_, bool> = mask.extract().map_err(|_| {
            PyTypeError::new_err("mask: an array of booleans is needed, one per environment")
        })?;
        let mask = mask.as_array().to_vec();
        let reset = self.episodes().reset_at(&mask, seeds.as_ref());
        reset.map_err(crate::errors::failed)
    }

    /// Arithmetic: `integer` or `float`.
    #[getter(engine)]
    fn engine_name(&self) -> &'static str {
        let kind = self.engine().kind();
        let named = ENGINES.iter().find(|(_, engine)| *engine == kind);
        named.map_or("", |(name, _)| name)
    }

    /// Name of the task.
    #[getter]
    fn task(&self) -> &str {
        match self.engine() {
            Engine::Int(file) => file.model().task(),
            Engine::Float(policy) => &policy.task().name,
        }
    }

    /// `To`: observations per plan.
    #[getter]
    fn n_obs_steps(&self) -> usize {
        self.checks.shape.n_obs_steps
    }

    /// `Do`: values of an observation.
    #[getter]
    fn observation_dim(&self) -> usize {
        self.checks.shape.obs_dim
    }

    /// `Tp`: actions predicted per plan.
    #[getter]
    fn horizon(&self) -> usize {
        self.checks.noise_shape[0]
    }

    /// `Ta`: actions executed per plan.
    #[getter]
    fn n_action_steps(&self) -> usize {
        self.checks.shape.n_action_steps
    }

    /// `Da`: values of an action.
    #[getter]
    fn action_dim(&self) -> usize {
        self.checks.shape.action_dim
    }

    /// Passes of the network per plan.
    #[getter]
    fn num_inference_steps(&self) -> usize {
        self.engine().passes()
    }

    /// Rows and columns of a plan's noise.
    #[getter]
    fn noise_shape(&self) -> (usize, usize) {
        self.checks.noise_shape.into()
    }

    fn __repr__(&self) -> String {
        format!(
            "<pusht.Policy of {:?}, {}: {} observations of {} values to {} actions of {}>",
            self.task(),
            self.engine_name(),
            self.n_obs_steps(),
            self.observation_dim(),
            self.n_action_steps(),
            self.action_dim()
        )
    }
}

impl Policy {
    /// A policy whose noise has a seed of the operating system.
    pub fn unseeded(loaded: Loaded) -> PyResult<Self> {
        Ok(Self::of(loaded, noise::any_seed()?))
    }

    /// A policy that plays no environment yet.
    fn of(loaded: Loaded, seeds: episodes::Seeds) -> Self {
        let engine = &loaded.engine;
        Self {
            checks: Checks::of(engine),
            episodes: Mutex::new(Episodes::new(engine.loop_shape(), seeds)),
            loaded,
        }
    }

    /// The policy with its engine.
    pub fn engine(&self) -> &Engine {
        &self.loaded.engine
    }

    fn episodes(&self) -> MutexGuard<'_, Episodes> {
        // A panic leaves windows and queues whole.
        self.episodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Error for observations whose axes before the last have these extents.
    fn wrong_shape(&self, outer: &[usize], needed: &str) -> PyErr {
        PyValueError::new_err(format!(
            "observation: an array of shape {needed} is needed, with To = {} and Do = {}, but {} \
             before the last axis {:?}",
            self.n_obs_steps(),
            self.observation_dim(),
            if outer.len() == 1 {
                "the extent"
            } else {
                "the extents"
            },
            outer
        ))
    }
}

fn reshaped(
    py: Python<'_>,
    values: Vec<f64>,
    shape: Vec<usize>,
) -> PyResult<Bound<'_, PyArrayDyn<f64>>> {
    PyArray1::from_vec(py, values).reshape(shape)
}

fn load(
    path: Option<PathBuf>,
    wanted: Option<EngineKind>,
    n_action_steps: Option<usize>,
) -> Result<Loaded> {
    let loaded = path
        .as_ref()
        .map_or_else(Loaded::shipped, |path| Loaded::of_path(path))?;
    let kind = loaded.engine.kind();
    ensure!(
        wanted.is_none_or(|wanted| wanted == kind),
        "{}: {}",
        path.unwrap_or("the shipped policy".into()).display(),
        match kind {
            EngineKind::Int =>
                "an integer policy; engine=\"float\" is for the float policy that it was made of",
            EngineKind::Float =>
                "a float policy; `pusht.quantize` makes one for engine=\"integer\" of it",
        }
    );
    loaded.with_action_steps(n_action_steps)
}
