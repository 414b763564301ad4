//! [`PushTBatch`] as a [`VectorEnv`].

use super::batcher::{Batcher, Description, check_name};
use super::{
    AutoresetMode, Seed, Spaces, VectorEnv, VectorError, VectorOptions, VectorStep, batch_infos,
};
use crate::batch::{ACTION_DIM, BatchOptions, BatchStep, PushTBatch};
use crate::env::{Env, EnvError};
use crate::pusht::{ObsType, PushT, PushTOptions, start_of};
use crate::space::Space;
use crate::value::{Array, Dict, Value, dict};
use pusht_core::pusht::env::{StartOrder, StartState, WINDOW_PX};
use pusht_core::pusht::observation::ObservationKind;
use std::sync::Arc;

/// [`PushTBatch`] behind the interface of [`VectorEnv`]. Observations are copies. The infos are
/// `coverage` and `is_success`, and with [`AutoresetMode::SameStep`] `final_obs`. A reset takes the
/// options of [`PushT`]'s.
#[derive(Debug)]
pub struct PushTVectorEnv {
    batch: PushTBatch,
    batcher: Batcher,
    autoreset_mode: AutoresetMode,
    start_order: StartOrder,
    is_closed: bool,
}

impl PushTVectorEnv {
    /// A vector environment of `num_envs` PushT environments.
    ///
    /// # Errors
    /// As [`PushTBatch::new`].
    pub fn new(num_envs: usize, options: BatchOptions) -> Result<Self, VectorError> {
        let batch = PushTBatch::new(num_envs, options)?;
        let obs_type = match options.keypoint_visible_rate {
            Some(_) => ObsType::Keypoints,
            None => ObsType::State,
        };
        let single = PushT::new(PushTOptions {
            obs_type,
            ..PushTOptions::default()
        });
        let single = single.map_err(|error| VectorError::of(0, error))?;
        let observation_space = match (options.observation, options.keypoint_visible_rate) {
            (ObservationKind::State, _) | (_, Some(_)) => single.observation_space(),
            (other, None) => Space::uniform_box(0.0, WINDOW_PX, &[other.dim()]),
        };
        let description = Description {
            observation_space,
            action_space: single.action_space(),
            metadata: Dict::new(),
            render_mode: None,
        };
        let vector = VectorOptions {
            autoreset_mode: options.autoreset_mode,
            ..VectorOptions::default()
        };
        Ok(Self {
            batch,
            batcher: Batcher::new(&vec![description; num_envs], &vector)?,
            autoreset_mode: options.autoreset_mode,
            start_order: options.start_order,
            is_closed: false,
        })
    }

    fn check_open(&self) -> Result<(), VectorError> {
        if self.is_closed {
            return Err(VectorError::ClosedEnvironment);
        }
        Ok(())
    }

    fn rows(&self, values: &[f64]) -> Value {
        let shape = [self.batch.num_envs(), self.batch.observation_dim()];
        Array::new(&shape, values.to_vec()).map_or(Value::None, Value::Array)
    }

    /// The result of the latest step.
    fn latest(&self) -> VectorStep {
        let step = self.batch.latest();
        VectorStep {
            observations: Arc::new(self.rows(step.observations)),
            rewards: step.rewards.to_vec(),
            terminations: step.terminations.to_vec(),
            truncations: step.truncations.to_vec(),
            infos: self.infos(&step),
        }
    }

    fn infos(&self, step: &BatchStep<'_>) -> Dict {
        let all = Value::from(vec![true; step.rewards.len()]);
        let mut infos = dict([
            ("coverage", step.coverage.to_vec().into()),
            ("_coverage", all.clone()),
            ("is_success", step.terminations.to_vec().into()),
            ("_is_success", all),
        ]);
        if self.autoreset_mode == AutoresetMode::SameStep && step.is_final.contains(&true) {
            let dim = self.batch.observation_dim();
            let rows = step.final_obs.chunks_exact(dim);
            let last: Vec<Option<Dict>> = rows
                .zip(step.is_final)
                .map(|(row, is_final)| is_final.then(|| dict([("final_obs", row.to_vec().into())])))
                .collect();
            infos.extend(batch_infos(
                &last.iter().map(Option::as_ref).collect::<Vec<_>>(),
            ));
        }
        infos
    }
}

impl VectorEnv for PushTVectorEnv {
    fn num_envs(&self) -> usize {
        self.batch.num_envs()
    }

    fn spaces(&self) -> &Spaces {
        &self.batcher.spaces
    }

    fn metadata(&self) -> &Dict {
        &self.batcher.metadata
    }

    fn render_mode(&self) -> Option<&str> {
        None
    }

    fn reset(&mut self, seed: Seed, options: &Dict) -> Result<(Arc<Value>, Dict), VectorError> {
        self.check_open()?;
        let (mask, rest) = self.batcher.reset_mask(options)?;
        let start = start_of(&rest, None).map_err(|error| VectorError::of(0, error))?;
        let start = start.map(|(state, order)| {
            let order = order.unwrap_or(self.start_order);
            (StartState::from_state(&state), order)
        });
        let starts = start.map_or(Vec::new(), |start| vec![start; mask.len()]);
        self.batch.reset_from(&mask, &seed, &starts)?;
        let infos = dict([
            ("is_success", vec![false; mask.len()].into()),
            ("_is_success", mask.into()),
        ]);
        let observations = self.rows(self.batch.latest().observations);
        Ok((Arc::new(observations), infos))
    }

    fn step(&mut self, actions: &Value) -> Result<VectorStep, VectorError> {
        self.check_open()?;
        let shape = [self.num_envs(), ACTION_DIM];
        let stepped = match (actions.as_array(), actions.as_slice::<f64>()) {
            (Some(array), Some(values)) if array.shape() == shape => self.batch.step(values),
            _ => {
                let each = self.batcher.split_actions(actions)?;
                let values = each.iter().filter_map(Value::as_slice::<f64>);
                self.batch.step(&values.collect::<Vec<_>>().concat())
            }
        };
        match stepped.map(|_| ()) {
            Ok(()) => Ok(self.latest()),
            Err(VectorError::Environments { faults, .. }) => Err(VectorError::Environments {
                faults,
                rest: Some(Box::new(self.latest())),
            }),
            Err(error) => Err(error),
        }
    }

    fn call(&mut self, name: &str, _arguments: &[Value]) -> Result<Vec<Value>, VectorError> {
        check_name(name)?;
        self.get_attr(name)
    }

    fn get_attr(&mut self, name: &str) -> Result<Vec<Value>, VectorError> {
        self.check_open()?;
        match name {
            "coverage" => Ok(self
                .batch
                .latest()
                .coverage
                .iter()
                .copied()
                .map(Value::Float)
                .collect()),
            _ => Err(VectorError::of(0, EnvError::no_attribute(name))),
        }
    }

    fn set_attr(&mut self, name: &str, _values: &Value) -> Result<(), VectorError> {
        self.check_open()?;
        Err(VectorError::of(0, EnvError::no_attribute(name)))
    }

    fn close(&mut self) {
        self.is_closed = true;
    }
}
