//! One environment.

use crate::arrays::{float64, numbers};
use crate::errors::{not_started, refused};
use crate::options::Options;
use numpy::PyArray1;
use pusht_core::pusht::env::{PushTEnv, Seeding, StartState};
use pusht_core::pusht::observation::{MaskedKeypoints, ObservationKind, STATE_DIM, observe};
use pusht_gym::pusht::ObsType;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Quirk: gym-pusht divides the contact points of a control step by 1000 where it has 10 physics
/// steps (`_get_info`).
pub const CONTACTS_DIVISOR: usize = 1000;

/// The simulator of one environment, with its observations and infos.
#[pyclass(module = "pusht._pusht")]
pub struct Env {
    options: Options,
    env: Option<PushTEnv>,
    keypoints: MaskedKeypoints,
    last_action: Option<[f64; 2]>,
}

/// An observation and an info.
type Seen<'py> = (Bound<'py, PyAny>, Bound<'py, PyDict>);
/// Observation, reward, terminated, truncated, info.
type Stepped<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    bool,
    bool,
    Bound<'py, PyDict>,
);

#[pymethods]
impl Env {
    #[new]
    fn new(options: Options) -> Self {
        Self {
            options,
            env: None,
            keypoints: MaskedKeypoints::new(options.keypoint_visible_rate, 0),
            last_action: None,
        }
    }

    /// Starts an episode at `state`: agent x, y, block x, y, px; block angle, rad. A `seed` restarts
    /// the visibility of keypoints.
    fn reset<'py>(
        &mut self,
        py: Python<'py>,
        state: &Bound<'py, PyAny>,
        seed: Option<u64>,
    ) -> PyResult<Seen<'py>> {
        let state = numbers::<STATE_DIM>("reset_to_state", state)?;
        let start = StartState::from_state(&state);
        let env = PushTEnv::new(self.options.params, start, self.options.start_order);
        self.env = Some(env.map_err(refused)?);
        self.last_action = None;
        if let Some(seed) = seed {
            self.keypoints = MaskedKeypoints::new(self.options.keypoint_visible_rate, seed);
        }
        let info = self.info(py)?;
        info.set_item(intern!(py, "is_success"), false)?;
        Ok((self.observation(py)?, info))
    }

    /// Takes an action: the agent's target position, px.
    fn step<'py>(&mut self, py: Python<'py>, action: &Bound<'py, PyAny>) -> PyResult<Stepped<'py>> {
        let action = numbers("action", action)?;
        let step = self.env.as_mut().ok_or_else(not_started)?.step(action);
        let step = step.map_err(refused)?;
        self.last_action = Some(action);
        let info = self.info(py)?;
        info.set_item(intern!(py, "is_success"), step.terminated)?;
        info.set_item(intern!(py, "coverage"), step.coverage)?;
        let reward = float64(py, step.reward)?;
        Ok((
            self.observation(py)?,
            reward,
            step.terminated,
            step.truncated,
            info,
        ))
    }
}

impl Env {
    fn running(&self) -> PyResult<&PushTEnv> {
        self.env.as_ref().ok_or_else(not_started)
    }

    fn observation<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let state = self.running()?.state();
        Ok(match self.options.obs_type {
            ObsType::State => PyArray1::from_slice(py, &state).into_any(),
            ObsType::EnvironmentStateAgentPos => {
                let mut values = [0.0; ObservationKind::Vertices.dim()];
                observe(ObservationKind::Vertices, &state, &mut values).map_err(refused)?;
                let (vertices, agent) = values.split_at(ObservationKind::Vertices.agent_at());
                let parts = PyDict::new(py);
                let vertices = PyArray1::from_slice(py, vertices);
                parts.set_item(intern!(py, "environment_state"), vertices)?;
                parts.set_item(intern!(py, "agent_pos"), PyArray1::from_slice(py, agent))?;
                parts.into_any()
            }
            ObsType::Keypoints => {
                let values = self.keypoints.observe(&state).map_err(refused)?;
                PyArray1::from_slice(py, &values).into_any()
            }
        })
    }

    /// gym-pusht's `_get_info`.
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let info = self.running()?.info();
        let block = [
            info.block_pos_px.x,
            info.block_pos_px.y,
            info.block_angle_rad,
        ];
        let goal = [info.goal_pos_px.x, info.goal_pos_px.y, info.goal_angle_rad];
        let array = |values: &[f64]| PyArray1::from_slice(py, values);
        let dict = PyDict::new(py);
        dict.set_item(
            intern!(py, "pos_agent"),
            array(info.agent_pos_px.as_slice()),
        )?;
        dict.set_item(intern!(py, "vel_agent"), array(info.agent_vel.as_slice()))?;
        dict.set_item(intern!(py, "block_pose"), array(&block))?;
        dict.set_item(intern!(py, "goal_pose"), array(&goal))?;
        let n_contacts = info.n_contact_points.div_ceil(CONTACTS_DIVISOR);
        dict.set_item(intern!(py, "n_contacts"), n_contacts)?;
        Ok(dict)
    }
}

/// Start state of a legacy seed (`numpy.random.RandomState`).
#[pyfunction]
pub fn legacy_start(seed: u64) -> PyResult<[f64; STATE_DIM]> {
    let start = StartState::from_seed(seed, Seeding::Legacy).map_err(refused)?;
    let (agent, block) = (start.agent_px, start.block_px);
    Ok([agent.x, agent.y, block.x, block.y, start.block_angle_rad])
}
