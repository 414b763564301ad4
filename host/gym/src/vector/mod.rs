//! Several environments as one: Gymnasium's `VectorEnv`.
//!
//! ```text
//!  actions -> batcher: one each, checked -> SubEnv (autoreset) x n, in turn, in threads or in processes
//!                                                |
//!  VectorStep <- batcher: rows, infos, faults <--+
//! ```

mod asynchronous;
mod autoreset;
mod batcher;
mod error;
mod infos;
mod pusht;
mod sync;

pub use asynchronous::{
    AsyncOptions, AsyncVectorEnv, Closed, SharedMemory, SharedMemoryError, WorkerProgram,
    run_if_worker,
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

/// When an environment whose episode is over starts the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum AutoresetMode {
    /// In the next step, which ignores the action and brings reward 0.
    #[default]
    NextStep,
    /// In the same step, which brings the first observation of the next episode; the last one of the old is
    /// in the infos as `final_obs`, its info as `final_info`.
    SameStep,
    /// When the caller resets it (`options["reset_mask"]`). A step before that is an error.
    Disabled,
}

/// How the observation spaces of the environments become one.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ObservationMode {
    /// They are all the same.
    #[default]
    Same,
    /// They may differ in their bounds.
    Different,
    /// That of one environment and that of all are given; the environments' may differ in their bounds.
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

/// What can be chosen about a vector environment.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorOptions {
    /// Whether the observations that are returned are a copy. Without, they are shared with the environment, which
    /// writes over them in place if the caller has let them go, and elsewhere if not: what a caller holds
    /// never changes.
    pub copy: bool,
    /// How observation spaces become one.
    pub observation_mode: ObservationMode,
    /// When the next episode starts.
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

/// Seeds for the environments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seed {
    /// None: their random numbers go on.
    #[default]
    None,
    /// The first one's; each next environment has the next number.
    Int(u64),
    /// Each one's, or none for it.
    List(Vec<Option<u64>>),
}

/// What a step of all environments brings.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorStep {
    /// Of the batched observation space.
    pub observations: Arc<Value>,
    /// Of each environment.
    pub rewards: Vec<f64>,
    /// Whether its episode is over by itself.
    pub terminations: Vec<bool>,
    /// Whether it is cut off.
    pub truncations: Vec<bool>,
    /// See [`batch_infos`].
    pub infos: Dict,
}

/// The four spaces of a vector environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Spaces {
    /// Observations of one environment.
    pub single_observation_space: Space,
    /// Observations of all.
    pub observation_space: Space,
    /// Actions of one environment.
    pub single_action_space: Space,
    /// Actions of all.
    pub action_space: Space,
}

/// Environments that are reset and stepped together.
pub trait VectorEnv {
    /// How many there are.
    fn num_envs(&self) -> usize;

    /// Observations and actions, of one and of all.
    fn spaces(&self) -> &Spaces;

    /// The first environment's, with `autoreset_mode`.
    fn metadata(&self) -> &Dict;

    /// How the first environment renders.
    fn render_mode(&self) -> Option<&str>;

    /// Starts an episode in each environment, or in those where `options["reset_mask"]` is true; the environments get
    /// the other options.
    ///
    /// # Errors
    /// [`VectorError`], one for each thing that can be wrong with seeds and mask, and what the environments say.
    fn reset(&mut self, seed: Seed, options: &Dict) -> Result<(Arc<Value>, Dict), VectorError>;

    /// Takes an action in each environment. `actions` is of the batched action space, or a list of actions.
    ///
    /// # Errors
    /// [`VectorError`]. If the actions are wrong, no environment was stepped; if an environment failed, the
    /// others were stepped.
    fn step(&mut self, actions: &Value) -> Result<VectorStep, VectorError>;

    /// A picture of each environment.
    ///
    /// # Errors
    /// [`VectorError`].
    fn render(&mut self) -> Result<Vec<Value>, VectorError> {
        self.call("render", &[])
    }

    /// Calls a method of each environment.
    ///
    /// # Errors
    /// [`VectorError`].
    fn call(&mut self, name: &str, arguments: &[Value]) -> Result<Vec<Value>, VectorError>;

    /// An attribute of each environment.
    ///
    /// # Errors
    /// [`VectorError`].
    fn get_attr(&mut self, name: &str) -> Result<Vec<Value>, VectorError>;

    /// Changes an attribute of each environment: a list has a value for each, everything else is for all.
    ///
    /// # Errors
    /// [`VectorError`].
    fn set_attr(&mut self, name: &str, values: &Value) -> Result<(), VectorError>;

    /// Closes the environments. Every later call is [`VectorError::ClosedEnvironment`].
    fn close(&mut self);
}

/// How [`make_vec`] runs the environments.
#[derive(Clone, Debug, PartialEq)]
pub enum VectorizationMode {
    /// In turn.
    Sync,
    /// Each in a thread.
    Threads,
    /// Each in a process.
    Processes(WorkerProgram),
}

/// `num_envs` environments of one kind.
///
/// # Errors
/// If they can't be made, or differ in their spaces.
pub fn make_vec(
    registry: &Registry,
    spec: &EnvSpec,
    num_envs: usize,
    mode: VectorizationMode,
    options: VectorOptions,
) -> Result<Box<dyn VectorEnv>, VectorError> {
    let specs = vec![spec.clone(); num_envs];
    let env_fns: Vec<_> = specs
        .iter()
        .map(|spec| registry.env_fn(spec.clone()))
        .collect();
    let options_async = AsyncOptions {
        vector: options.clone(),
        ..AsyncOptions::default()
    };
    Ok(match mode {
        VectorizationMode::Sync => Box::new(SyncVectorEnv::new(&env_fns, options)?),
        VectorizationMode::Threads => Box::new(AsyncVectorEnv::threads(&env_fns, options_async)?),
        VectorizationMode::Processes(program) => {
            Box::new(AsyncVectorEnv::processes(&specs, program, options_async)?)
        }
    })
}
