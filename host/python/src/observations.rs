//! Observations as NumPy arrays, of one environment and of many.

use crate::errors::refused;
use crate::options::{Options, Parts};
use crate::pictures::{Size, picture, refused_picture};
use numpy::{PyArray1, PyArray2, PyArray4, PyArrayMethods};
use pusht_core::pusht::env::PushTEnv;
use pusht_core::pusht::observation::{
    MASKED_KEYPOINTS_DIM, MaskedKeypoints, ObservationKind, observe,
};
use pusht_gym::batch::PushTBatch;
use pusht_gym::pusht::ObsType;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The values of an observation, without pictures: as many as a batch has for each environment.
pub fn values(
    obs_type: ObsType,
    env: &PushTEnv,
    keypoints: &mut MaskedKeypoints,
) -> PyResult<[f64; MASKED_KEYPOINTS_DIM]> {
    let state = env.state();
    let kind = obs_type.kind();
    if kind == ObservationKind::Keypoints {
        return keypoints.observe(&state).map_err(refused);
    }
    let mut values = [0.0; MASKED_KEYPOINTS_DIM];
    observe(kind, &state, &mut values[..kind.dim()]).map_err(refused)?;
    Ok(values)
}

/// The observation of one environment with these [`values`].
pub fn observation<'py>(
    py: Python<'py>,
    options: &Options,
    env: &PushTEnv,
    values: &[f64],
) -> PyResult<Bound<'py, PyAny>> {
    let (obs_type, size) = (options.obs_type, options.observation);
    let main = if obs_type.has_pixels() {
        picture(py, env, size, None)?.into_any()
    } else {
        PyArray1::from_slice(py, &values[..obs_type.n_values()]).into_any()
    };
    let agent = || PyArray1::from_slice(py, env.info().agent_pos_px.as_slice()).into_any();
    with_agent(py, obs_type, main, agent)
}

/// `main` alone, or a dictionary of it and the agent's position.
fn with_agent<'py>(
    py: Python<'py>,
    obs_type: ObsType,
    main: Bound<'py, PyAny>,
    agent: impl FnOnce() -> Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(name) = obs_type.name_beside_agent() else {
        return Ok(main);
    };
    let dict = PyDict::new(py);
    dict.set_item(name, main)?;
    dict.set_item(intern!(py, "agent_pos"), agent())?;
    Ok(dict.into_any())
}

/// Arrays for the observations of many environments, which may be filled again.
pub struct Arrays {
    obs_type: ObsType,
    size: Size,
    main: Main,
    /// (n, 2).
    agent: Py<PyArray2<f64>>,
}

enum Main {
    /// (n, values).
    Values(Py<PyArray2<f64>>),
    /// (n, height, width, 3).
    Pixels(Py<PyArray4<u8>>),
}

impl Arrays {
    /// Arrays of zeros for `n` environments.
    pub fn new(py: Python<'_>, options: &Options, n: usize) -> Self {
        let (obs_type, size) = (options.obs_type, options.observation);
        let [width, height] = size;
        let main = if obs_type.has_pixels() {
            Main::Pixels(PyArray4::zeros(py, [n, height, width, 3], false).unbind())
        } else {
            Main::Values(PyArray2::zeros(py, [n, obs_type.n_values()], false).unbind())
        };
        let n_agents = obs_type.name_beside_agent().map_or(0, |_| n);
        Self {
            obs_type,
            size,
            main,
            agent: PyArray2::zeros(py, [n_agents, 2], false).unbind(),
        }
    }

    /// Writes the current observations of the batch.
    pub fn fill(&self, py: Python<'_>, batch: &mut PushTBatch) -> PyResult<()> {
        match &self.main {
            Main::Values(values) => {
                let mut values = values.bind(py).try_readwrite()?;
                let mut into = values
                    .as_slice_mut()?
                    .chunks_exact_mut(self.obs_type.n_values());
                batch.rows(|rows| {
                    let from = rows.step.observations.chunks_exact(batch.observation_dim());
                    for (from, into) in from.zip(&mut into) {
                        into.copy_from_slice(&from[..into.len()]);
                    }
                });
            }
            Main::Pixels(pixels) => {
                let [width, height] = self.size;
                let mut pixels = pixels.bind(py).try_readwrite()?;
                let pixels = pixels.as_slice_mut()?;
                py.detach(|| batch.pixels(width, height, pixels))
                    .map_err(refused_picture)?;
            }
        }
        let mut agent = self.agent.bind(py).try_readwrite()?;
        let (agent, _) = agent.as_slice_mut()?.as_chunks_mut::<2>();
        let mut agent = agent.iter_mut();
        if self.obs_type.name_beside_agent().is_some() {
            batch.rows(|rows| {
                for (info, agent) in rows.infos.iter().zip(&mut agent) {
                    *agent = info.agent_pos_px.into();
                }
            });
        }
        Ok(())
    }

    /// The observations as Gymnasium's users see them: an array, or a dictionary of arrays.
    pub fn object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let main = match &self.main {
            Main::Values(values) => values.bind(py).clone().into_any(),
            Main::Pixels(pixels) => pixels.bind(py).clone().into_any(),
        };
        with_agent(py, self.obs_type, main, || {
            self.agent.bind(py).clone().into_any()
        })
    }
}
