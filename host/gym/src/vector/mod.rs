//! Vector environments: several environments behind one interface, Gymnasium's `VectorEnv`.
//!
//! ```text
//!  actions -> Batcher: check, split -> SubEnv (autoreset) x n: in turn, in threads or processes
//!                                            |
//!  VectorStep <- Batcher: stack, infos, faults
//! ```

mod asynchronous;
mod autoreset;
mod batcher;
mod error;
mod infos;
mod pusht;
mod sync;

pub use asynchronous::{
    AsyncOptions, AsyncVectorEnv, Closed, DEFAULT_TIMEOUT, SharedMemory, SharedMemoryError,
    WorkerProgram, run_if_worker,
};
pub use error::{Cause, Fault, VectorError};
pub use infos::batch_infos;
pub(crate) use infos::stack_values;
pub use pusht::PushTVectorEnv;
pub use sync::SyncVectorEnv;

use super::env::{EnvSpec, Registry};
use super::space::Space;
use super::value::{Dict, Value};
use std::str::FromStr;
use std::sync::Arc;

/// When a sub-environment whose episode has ended starts the next one: Gymnasium's `AutoresetMode`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum AutoresetMode {
    /// In the next step, which ignores the action and returns the first observation with reward 0.
    #[default]
    NextStep,
    /// In the same step, which returns the first observation of the next episode. The infos hold
    /// the last observation as `final_obs` and the last info as `final_info`.
    SameStep,
    /// Never: the caller resets it (`options["reset_mask"]`). A step before that is an error.
    Disabled,
}

/// How the observation spaces of the sub-environments are combined.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ObservationMode {
    /// All spaces are equal.
    #[default]
    Same,
    /// The spaces may differ in their bounds.
    Different,
    /// The caller gives the single and the batched space; the sub-environments' spaces may differ
    /// in their bounds.
    Spaces(Box<(Space, Space)>),
}

impl FromStr for ObservationMode {
    type Err = VectorError;

    fn from_str(word: &str) -> Result<Self, VectorError> {
        match word {
            "same" => Ok(Self::Same),
            "different" => Ok(Self::Different),
            _ => Err(VectorError::UnknownMode {
                what: "observation mode (same, different)",
                got: word.to_owned(),
            }),
        }
    }
}

/// Options of a vector environment.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorOptions {
    /// Whether returned observations are copies. If false, they are shared with the vector
    /// environment, which reuses their memory once the caller has dropped them. Either way,
    /// observations that the caller holds never change.
    pub copy: bool,
    /// How the observation spaces are combined.
    pub observation_mode: ObservationMode,
    /// When a sub-environment starts its next episode.
    pub autoreset_mode: AutoresetMode,
}

impl Default for VectorOptions {
    fn default() -> Self {
        Self {
            copy: true,
            observation_mode: ObservationMode::default(),
            autoreset_mode: AutoresetMode::default(),
        }
    }
}

/// Seeds of the sub-environments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Seed {
    /// No seed: their random number generators continue.
    #[default]
    None,
    /// Sub-environment `i` gets this seed plus `i`, at most 2^64 - 1.
    Int(u64),
    /// One entry per sub-environment; `None` leaves its generator as it is.
    List(Vec<Option<u64>>),
}

impl Seed {
    /// Checks that there is one for each of `n` sub-environments.
    pub(crate) fn check(&self, n: usize) -> Result<(), VectorError> {
        match self {
            Self::Int(first) if first.checked_add(n.saturating_sub(1) as u64).is_none() => {
                let index = (u64::MAX - first) as usize + 1;
                Err(VectorError::SeedTooLarge {
                    first: *first,
                    index,
                })
            }
            Self::List(seeds) if seeds.len() != n => Err(VectorError::SeedCount {
                expected: n,
                got: seeds.len(),
            }),
            Self::None | Self::Int(_) | Self::List(_) => Ok(()),
        }
    }

    /// The seed of a sub-environment, after [`Self::check`].
    pub(crate) fn of(&self, index: usize) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Int(first) => Some(first + index as u64),
            Self::List(seeds) => seeds[index],
        }
    }
}

impl From<u64> for Seed {
    fn from(first: u64) -> Self {
        Self::Int(first)
    }
}

impl From<Vec<Option<u64>>> for Seed {
    fn from(seeds: Vec<Option<u64>>) -> Self {
        Self::List(seeds)
    }
}

/// The result of [`VectorEnv::step`], with one row or element per sub-environment.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorStep {
    /// Observations, a value of the batched observation space.
    pub observations: Arc<Value>,
    /// Rewards, (n).
    pub rewards: Vec<f64>,
    /// Whether the episode reached a terminal state, (n).
    pub terminations: Vec<bool>,
    /// Whether the episode was cut off, (n).
    pub truncations: Vec<bool>,
    /// Infos, as [`batch_infos`] combines them.
    pub infos: Dict,
}

/// The four spaces of a vector environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Spaces {
    /// Observations of one sub-environment.
    pub single_observation_space: Space,
    /// Batched observations.
    pub observation_space: Space,
    /// Actions of one sub-environment.
    pub single_action_space: Space,
    /// Batched actions.
    pub action_space: Space,
}

/// Sub-environments that are reset and stepped together: Gymnasium's `VectorEnv`.
///
/// A vector environment may move to another thread, as `Box<dyn VectorEnv>`, too.
pub trait VectorEnv: Send {
    /// Number of sub-environments.
    fn num_envs(&self) -> usize;

    /// The single and the batched observation and action spaces.
    fn spaces(&self) -> &Spaces;

    /// The first sub-environment's metadata, with `autoreset_mode`.
    fn metadata(&self) -> &Dict;

    /// The first sub-environment's render mode.
    fn render_mode(&self) -> Option<&str>;

    /// Starts an episode in every sub-environment, or only where `options["reset_mask"]` (booleans,
    /// (n)) is true. The other options are passed on. Returns all observations and the infos.
    ///
    /// # Errors
    /// [`VectorError::SeedCount`] if a list does not have one seed per sub-environment,
    /// [`VectorError::SeedTooLarge`] if one would be beyond 2^64 - 1; one of the `ResetMask`
    /// variants if the mask is wrong; [`VectorError::Environments`] if a sub-environment fails: the
    /// others are reset. [`VectorError::ClosedEnvironment`] after [`Self::close`], as for all
    /// methods below.
    fn reset(&mut self, seed: Seed, options: &Dict) -> Result<(Arc<Value>, Dict), VectorError>;

    /// Takes an action in each sub-environment. `actions` is a value of the batched action space or
    /// a list of n actions.
    ///
    /// # Errors
    /// [`VectorError::ActionCount`], [`VectorError::ActionShape`] or
    /// [`VectorError::NonFiniteAction`] if the actions are wrong: no sub-environment is stepped.
    /// [`VectorError::Environments`] if a sub-environment fails: the others are stepped.
    fn step(&mut self, actions: &Value) -> Result<VectorStep, VectorError>;

    /// Renders each sub-environment.
    ///
    /// # Errors
    /// [`VectorError::Environments`] if a sub-environment does not render.
    fn render(&mut self) -> Result<Vec<Value>, VectorError> {
        self.call("render", &[])
    }

    /// Calls a method of each sub-environment.
    ///
    /// # Errors
    /// [`VectorError::ReservedName`] if `name` is a method of the vector environment itself,
    /// [`VectorError::Environments`] if a call fails.
    fn call(&mut self, name: &str, arguments: &[Value]) -> Result<Vec<Value>, VectorError>;

    /// Reads an attribute of each sub-environment.
    ///
    /// # Errors
    /// [`VectorError::Environments`] if one has no such attribute.
    fn get_attr(&mut self, name: &str) -> Result<Vec<Value>, VectorError>;

    /// Sets an attribute of each sub-environment: a list has one value for each, any other value is
    /// set in all.
    ///
    /// # Errors
    /// [`VectorError::ValueCount`] if a list does not have n values, [`VectorError::Environments`]
    /// if a sub-environment does not accept its value.
    fn set_attr(&mut self, name: &str, values: &Value) -> Result<(), VectorError>;

    /// Closes the sub-environments. Later calls return [`VectorError::ClosedEnvironment`].
    fn close(&mut self);

    /// The vector environment with workers, if it is one: to call it asynchronously, to restart a
    /// worker, to set its timeout.
    fn as_async(&mut self) -> Option<&mut AsyncVectorEnv> {
        None
    }
}

impl<V: VectorEnv + ?Sized> VectorEnv for Box<V> {
    fn num_envs(&self) -> usize {
        (**self).num_envs()
    }
    fn spaces(&self) -> &Spaces {
        (**self).spaces()
    }
    fn metadata(&self) -> &Dict {
        (**self).metadata()
    }
    fn render_mode(&self) -> Option<&str> {
        (**self).render_mode()
    }
    fn reset(&mut self, seed: Seed, options: &Dict) -> Result<(Arc<Value>, Dict), VectorError> {
        (**self).reset(seed, options)
    }
    fn step(&mut self, actions: &Value) -> Result<VectorStep, VectorError> {
        (**self).step(actions)
    }
    fn render(&mut self) -> Result<Vec<Value>, VectorError> {
        (**self).render()
    }
    fn call(&mut self, name: &str, arguments: &[Value]) -> Result<Vec<Value>, VectorError> {
        (**self).call(name, arguments)
    }
    fn get_attr(&mut self, name: &str) -> Result<Vec<Value>, VectorError> {
        (**self).get_attr(name)
    }
    fn set_attr(&mut self, name: &str, values: &Value) -> Result<(), VectorError> {
        (**self).set_attr(name, values)
    }
    fn close(&mut self) {
        (**self).close();
    }
    fn as_async(&mut self) -> Option<&mut AsyncVectorEnv> {
        (**self).as_async()
    }
}

/// How [`make_vec`] runs the sub-environments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VectorizeMode {
    /// One after another in the caller's thread: [`SyncVectorEnv`].
    Sync,
    /// A thread for each: [`AsyncVectorEnv::threads`].
    Threads,
    /// A process for each: [`AsyncVectorEnv::processes`].
    Processes(WorkerProgram),
}

/// Makes a vector environment of `num_envs` copies of a registered environment:
/// `gymnasium.make_vec`. `options`: [`AsyncOptions`], or [`VectorOptions`] alone;
/// [`VectorizeMode::Sync`] has no use for the others.
///
/// ```
/// use pusht_gym::env::EnvSpec;
/// use pusht_gym::pusht::{PUSHT_ID, registry};
/// use pusht_gym::value::{Dict, Value};
/// use pusht_gym::vector::{Seed, VectorOptions, VectorizeMode, make_vec};
///
/// let spec = EnvSpec::new(PUSHT_ID).with("max_episode_steps", 300);
/// let options = VectorOptions::default();
/// let mut envs = make_vec(&registry(), &spec, 4, VectorizeMode::Threads, options)?;
/// let (observations, _infos) = envs.reset(Seed::Int(0), &Dict::new())?; // seeds 0, 1, 2, 3
/// assert_eq!(observations.as_array().unwrap().shape(), [4, 5]);
///
/// if let Some(workers) = envs.as_async() {
///     workers.step_async(&vec![Value::from([256.0, 256.0]); 4].into())?;
///     assert_eq!(workers.step_wait(None)?.terminations, [false; 4]);
///     workers.restart(3)?;
/// }
/// # Ok::<(), pusht_gym::vector::VectorError>(())
/// ```
///
/// # Errors
/// [`VectorError::NoEnvironments`] if `num_envs` is 0, [`VectorError::Environments`] if a
/// sub-environment can't be made, [`VectorError::CustomSpace`] if its observations do not fit into
/// shared memory (processes only).
pub fn make_vec(
    registry: &Registry,
    spec: &EnvSpec,
    num_envs: usize,
    mode: VectorizeMode,
    options: impl Into<AsyncOptions>,
) -> Result<Box<dyn VectorEnv>, VectorError> {
    let options = options.into();
    let env_fns = vec![registry.env_fn(spec.clone()); num_envs];
    Ok(match mode {
        VectorizeMode::Sync => Box::new(SyncVectorEnv::new(&env_fns, options.vector)?),
        VectorizeMode::Threads => Box::new(AsyncVectorEnv::threads(&env_fns, options)?),
        VectorizeMode::Processes(program) => {
            let specs = vec![spec.clone(); num_envs];
            Box::new(AsyncVectorEnv::processes(&specs, program, options)?)
        }
    })
}
