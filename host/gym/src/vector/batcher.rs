//! Checks and splits what goes into a vector environment and combines what comes out. The same code
//! for all of them.

use super::autoreset::Stepped;
use super::error::{Cause, Fault};
use super::infos::taken_name;
use super::{ObservationMode, Seed, Spaces, VectorError, VectorOptions, VectorStep, batch_infos};
use crate::batch_space::{batch_differing_spaces, batch_space, create_empty_array, row, set_row};
use crate::env::Env;
use crate::space::Space;
use crate::value::{Dict, Value};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Name of the reset option that selects sub-environments.
const RESET_MASK: &str = "reset_mask";
/// Names that `call` refuses, because the vector environment has methods for them.
const RESERVED: [&str; 5] = ["reset", "step", "close", "get_attr", "set_attr"];

/// Spaces, metadata and render mode of a sub-environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Description {
    pub(super) observation_space: Space,
    pub(super) action_space: Space,
    pub(super) metadata: Dict,
    pub(super) render_mode: Option<String>,
}

impl Description {
    pub(super) fn of(env: &dyn Env) -> Self {
        Self {
            observation_space: env.observation_space(),
            action_space: env.action_space(),
            metadata: env.metadata(),
            render_mode: env.render_mode().map(ToOwned::to_owned),
        }
    }
}

#[derive(Debug)]
pub(super) struct Batcher {
    pub(super) num_envs: usize,
    pub(super) spaces: Spaces,
    pub(super) metadata: Dict,
    pub(super) render_mode: Option<String>,
    may_differ: bool,
    copy: bool,
    /// Latest observation of each sub-environment.
    observations: Arc<Value>,
}

impl Batcher {
    /// # Errors
    /// If there is no sub-environment, or their spaces can't be combined.
    pub(super) fn new(envs: &[Description], options: &VectorOptions) -> Result<Self, VectorError> {
        let first = envs.first().ok_or(VectorError::NoEnvironments)?;
        let num_envs = envs.len();
        let single = match &options.observation_mode {
            ObservationMode::Spaces(given) => given.0.clone(),
            ObservationMode::Same | ObservationMode::Different => first.observation_space.clone(),
        };
        let mut batcher = Self {
            num_envs,
            spaces: Spaces {
                observation_space: batch_space(&single, num_envs),
                action_space: batch_space(&first.action_space, num_envs),
                single_observation_space: single,
                single_action_space: first.action_space.clone(),
            },
            metadata: first.metadata.clone(),
            render_mode: first.render_mode.clone(),
            may_differ: options.observation_mode != ObservationMode::Same,
            copy: options.copy,
            observations: Arc::new(Value::None),
        };
        let mode = options.autoreset_mode.name();
        batcher
            .metadata
            .insert("autoreset_mode".into(), mode.into());
        for (index, env) in envs.iter().enumerate() {
            batcher.check_spaces(index, env)?;
        }
        let spaces = &mut batcher.spaces;
        if let Some(batched) = batched_space(&options.observation_mode, envs) {
            if !spaces.observation_space.is_same_shape(&batched) {
                return Err(VectorError::BatchedSpace);
            }
            spaces.observation_space = batched;
        }
        batcher.observations = Arc::new(create_empty_array(
            &spaces.single_observation_space,
            num_envs,
        ));
        Ok(batcher)
    }

    /// Checks the spaces of a sub-environment against the first one's.
    pub(super) fn check_spaces(&self, index: usize, env: &Description) -> Result<(), VectorError> {
        let Self {
            may_differ, spaces, ..
        } = self;
        let single = &spaces.single_observation_space;
        let fits = match may_differ {
            true => single.is_same_shape(&env.observation_space),
            false => *single == env.observation_space,
        };
        if !fits {
            let may_differ = *may_differ;
            return Err(VectorError::ObservationSpace { index, may_differ });
        }
        if env.action_space != spaces.single_action_space {
            return Err(VectorError::ActionSpace { index });
        }
        Ok(())
    }

    /// One seed or `None` per sub-environment.
    pub(super) fn seeds(&self, seed: &Seed) -> Result<Vec<Option<u64>>, VectorError> {
        seed.check(self.num_envs)?;
        Ok((0..self.num_envs).map(|index| seed.of(index)).collect())
    }

    /// The reset mask, and the options without it.
    pub(super) fn reset_mask(&self, options: &Dict) -> Result<(Vec<bool>, Dict), VectorError> {
        let n = self.num_envs;
        let mut rest = options.clone();
        let Some(mask) = rest.remove(RESET_MASK) else {
            return Ok((vec![true; n], rest));
        };
        let Value::Array(mask) = mask else {
            return Err(VectorError::ResetMaskKind { got: mask.kind() });
        };
        if mask.shape() != [n] {
            return Err(VectorError::ResetMaskShape {
                expected: n,
                got: mask.shape().to_vec(),
            });
        }
        let got = mask.dtype().name();
        let mask = mask
            .slice::<bool>()
            .ok_or(VectorError::ResetMaskType { got })?;
        if !mask.contains(&true) {
            return Err(VectorError::ResetMaskEmpty);
        }
        Ok((mask.to_vec(), rest))
    }

    /// One action per sub-environment, with the action space's shape and finite.
    pub(super) fn split_actions(&self, actions: &Value) -> Result<Vec<Value>, VectorError> {
        let space = &self.spaces.single_action_space;
        let count = |got| match got {
            got if got == self.num_envs => Ok(()),
            got => Err(VectorError::ActionCount {
                expected: self.num_envs,
                got,
            }),
        };
        let wrong = |index, value: &Value| VectorError::ActionShape {
            index,
            got: value.describe(),
        };
        let each: Vec<Value> = match (space, actions) {
            (Space::Tuple(_), Value::List(_)) | (_, Value::Array(_) | Value::Dict(_)) => {
                count(leading(actions).ok_or_else(|| wrong(None, actions))?)?;
                if !self.spaces.action_space.is_shape_of(actions) {
                    return Err(wrong(None, actions));
                }
                (0..self.num_envs)
                    .map(|index| row(space, actions, index))
                    .collect()
            }
            (_, Value::List(each)) => {
                count(each.len())?;
                each.clone()
            }
            _ => return Err(wrong(None, actions)),
        };
        for (index, action) in each.iter().enumerate() {
            if !space.is_shape_of(action) {
                return Err(wrong(Some(index), action));
            }
            if !action.is_finite() {
                return Err(VectorError::NonFiniteAction { index });
            }
        }
        Ok(each)
    }

    /// A value for each environment: a list has them, everything else is for all.
    pub(super) fn values(&self, values: &Value) -> Result<Vec<Value>, VectorError> {
        match values {
            Value::List(values) if values.len() == self.num_envs => Ok(values.clone()),
            Value::List(values) => Err(VectorError::ValueCount {
                expected: self.num_envs,
                got: values.len(),
            }),
            value => Ok(vec![value.clone(); self.num_envs]),
        }
    }

    /// Takes notice of an environment's latest observation.
    pub(super) fn observe(&mut self, index: usize, observation: Value) {
        let batch = Arc::make_mut(&mut self.observations);
        set_row(
            &self.spaces.single_observation_space,
            batch,
            index,
            observation,
        );
    }

    fn observations(&self) -> Arc<Value> {
        if self.copy {
            Arc::new((*self.observations).clone())
        } else {
            Arc::clone(&self.observations)
        }
    }

    /// The answers to a reset (`None`: was not asked), whose observations are noticed.
    pub(super) fn collect_reset(
        &self,
        answers: Vec<Option<Result<Dict, Cause>>>,
    ) -> Result<(Arc<Value>, Dict), VectorError> {
        let n = self.num_envs;
        let mut faults = Vec::new();
        let mut infos = Vec::new();
        for (index, answer) in answers.into_iter().enumerate() {
            infos.push(match answer {
                Some(Ok(info)) => Some(info),
                Some(Err(cause)) => {
                    faults.push(Fault { index, cause });
                    None
                }
                None => None,
            });
        }
        let step = VectorStep {
            observations: self.observations(),
            rewards: vec![0.0; n],
            terminations: vec![false; n],
            truncations: vec![false; n],
            infos: combined(&infos, &mut faults),
        };
        whole(step, faults).map(|step| (step.observations, step.infos))
    }

    /// The answers to a step, whose observations are noticed.
    pub(super) fn collect_step(
        &self,
        answers: Vec<Result<Stepped, Cause>>,
    ) -> Result<VectorStep, VectorError> {
        let n = self.num_envs;
        let mut faults = Vec::new();
        let mut infos = Vec::with_capacity(n);
        let mut rewards = vec![0.0; n];
        let (mut terminations, mut truncations) = (vec![false; n], vec![false; n]);
        for (index, answer) in answers.into_iter().enumerate() {
            infos.push(match answer {
                Ok(Stepped { step, fault }) => {
                    faults.extend(fault.map(|cause| Fault { index, cause }));
                    rewards[index] = step.reward;
                    terminations[index] = step.terminated;
                    truncations[index] = step.truncated;
                    Some(step.info)
                }
                Err(cause) => {
                    faults.push(Fault { index, cause });
                    None
                }
            });
        }
        let step = VectorStep {
            observations: self.observations(),
            rewards,
            terminations,
            truncations,
            infos: combined(&infos, &mut faults),
        };
        whole(step, faults)
    }

    /// The answers to a call.
    pub(super) fn collect_values<T>(answers: Vec<Result<T, Cause>>) -> Result<Vec<T>, VectorError> {
        let mut faults = Vec::new();
        let mut values = Vec::new();
        for (index, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok(value) => values.push(value),
                Err(cause) => faults.push(Fault { index, cause }),
            }
        }
        if faults.is_empty() {
            return Ok(values);
        }
        Err(VectorError::Environments { faults, rest: None })
    }
}

/// The infos of all sub-environments. A name that is taken becomes a fault of its sub-environment,
/// unless that has one.
fn combined(infos: &[Option<Dict>], faults: &mut Vec<Fault>) -> Dict {
    let infos: Vec<Option<&Dict>> = infos.iter().map(Option::as_ref).collect();
    for index in 0..infos.len() {
        let is_faulty = faults.iter().any(|fault| fault.index == index);
        if let (false, Some(name)) = (is_faulty, taken_name(&infos, index)) {
            let cause = Cause::InfoName(name);
            faults.push(Fault { index, cause });
        }
    }
    faults.sort_by_key(|fault| fault.index);
    batch_infos(&infos)
}

/// The results if no sub-environment failed.
fn whole(step: VectorStep, faults: Vec<Fault>) -> Result<VectorStep, VectorError> {
    if faults.is_empty() {
        return Ok(step);
    }
    let rest = Some(Box::new(step));
    Err(VectorError::Environments { faults, rest })
}

/// The observation space of all, where it is another than that of as many of the first.
fn batched_space(mode: &ObservationMode, envs: &[Description]) -> Option<Space> {
    match mode {
        ObservationMode::Same => None,
        ObservationMode::Different => {
            let spaces: Vec<Space> = envs
                .iter()
                .map(|env| env.observation_space.clone())
                .collect();
            batch_differing_spaces(&spaces)
        }
        ObservationMode::Spaces(given) => Some(given.1.clone()),
    }
}

/// Whether a name may be called.
pub(super) fn check_name(name: &str) -> Result<(), VectorError> {
    if RESERVED.contains(&name) {
        return Err(VectorError::ReservedName(name.to_owned()));
    }
    Ok(())
}

/// How many values a batch has.
fn leading(batch: &Value) -> Option<usize> {
    match batch {
        Value::Array(array) => array.shape().first().copied(),
        Value::Dict(parts) => parts.values().next().and_then(leading),
        Value::List(parts) => parts.first().and_then(leading),
        _ => None,
    }
}
