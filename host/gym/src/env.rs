//! One environment, and a registry that makes environments by name.

use super::space::Space;
use super::value::{Dict, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// An environment: Gymnasium's `Env`.
///
/// Returned values are owned by the caller: a later step does not change them.
pub trait Env: Send {
    /// The space of its observations.
    fn observation_space(&self) -> Space;

    /// The space of its actions.
    fn action_space(&self) -> Space;

    /// Its metadata: `render_modes`, `render_fps`.
    fn metadata(&self) -> Dict {
        Dict::new()
    }

    /// Its render mode; `None` if it does not render.
    fn render_mode(&self) -> Option<&str> {
        None
    }

    /// Starts an episode and returns its first observation and `info`. A seed restarts the random
    /// number generator; without one it continues.
    ///
    /// # Errors
    /// If the environment does not accept the seed or an option.
    fn reset(&mut self, seed: Option<u64>, options: &Dict) -> Result<(Value, Dict), EnvError>;

    /// Takes an action.
    ///
    /// # Errors
    /// If the environment does not accept the action, or no episode was started.
    fn step(&mut self, action: &Value) -> Result<Step, EnvError>;

    /// Draws the current state, as an array of `u8` (rows, columns, 3).
    ///
    /// # Errors
    /// If the environment does not render.
    fn render(&mut self) -> Result<Value, EnvError> {
        Err(EnvError::new(
            "NotImplemented",
            "this environment does not render",
        ))
    }

    /// Releases its resources.
    fn close(&mut self) {}

    /// Calls a method by name, or reads the attribute of that name.
    ///
    /// # Errors
    /// If it has neither, or the method fails.
    fn call(&mut self, name: &str, arguments: &[Value]) -> Result<Value, EnvError> {
        match (name, arguments) {
            ("render", []) => self.render(),
            _ => self.get_attr(name),
        }
    }

    /// Reads an attribute by name.
    ///
    /// # Errors
    /// If it has no such attribute.
    fn get_attr(&self, name: &str) -> Result<Value, EnvError> {
        Err(EnvError::no_attribute(name))
    }

    /// Sets an attribute by name.
    ///
    /// # Errors
    /// If it has no such attribute, or does not accept the value.
    fn set_attr(&mut self, name: &str, value: Value) -> Result<(), EnvError> {
        let _ = value;
        Err(EnvError::no_attribute(name))
    }
}

/// The result of [`Env::step`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Observation after the action.
    pub observation: Value,
    /// Reward of the action.
    pub reward: f64,
    /// Whether the episode reached a terminal state.
    pub terminated: bool,
    /// Whether the episode was cut off, for example by a time limit.
    pub truncated: bool,
    /// Additional information.
    pub info: Dict,
}

impl Step {
    /// Whether the episode is over.
    pub fn is_last(&self) -> bool {
        self.terminated || self.truncated
    }
}

/// An error of an environment. It is sent unchanged from a worker to the caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EnvError {
    /// Name of the error's type, for example `ValueError`.
    pub kind: String,
    /// Error message.
    pub message: String,
}

impl EnvError {
    /// An error of this kind.
    pub fn new(kind: &str, message: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            message: message.into(),
        }
    }

    /// An `AttributeError`: there is no attribute or method `name`.
    pub fn no_attribute(name: &str) -> Self {
        Self::new("AttributeError", format!("there is no `{name}`"))
    }

    /// A `ValueError`: attribute, option or argument `name` needs a `needed`, but is `got`.
    pub fn wrong_value(name: &str, needed: &str, got: &Value) -> Self {
        let message = format!("{name}: {needed} needed, {} given", got.shown());
        Self::new("ValueError", message)
    }

    /// A `TypeError`: `what` (an environment, a reset) takes no argument `name`, but `supported`.
    pub fn unknown_argument(what: &str, name: &str, supported: &[&str]) -> Self {
        let supported = match supported {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        let message = format!("{what} takes no argument {name:?}; supported: {supported}");
        Self::new("TypeError", message)
    }
}

impl fmt::Display for EnvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl<E: std::error::Error> From<E> for EnvError {
    fn from(error: E) -> Self {
        let path = std::any::type_name::<E>();
        Self::new(path.rsplit("::").next().unwrap_or(path), error.to_string())
    }
}

impl<E: Env + ?Sized> Env for Box<E> {
    fn observation_space(&self) -> Space {
        (**self).observation_space()
    }
    fn action_space(&self) -> Space {
        (**self).action_space()
    }
    fn metadata(&self) -> Dict {
        (**self).metadata()
    }
    fn render_mode(&self) -> Option<&str> {
        (**self).render_mode()
    }
    fn reset(&mut self, seed: Option<u64>, options: &Dict) -> Result<(Value, Dict), EnvError> {
        (**self).reset(seed, options)
    }
    fn step(&mut self, action: &Value) -> Result<Step, EnvError> {
        (**self).step(action)
    }
    fn render(&mut self) -> Result<Value, EnvError> {
        (**self).render()
    }
    fn close(&mut self) {
        (**self).close();
    }
    fn call(&mut self, name: &str, arguments: &[Value]) -> Result<Value, EnvError> {
        (**self).call(name, arguments)
    }
    fn get_attr(&self, name: &str) -> Result<Value, EnvError> {
        (**self).get_attr(name)
    }
    fn set_attr(&mut self, name: &str, value: Value) -> Result<(), EnvError> {
        (**self).set_attr(name, value)
    }
}

/// A function that makes a new environment at each call: an entry of Gymnasium's `env_fns`.
pub type EnvFn = Arc<dyn Fn() -> Result<Box<dyn Env>, EnvError> + Send + Sync>;

/// An [`EnvFn`] of a function that cannot fail.
pub fn env_fn<E: Env + 'static>(make: impl Fn() -> E + Send + Sync + 'static) -> EnvFn {
    Arc::new(move || Ok(Box::new(make())))
}

/// The name and arguments of an environment: what a worker process receives to make it.
///
/// ```
/// use pusht_gym::env::EnvSpec;
/// use pusht_gym::pusht::{PUSHT_ID, registry};
///
/// let spec = EnvSpec::new(PUSHT_ID).with("obs_type", "keypoints").with("max_episode_steps", 100);
/// assert!(registry().make(&spec).is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvSpec {
    /// Name in the [`Registry`].
    pub id: String,
    /// Keyword arguments.
    pub kwargs: Dict,
}

impl EnvSpec {
    /// An environment with default arguments.
    pub fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            kwargs: Dict::new(),
        }
    }

    /// Adds a keyword argument.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.kwargs.insert(name.to_owned(), value.into());
        self
    }
}

/// An environment of this name with default arguments.
impl From<&str> for EnvSpec {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

impl From<String> for EnvSpec {
    fn from(id: String) -> Self {
        Self::new(&id)
    }
}

type Make = Arc<dyn Fn(&Dict) -> Result<Box<dyn Env>, EnvError> + Send + Sync>;

/// Environments by name: Gymnasium's `register`, `make`, `spec` and `registry`.
///
/// ```
/// use pusht_gym::env::{EnvSpec, Registry};
/// use pusht_gym::pusht::{PUSHT_ID, registry};
///
/// let pusht = registry();
/// let short = EnvSpec::new("Short").with("max_episode_steps", 50);
/// let all = pusht.clone().register(short, move |kwargs| {
///     let kwargs = kwargs.clone();
///     pusht.make(&EnvSpec { kwargs, ..PUSHT_ID.into() })
/// });
/// assert!(all.names().any(|name| name == "Short"));
/// assert_eq!(all.spec("Short").unwrap().kwargs["max_episode_steps"], 50.into());
/// assert!(all.make(&"Short".into()).is_ok());
/// assert!(all.make(&EnvSpec::new("Short").with("dampnig", 1.0)).is_err());
/// ```
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<String, (EnvSpec, Make)>);

impl Registry {
    /// Adds an environment, or replaces the one of the same name. `spec`: its name, and the
    /// arguments that it has unless [`Self::make`] is given others. `make` makes it of its
    /// arguments; it refuses those that it does not know.
    pub fn register(
        mut self,
        spec: impl Into<EnvSpec>,
        make: impl Fn(&Dict) -> Result<Box<dyn Env>, EnvError> + Send + Sync + 'static,
    ) -> Self {
        let spec = spec.into();
        self.0.insert(spec.id.clone(), (spec, Arc::new(make)));
        self
    }

    /// Names of the environments, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The registered name and arguments of an environment; `None` if there is none of this name.
    pub fn spec(&self, id: &str) -> Option<&EnvSpec> {
        self.0.get(id).map(|(spec, _)| spec)
    }

    /// Makes an environment. Arguments that `spec` does not have are the registered ones.
    ///
    /// # Errors
    /// If the name is not registered, or the environment does not accept its arguments.
    pub fn make(&self, spec: &EnvSpec) -> Result<Box<dyn Env>, EnvError> {
        let Some((registered, make)) = self.0.get(&spec.id) else {
            let known: Vec<&str> = self.names().collect();
            let message = format!(
                "no environment {:?}; there are: {}",
                spec.id,
                known.join(", ")
            );
            return Err(EnvError::new("NameNotFound", message));
        };
        let mut kwargs = registered.kwargs.clone();
        kwargs.extend(spec.kwargs.clone());
        make(&kwargs)
    }

    /// An [`EnvFn`] that makes this environment.
    pub fn env_fn(&self, spec: EnvSpec) -> EnvFn {
        let registry = self.clone();
        Arc::new(move || registry.make(&spec))
    }
}

/// Shows the registered environments.
impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.values().map(|(spec, _)| spec))
            .finish()
    }
}
