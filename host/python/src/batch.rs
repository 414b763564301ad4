//! Many environments as one.

use crate::arrays::pairs;
use crate::env::Env;
use crate::errors::{episode_over, refused, refused_batch, refused_snapshot};
use crate::infos::{Masks, infos};
use crate::observations::{Arrays, observation};
use crate::options::{Options, start_order};
use crate::random::{Pcg64State, pcg64_state};
use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1};
use pusht_core::pusht::env::{StartOrder, StartSequence, StartState};
use pusht_core::pusht::observation::{MaskedKeypoints, STATE_DIM};
use pusht_gym::batch::{EnvState, PushTBatch};
use pusht_gym::snapshot;
use pusht_gym::vector::{AutoresetMode, Seed};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// A batch of environments, with the arrays of Gymnasium's vector environments.
#[pyclass(module = "pusht._pusht")]
pub struct Batch {
    options: Options,
    autoreset_mode: AutoresetMode,
    batch: PushTBatch,
    /// The arrays of every observation, if they are not to be new ones each time.
    kept: Option<Arrays>,
    last_actions: Vec<Option<[f64; 2]>>,
    /// Whether the last step ended the episode, and no reset followed.
    is_over: Vec<bool>,
}

/// What a snapshot of a batch holds for each environment.
type Saved = (EnvState, Option<[f64; 2]>);
/// Observations and infos.
type Seen<'py> = (Bound<'py, PyAny>, Bound<'py, PyDict>);
/// Observations, rewards, terminations, truncations, infos.
type Stepped<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<bool>>,
    Bound<'py, PyArray1<bool>>,
    Bound<'py, PyDict>,
);

#[pymethods]
impl Batch {
    /// `autoreset_mode`: the value of Gymnasium's `AutoresetMode`. `copy`: whether each step returns
    /// new arrays of observations.
    #[new]
    fn new(
        py: Python<'_>,
        options: Options,
        num_envs: usize,
        autoreset_mode: &str,
        copy: bool,
    ) -> PyResult<Self> {
        let autoreset_mode = autoreset_mode.parse().map_err(refused_batch)?;
        let batch = PushTBatch::new(num_envs, options.of_batch(autoreset_mode));
        Ok(Self {
            autoreset_mode,
            batch: batch.map_err(refused_batch)?,
            kept: (!copy).then(|| Arrays::new(py, &options, num_envs)),
            last_actions: vec![None; num_envs],
            is_over: vec![false; num_envs],
            options,
        })
    }

    /// Restarts the random generators.
    fn seed(&mut self, seeds: Vec<u64>) -> PyResult<()> {
        for (index, seed) in seeds.into_iter().enumerate().take(self.is_over.len()) {
            let mut state = self.batch.state(index);
            state.starts = StartSequence::new(seed, self.options.seeding).map_err(refused)?;
            if let Some(keypoints) = &mut state.keypoints {
                *keypoints = MaskedKeypoints::new(self.options.keypoint_visible_rate, seed)
                    .map_err(refused)?;
            }
            self.batch.set_state(index, state);
        }
        Ok(())
    }

    /// Starts episodes where `mask` is true, at `state` if it is given, which is set in `order`, or
    /// in that of the options.
    fn reset<'py>(
        &mut self,
        py: Python<'py>,
        mask: PyReadonlyArray1<'py, bool>,
        seeds: Vec<Option<u64>>,
        state: Option<[f64; STATE_DIM]>,
        order: Option<&str>,
    ) -> PyResult<Seen<'py>> {
        let mask = mask.as_slice()?;
        let order: StartOrder = start_order(order, self.options.start_order)?;
        let start = state.map(|state| (StartState::from_state(&state), order));
        let starts = start.map_or(Vec::new(), |start| vec![start; mask.len()]);
        self.batch
            .reset_at(mask, &Seed::List(seeds), &starts)
            .map_err(refused_batch)?;
        for (is_over, is_reset) in self.is_over.iter_mut().zip(mask) {
            *is_over &= !is_reset;
        }
        let masks = Masks {
            has_info: mask,
            has_coverage: &vec![false; mask.len()],
            is_final: false,
        };
        Ok((self.observations(py)?, infos(py, &self.batch, &masks)?))
    }

    /// Takes an action in each environment: target positions of the agents, px, (n, 2).
    fn step<'py>(
        &mut self,
        py: Python<'py>,
        actions: &Bound<'py, PyAny>,
    ) -> PyResult<Stepped<'py>> {
        let n = self.is_over.len();
        let actions = pairs("actions", actions, n)?;
        if self.autoreset_mode == AutoresetMode::Disabled
            && let Some(index) = self.is_over.iter().position(|is_over| *is_over)
        {
            return Err(episode_over(index));
        }
        let begun = std::mem::take(&mut self.is_over);
        let advanced = py.detach(|| self.batch.advance(actions.as_flattened()));
        let rewards = PyArray1::zeros(py, n, false);
        let terminations = PyArray1::zeros(py, n, false);
        let truncations = PyArray1::zeros(py, n, false);
        let mut is_final = vec![false; n];
        {
            let (mut rewards, mut terminations) = (rewards.readwrite(), terminations.readwrite());
            let mut truncations = truncations.readwrite();
            let rewards = rewards.as_slice_mut()?;
            let terminations = terminations.as_slice_mut()?;
            let truncations = truncations.as_slice_mut()?;
            self.batch.rows(|rows| {
                let envs = rows.indices();
                rewards[envs.clone()].copy_from_slice(rows.step.rewards);
                terminations[envs.clone()].copy_from_slice(rows.step.terminations);
                truncations[envs.clone()].copy_from_slice(rows.step.truncations);
                is_final[envs].copy_from_slice(rows.step.is_final);
            });
            let is_left = self.autoreset_mode != AutoresetMode::SameStep;
            let ended = terminations.iter().zip(&*truncations);
            self.is_over = ended
                .map(|(terminated, truncated)| is_left && (*terminated || *truncated))
                .collect();
        }
        for ((last, action), begun) in self.last_actions.iter_mut().zip(&actions).zip(&begun) {
            if !begun {
                *last = Some(*action);
            }
        }
        advanced.map_err(refused_batch)?;
        let infos = self.step_infos(py, begun, is_final)?;
        let observations = self.observations(py)?;
        Ok((observations, rewards, terminations, truncations, infos))
    }

    /// Copies environment `index` into `env`, which has the same options.
    fn load(&self, index: usize, env: &mut Env) -> PyResult<()> {
        self.check(index)?;
        env.set_state(self.batch.state(index), self.last_actions[index]);
        Ok(())
    }

    /// Copies `env` into environment `index`.
    fn store(&mut self, index: usize, env: &Env) -> PyResult<()> {
        self.check(index)?;
        let mut state = self.batch.state(index);
        env.update(&mut state)?;
        self.batch.set_state(index, state);
        Ok(())
    }

    /// State of the generator of environment `index` as NumPy's PCG64 has it: `state`, `inc`,
    /// `has_uint32`, `uinteger`; `None` for legacy seeds.
    fn random_state(&self, index: usize) -> PyResult<Option<Pcg64State>> {
        self.check(index)?;
        Ok(pcg64_state(&self.batch.state(index).starts))
    }

    /// Everything that the next steps depend on.
    fn snapshot(&self) -> PyResult<Vec<u8>> {
        let envs = (0..self.is_over.len()).map(|index| self.batch.state(index));
        let saved: Vec<Saved> = envs.zip(self.last_actions.iter().copied()).collect();
        snapshot::encode(&saved).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Continues from a snapshot of a batch with as many environments.
    fn restore(&mut self, bytes: &[u8]) -> PyResult<()> {
        let saved: Vec<Saved> = snapshot::decode(bytes).map_err(refused_snapshot)?;
        if saved.len() != self.is_over.len() {
            return Err(PyValueError::new_err(format!(
                "a snapshot of {} environments is given, one of {} is needed",
                saved.len(),
                self.is_over.len()
            )));
        }
        for (index, (state, last_action)) in saved.into_iter().enumerate() {
            self.is_over[index] = state.is_over;
            self.last_actions[index] = last_action;
            self.batch.set_state(index, state);
        }
        Ok(())
    }
}

impl Batch {
    fn check(&self, index: usize) -> PyResult<()> {
        if index < self.is_over.len() {
            return Ok(());
        }
        Err(PyIndexError::new_err(format!("no environment {index}")))
    }

    /// The current observations, in the kept arrays or in new ones.
    fn observations<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let n = self.is_over.len();
        let new = (self.kept.is_none()).then(|| Arrays::new(py, &self.options, n));
        let arrays = self.kept.as_ref().or(new.as_ref());
        let Some(arrays) = arrays else {
            return Ok(py.None().into_bound(py));
        };
        arrays.fill(py, &mut self.batch)?;
        arrays.object(py)
    }

    /// Infos of a step. `begun`: the environments whose last episode was over before it;
    /// `is_final`: those that ended and were reset within it.
    fn step_infos<'py>(
        &self,
        py: Python<'py>,
        begun: Vec<bool>,
        is_final: Vec<bool>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let all = vec![true; begun.len()];
        let is_reset: &[bool] = match self.autoreset_mode {
            AutoresetMode::SameStep => &is_final,
            AutoresetMode::NextStep | AutoresetMode::Disabled => &begun,
        };
        let stepped: Vec<bool> = is_reset.iter().map(|is_reset| !is_reset).collect();
        let now = Masks {
            has_info: &all,
            has_coverage: &stepped,
            is_final: false,
        };
        let dict = infos(py, &self.batch, &now)?;
        if is_final.contains(&true) {
            let last = Masks {
                has_info: &is_final,
                has_coverage: &is_final,
                is_final: true,
            };
            let mask = || PyArray1::from_slice(py, &is_final);
            dict.set_item(intern!(py, "final_obs"), self.final_obs(py)?)?;
            dict.set_item(intern!(py, "_final_obs"), mask())?;
            let last = infos(py, &self.batch, &last)?;
            dict.set_item(intern!(py, "final_info"), last)?;
            dict.set_item(intern!(py, "_final_info"), mask())?;
        }
        Ok(dict)
    }

    /// The last observations of the episodes that ended in this step; `None` for the others.
    fn final_obs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<Py<PyAny>>>> {
        let mut all = Vec::with_capacity(self.is_over.len());
        self.batch.rows(|rows| {
            let values = rows
                .step
                .final_obs
                .chunks_exact(self.batch.observation_dim());
            for (at, values) in values.enumerate() {
                let env = &rows.final_envs[at];
                all.push(if rows.step.is_final[at] {
                    observation(py, &self.options, env, values).map(Bound::unbind)
                } else {
                    Ok(py.None())
                });
            }
        });
        Ok(PyArray1::from_vec(
            py,
            all.into_iter().collect::<PyResult<_>>()?,
        ))
    }
}
