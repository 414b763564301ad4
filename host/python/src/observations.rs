//! Observations as NumPy arrays, of one environment and of many.

use crate::errors::refused;
use crate::options::Options;
use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pusht_core::pusht::observation::{
    MASKED_KEYPOINTS_DIM, MaskedKeypoints, ObservationKind, STATE_DIM, observe,
};
use pusht_gym::batch::{PushTBatch, Rows};
use pusht_gym::pusht::ObsType;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Values of the vertices' observation that come before the agent's.
const AGENT_AT: usize = ObservationKind::Vertices.agent_at();

/// The observation of one environment.
pub fn observation<'py>(
    py: Python<'py>,
    options: &Options,
    state: &[f64; STATE_DIM],
    keypoints: &mut MaskedKeypoints,
) -> PyResult<Bound<'py, PyAny>> {
    Ok(match options.obs_type {
        ObsType::State => PyArray1::from_slice(py, state).into_any(),
        ObsType::EnvironmentStateAgentPos => {
            let mut values = [0.0; ObservationKind::Vertices.dim()];
            observe(ObservationKind::Vertices, state, &mut values).map_err(refused)?;
            let (vertices, agent) = values.split_at(AGENT_AT);
            let array = |values| PyArray1::from_slice(py, values).into_any();
            dict(py, "environment_state", array(vertices), array(agent))?.into_any()
        }
        ObsType::Keypoints => {
            let values = keypoints.observe(state).map_err(refused)?;
            PyArray1::from_slice(py, &values).into_any()
        }
    })
}

fn dict<'py>(
    py: Python<'py>,
    name: &str,
    values: Bound<'py, PyAny>,
    agent_pos: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item(name, values)?;
    dict.set_item(intern!(py, "agent_pos"), agent_pos)?;
    Ok(dict)
}

/// Arrays for the observations of many environments, which may be filled again.
pub enum Arrays {
    /// (n, dim).
    Values(Py<PyArray2<f64>>),
    /// The vertices, (n, 16), and the agent's position, (n, 2).
    Vertices(Py<PyArray2<f64>>, Py<PyArray2<f64>>),
}

impl Arrays {
    /// Arrays of zeros for `n` environments.
    pub fn new(py: Python<'_>, options: &Options, n: usize) -> Self {
        let zeros = |dim| PyArray2::zeros(py, [n, dim], false).unbind();
        match options.obs_type {
            ObsType::State => Self::Values(zeros(STATE_DIM)),
            ObsType::EnvironmentStateAgentPos => Self::Vertices(zeros(AGENT_AT), zeros(2)),
            ObsType::Keypoints => Self::Values(zeros(MASKED_KEYPOINTS_DIM)),
        }
    }

    /// Writes the current observations of the batch.
    pub fn fill(&self, py: Python<'_>, batch: &PushTBatch) -> PyResult<()> {
        match self {
            Self::Values(values) => {
                let mut values = values.bind(py).try_readwrite()?;
                let values = values.as_slice_mut()?;
                let dim = batch.observation_dim();
                batch.rows(|rows| {
                    values[rows.first * dim..][..rows.step.observations.len()]
                        .copy_from_slice(rows.step.observations);
                });
            }
            Self::Vertices(vertices, agent) => {
                let mut vertices = vertices.bind(py).try_readwrite()?;
                let mut agent = agent.bind(py).try_readwrite()?;
                let (vertices, _) = vertices.as_slice_mut()?.as_chunks_mut::<AGENT_AT>();
                let (agent, _) = agent.as_slice_mut()?.as_chunks_mut::<2>();
                batch.rows(|rows| {
                    let values = rows.step.observations.chunks_exact(batch.observation_dim());
                    for (index, values) in rows.envs().zip(values) {
                        vertices[index].copy_from_slice(&values[..AGENT_AT]);
                        agent[index].copy_from_slice(&values[AGENT_AT..]);
                    }
                });
            }
        }
        Ok(())
    }

    /// The observations as Gymnasium's users see them: an array, or a dictionary of arrays.
    pub fn object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(match self {
            Self::Values(values) => values.bind(py).clone().into_any(),
            Self::Vertices(vertices, agent) => dict(
                py,
                "environment_state",
                vertices.bind(py).clone().into_any(),
                agent.bind(py).clone().into_any(),
            )?
            .into_any(),
        })
    }
}

/// The last observation of the episode that ended in environment `at` of these rows.
pub fn final_observation<'py>(
    py: Python<'py>,
    options: &Options,
    rows: &Rows<'_>,
    at: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let dim = rows.step.final_obs.len() / rows.infos.len();
    let values = &rows.step.final_obs[at * dim..][..dim];
    let array = |values| PyArray1::from_slice(py, values).into_any();
    Ok(match options.obs_type {
        ObsType::State | ObsType::Keypoints => array(values),
        ObsType::EnvironmentStateAgentPos => {
            let (vertices, agent) = values.split_at(AGENT_AT);
            dict(py, "environment_state", array(vertices), array(agent))?.into_any()
        }
    })
}
