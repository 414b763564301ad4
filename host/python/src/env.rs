//! One environment.

use crate::arrays::{float64, numbers};
use crate::errors::{not_started, refused, refused_snapshot};
use crate::infos::info;
use crate::observations::{observation, values};
use crate::options::{Options, start_order};
use crate::pictures::picture;
use numpy::PyArray3;
use pusht_core::pusht::env::{PushTEnv, Seeding, StartState};
use pusht_core::pusht::observation::{MaskedKeypoints, STATE_DIM};
use pusht_gym::batch::EnvState;
use pusht_gym::snapshot;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The simulator of one environment, with its observations and infos.
#[pyclass(module = "pusht._pusht")]
pub struct Env {
    options: Options,
    env: Option<PushTEnv>,
    keypoints: MaskedKeypoints,
    last_action: Option<[f64; 2]>,
}

/// What a snapshot holds.
type Saved = (Option<PushTEnv>, MaskedKeypoints, Option<[f64; 2]>);
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
    fn new(options: Options) -> PyResult<Self> {
        Ok(Self {
            options,
            env: None,
            keypoints: MaskedKeypoints::new(options.keypoint_visible_rate, 0).map_err(refused)?,
            last_action: None,
        })
    }

    /// Takes over the parameters of the simulator. Goal and success threshold hold immediately, the
    /// others from the next reset on.
    fn configure(&mut self, options: Options) -> PyResult<()> {
        if let Some(env) = &mut self.env {
            env.set_params(options.params).map_err(refused)?;
        }
        self.options.params = options.params;
        Ok(())
    }

    /// Starts an episode at `state`: agent x, y, block x, y, px; block angle, rad. It is set in
    /// `order`, or in that of the options. A `seed` restarts the visibility of keypoints. The last
    /// action stays, as in gym-pusht.
    fn reset<'py>(
        &mut self,
        py: Python<'py>,
        state: &Bound<'py, PyAny>,
        seed: Option<u64>,
        order: Option<&str>,
    ) -> PyResult<Seen<'py>> {
        let state = numbers::<STATE_DIM>("reset_to_state", state)?;
        let start = StartState::from_state(&state);
        let order = start_order(order, self.options.start_order)?;
        let env = PushTEnv::new(self.options.params, start, order);
        let env = self.env.insert(env.map_err(refused)?);
        if let Some(seed) = seed {
            let rate = self.options.keypoint_visible_rate;
            self.keypoints = MaskedKeypoints::new(rate, seed).map_err(refused)?;
        }
        let info = info(py, &env.info(), None)?;
        Ok((self.observation(py)?, info))
    }

    /// Takes an action: the agent's target position, px.
    fn step<'py>(&mut self, py: Python<'py>, action: &Bound<'py, PyAny>) -> PyResult<Stepped<'py>> {
        let action = numbers("action", action)?;
        let env = self.env.as_mut().ok_or_else(not_started)?;
        let step = env.step(action).map_err(refused)?;
        self.last_action = Some(action);
        let info = info(py, &env.info(), Some((step.terminated, step.coverage)))?;
        let reward = float64(py, step.reward)?;
        let observation = self.observation(py)?;
        Ok((observation, reward, step.terminated, step.truncated, info))
    }

    /// The current observation.
    fn observation<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let env = self.env.as_ref().ok_or_else(not_started)?;
        let values = values(self.options.obs_type, env, &mut self.keypoints)?;
        observation(py, &self.options, env, &values)
    }

    /// The picture that gym-pusht's `render` returns, with the last action.
    fn render<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let size = self.options.visualization;
        picture(py, self.running()?, size, self.last_action)
    }

    /// A picture of this size without the last action.
    fn picture<'py>(
        &self,
        py: Python<'py>,
        width: usize,
        height: usize,
    ) -> PyResult<Bound<'py, PyArray3<u8>>> {
        picture(py, self.running()?, [width, height], None)
    }

    /// Everything that the next steps depend on.
    fn snapshot(&self) -> PyResult<Vec<u8>> {
        let saved: Saved = (self.env, self.keypoints.clone(), self.last_action);
        snapshot::encode(&saved).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Continues from a snapshot, with its parameters of the simulator.
    fn restore(&mut self, bytes: &[u8]) -> PyResult<()> {
        let saved: Saved = snapshot::decode(bytes).map_err(refused_snapshot)?;
        (self.env, self.keypoints, self.last_action) = saved;
        if let Some(env) = &self.env {
            self.options.params = *env.params();
        }
        Ok(())
    }

    #[getter]
    fn goal_pose(&self) -> [f64; 3] {
        let params = &self.options.params;
        [params.goal_px.x, params.goal_px.y, params.goal_angle_rad]
    }

    #[getter]
    fn success_threshold(&self) -> f64 {
        self.options.params.success_threshold
    }

    #[getter]
    fn damping(&self) -> f64 {
        self.options.params.damping
    }

    #[getter]
    fn block_cog(&self) -> [f64; 2] {
        self.options.params.block_cog_px.into()
    }

    /// The last action, px.
    #[getter]
    fn last_action(&self) -> Option<[f64; 2]> {
        self.last_action
    }
}

impl Env {
    fn running(&self) -> PyResult<&PushTEnv> {
        self.env.as_ref().ok_or_else(not_started)
    }

    /// Takes over an environment of a batch.
    pub fn set_state(&mut self, state: EnvState, last_action: Option<[f64; 2]>) {
        self.options.params = *state.env.params();
        self.env = Some(state.env);
        if let Some(keypoints) = state.keypoints {
            self.keypoints = keypoints;
        }
        self.last_action = last_action;
    }

    /// Hands itself over to an environment of a batch.
    pub fn update(&self, state: &mut EnvState) -> PyResult<()> {
        state.env = *self.running()?;
        if let Some(keypoints) = &mut state.keypoints {
            *keypoints = self.keypoints.clone();
        }
        Ok(())
    }
}

/// Start state of a legacy seed (`numpy.random.RandomState`).
#[pyfunction]
pub fn legacy_start(seed: u64) -> PyResult<[f64; STATE_DIM]> {
    let start = StartState::from_seed(seed, Seeding::Legacy).map_err(refused)?;
    let (agent, block) = (start.agent_px, start.block_px);
    Ok([agent.x, agent.y, block.x, block.y, start.block_angle_rad])
}
