//! One environment, and how one is made from its name.

use super::space::Space;
use super::value::{Dict, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// An environment: Gymnasium's `Env`.
///
/// Everything that it returns is a value of its own, so that nothing which a caller keeps changes later.
pub trait Env: Send {
    /// Which observations there are.
    fn observation_space(&self) -> Space;

    /// Which actions there are.
    fn action_space(&self) -> Space;

    /// What is known about it: `render_modes`, `render_fps`.
    fn metadata(&self) -> Dict {
        Dict::new()
    }

    /// How it renders; `None`: not at all.
    fn render_mode(&self) -> Option<&str> {
        None
    }

    /// Starts an episode. With a seed, the random numbers of this and the following episodes start anew; without, they
    /// go on.
    ///
    /// # Errors
    /// What the environment says about its options.
    fn reset(&mut self, seed: Option<u64>, options: &Dict) -> Result<(Value, Dict), EnvError>;

    /// Takes an action.
    ///
    /// # Errors
    /// What the environment says about the action.
    fn step(&mut self, action: &Value) -> Result<Step, EnvError>;

    /// A picture, as an array of rows, columns and colours.
    ///
    /// # Errors
    /// If it does not render.
    fn render(&mut self) -> Result<Value, EnvError> {
        Err(EnvError::new(
            "NotImplemented",
            "this environment does not render",
        ))
    }

    /// Gives back what it holds.
    fn close(&mut self) {}

    /// Calls a method by its name; without one of that name, the attribute.
    ///
    /// # Errors
    /// If there is neither, or what the method says.
    fn call(&mut self, name: &str, arguments: &[Value]) -> Result<Value, EnvError> {
        match (name, arguments) {
            ("render", []) => self.render(),
            _ => self.get_attr(name),
        }
    }

    /// An attribute by its name.
    ///
    /// # Errors
    /// If there is none.
    fn get_attr(&self, name: &str) -> Result<Value, EnvError> {
        Err(EnvError::no_attribute(name))
    }

    /// Changes an attribute.
    ///
    /// # Errors
    /// If there is none of that name, or the value is wrong.
    fn set_attr(&mut self, name: &str, value: Value) -> Result<(), EnvError> {
        let _ = value;
        Err(EnvError::no_attribute(name))
    }
}

/// What an action brings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What is seen after it.
    pub observation: Value,
    /// What it is worth.
    pub reward: f64,
    /// Whether the episode is over by itself.
    pub terminated: bool,
    /// Whether it is cut off.
    pub truncated: bool,
    /// What else there is to know.
    pub info: Dict,
}

impl Step {
    /// Whether the episode is over.
    pub fn is_last(&self) -> bool {
        self.terminated || self.truncated
    }
}

/// What an environment refuses. It travels from a worker process to the caller as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvError {
    /// Which error it is: the name of its type.
    pub kind: String,
    /// What it says.
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

    /// There is no attribute or method of this name.
    pub fn no_attribute(name: &str) -> Self {
        Self::new("AttributeError", format!("there is no `{name}`"))
    }

    /// A wrong value for this attribute, option or argument.
    pub fn wrong_value(name: &str, needed: &str, got: &Value) -> Self {
        let message = format!("{name}: {needed} needed, {} given", got.kind());
        Self::new("ValueError", message)
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

impl Env for Box<dyn Env> {
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

/// Makes an environment, as often as it is called.
pub type EnvFn = Arc<dyn Fn() -> Result<Box<dyn Env>, EnvError> + Send + Sync>;

/// A function that makes environments, as [`EnvFn`].
pub fn env_fn<E: Env + 'static>(make: impl Fn() -> E + Send + Sync + 'static) -> EnvFn {
    Arc::new(move || Ok(Box::new(make())))
}

/// The name of an environment and what it is made with: all that a worker process is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvSpec {
    /// The name under which it is registered.
    pub id: String,
    /// What it is made with.
    pub kwargs: Dict,
}

impl EnvSpec {
    /// An environment with its defaults.
    pub fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            kwargs: Dict::new(),
        }
    }

    /// The same with an argument more.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.kwargs.insert(name.to_owned(), value.into());
        self
    }
}

type Make = fn(&Dict) -> Result<Box<dyn Env>, EnvError>;

/// The environments that can be made by name.
#[derive(Clone, Debug, Default)]
pub struct Registry(BTreeMap<&'static str, Make>);

impl Registry {
    /// Adds a kind of environment, or replaces it.
    pub fn register(mut self, id: &'static str, make: Make) -> Self {
        self.0.insert(id, make);
        self
    }

    /// Makes an environment.
    ///
    /// # Errors
    /// If there is none of that name, or it refuses its arguments.
    pub fn make(&self, spec: &EnvSpec) -> Result<Box<dyn Env>, EnvError> {
        match self.0.get(spec.id.as_str()) {
            Some(make) => make(&spec.kwargs),
            None => {
                let known: Vec<&str> = self.0.keys().copied().collect();
                let message = format!(
                    "no environment `{}`; there are {}",
                    spec.id,
                    known.join(", ")
                );
                Err(EnvError::new("NameNotFound", message))
            }
        }
    }

    /// A function that makes this environment.
    pub fn env_fn(&self, spec: EnvSpec) -> EnvFn {
        let registry = self.clone();
        Arc::new(move || registry.make(&spec))
    }
}
