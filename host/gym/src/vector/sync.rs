//! Sub-environments that are stepped one after another.

use super::autoreset::{Stepped, SubEnv};
use super::batcher::{Batcher, Description, check_name};
use super::error::Cause;
use super::{Seed, Spaces, VectorEnv, VectorError, VectorOptions, VectorStep};
use crate::env::EnvFn;
use crate::value::{Dict, Value};
use std::fmt;
use std::sync::Arc;

/// Steps sub-environments one after another in the caller's thread: Gymnasium's `SyncVectorEnv`. A
/// panic of a sub-environment is a panic of the caller.
///
/// ```
/// use pusht_gym::env::EnvFn;
/// use pusht_gym::pusht::{PushT, PushTOptions};
/// use pusht_gym::space::seeded;
/// use pusht_gym::value::Dict;
/// use pusht_gym::vector::{Seed, SyncVectorEnv, VectorEnv, VectorOptions};
/// use std::sync::Arc;
///
/// let env_fn: EnvFn = Arc::new(|| Ok(Box::new(PushT::new(PushTOptions::default())?)));
/// let mut envs = SyncVectorEnv::new(&vec![env_fn; 2], VectorOptions::default())?;
/// envs.reset(Seed::Int(0), &Dict::new())?;
/// let actions = envs.spaces().action_space.sample(&mut seeded(1));
/// let step = envs.step(&actions)?;
/// assert_eq!(step.rewards.len(), 2);
/// # Ok::<(), pusht_gym::vector::VectorError>(())
/// ```
pub struct SyncVectorEnv {
    batcher: Batcher,
    /// Empty after closing.
    envs: Vec<SubEnv>,
}

impl SyncVectorEnv {
    /// Makes a sub-environment with each function.
    ///
    /// # Errors
    /// [`VectorError::NoEnvironments`] if there is no function, [`VectorError::Environments`] if
    /// one fails, [`VectorError::ObservationSpace`] or [`VectorError::ActionSpace`] if their spaces
    /// can't be combined.
    pub fn new(env_fns: &[EnvFn], options: VectorOptions) -> Result<Self, VectorError> {
        let mut envs = Vec::new();
        for (index, env_fn) in env_fns.iter().enumerate() {
            let env = env_fn().map_err(|error| VectorError::of(index, error))?;
            envs.push(SubEnv::new(env, options.autoreset_mode, false));
        }
        let descriptions: Vec<Description> =
            envs.iter().map(|sub| Description::of(&*sub.env)).collect();
        let batcher = Batcher::new(&descriptions, &options)?;
        Ok(Self { batcher, envs })
    }

    fn check_open(&self) -> Result<(), VectorError> {
        if self.envs.is_empty() {
            return Err(VectorError::ClosedEnvironment);
        }
        Ok(())
    }
}

impl VectorEnv for SyncVectorEnv {
    fn num_envs(&self) -> usize {
        self.batcher.num_envs
    }

    fn spaces(&self) -> &Spaces {
        &self.batcher.spaces
    }

    fn metadata(&self) -> &Dict {
        &self.batcher.metadata
    }

    fn render_mode(&self) -> Option<&str> {
        self.batcher.render_mode.as_deref()
    }

    fn reset(&mut self, seed: Seed, options: &Dict) -> Result<(Arc<Value>, Dict), VectorError> {
        self.check_open()?;
        let seeds = self.batcher.seeds(&seed)?;
        let (mask, options) = self.batcher.reset_mask(options)?;
        let mut answers = Vec::with_capacity(mask.len());
        for (index, sub) in self.envs.iter_mut().enumerate() {
            let answer = mask[index].then(|| sub.reset(seeds[index], &options));
            answers.push(answer.map(|answer| {
                answer.map(|(observation, info)| {
                    self.batcher.observe(index, observation);
                    info
                })
            }));
        }
        self.batcher.collect_reset(answers)
    }

    fn step(&mut self, actions: &Value) -> Result<VectorStep, VectorError> {
        self.check_open()?;
        let actions = self.batcher.split_actions(actions)?;
        let mut answers = Vec::with_capacity(actions.len());
        for (index, (sub, action)) in self.envs.iter_mut().zip(&actions).enumerate() {
            answers.push(sub.step(action).map(|step| {
                let mut stepped = Stepped::new(step, sub.autoreset());
                let observation = std::mem::take(&mut stepped.step.observation);
                self.batcher.observe(index, observation);
                stepped
            }));
        }
        self.batcher.collect_step(answers)
    }

    fn call(&mut self, name: &str, arguments: &[Value]) -> Result<Vec<Value>, VectorError> {
        self.check_open()?;
        check_name(name)?;
        let call = |sub: &mut SubEnv| sub.env.call(name, arguments).map_err(Cause::Error);
        Batcher::collect_values(self.envs.iter_mut().map(call).collect())
    }

    fn get_attr(&mut self, name: &str) -> Result<Vec<Value>, VectorError> {
        self.check_open()?;
        let get = |sub: &SubEnv| sub.env.get_attr(name).map_err(Cause::Error);
        Batcher::collect_values(self.envs.iter().map(get).collect())
    }

    fn set_attr(&mut self, name: &str, values: &Value) -> Result<(), VectorError> {
        self.check_open()?;
        let values = self.batcher.values(values)?;
        let set = |(sub, value): (&mut SubEnv, Value)| {
            sub.env.set_attr(name, value).map_err(Cause::Error)
        };
        Batcher::collect_values(self.envs.iter_mut().zip(values).map(set).collect()).map(|_| ())
    }

    fn close(&mut self) {
        for sub in &mut self.envs {
            sub.env.close();
        }
        self.envs.clear();
    }
}

/// Shows the spaces.
impl fmt::Debug for SyncVectorEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncVectorEnv")
            .field("num_envs", &self.batcher.num_envs)
            .field("spaces", &self.batcher.spaces)
            .finish_non_exhaustive()
    }
}
