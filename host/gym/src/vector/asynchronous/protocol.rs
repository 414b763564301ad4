//! Messages between the caller and a worker, and how a worker handles them.

use crate::env::EnvError;
use crate::value::{Dict, Value};
use crate::vector::autoreset::{Stepped, SubEnv};
use crate::vector::batcher::Description;
use crate::vector::error::Cause;
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A call with a number that its reply repeats, so that late replies are recognised.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) number: u64,
    pub(super) call: Call,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Call {
    Reset { seed: Option<u64>, options: Dict },
    Step(Value),
    Method { name: String, arguments: Vec<Value> },
    GetAttr(String),
    SetAttr { name: String, value: Value },
    Close,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) number: u64,
    pub(super) answer: Result<Answer, Cause>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The first reply of a worker.
    Started(Box<Description>),
    Reset(Value, Dict),
    Step(Stepped),
    Value(Value),
    Done,
}

/// Why the worker behind this answer is gone: it panicked, or the caller lost it.
pub(super) fn fatal(answer: &Result<Answer, Cause>) -> Option<&Cause> {
    let cause = match answer {
        Ok(Answer::Step(stepped)) => stepped.fault.as_ref(),
        Ok(_) => None,
        Err(cause) => Some(cause),
    };
    cause.filter(|cause| cause.is_fatal())
}

impl Answer {
    /// The observation in the answer.
    pub(super) fn observation(&mut self) -> Option<&mut Value> {
        match self {
            Self::Reset(observation, _) => Some(observation),
            Self::Step(stepped) => Some(&mut stepped.step.observation),
            Self::Started(_) | Self::Value(_) | Self::Done => None,
        }
    }
}

/// Performs a call. A panic of the sub-environment becomes an answer.
pub(super) fn perform(sub: &mut SubEnv, call: Call) -> Result<Answer, Cause> {
    let answer = guarded(|| match call {
        Call::Reset { seed, options } => sub
            .reset(seed, &options)
            .map(|(observation, info)| Answer::Reset(observation, info)),
        Call::Step(action) => step(sub, &action),
        Call::Method { name, arguments } => value(sub.env.call(&name, &arguments)),
        Call::GetAttr(name) => value(sub.env.get_attr(&name)),
        Call::SetAttr { name, value } => match sub.env.set_attr(&name, value) {
            Ok(()) => Ok(Answer::Done),
            Err(error) => Err(Cause::Error(error)),
        },
        Call::Close => {
            sub.env.close();
            Ok(Answer::Done)
        }
    });
    answer.unwrap_or_else(Err)
}

/// Takes an action. What the step returned is kept where the reset within it fails or panics.
fn step(sub: &mut SubEnv, action: &Value) -> Result<Answer, Cause> {
    let step = guarded(|| sub.step(action)).unwrap_or_else(Err)?;
    let reset = guarded(|| sub.autoreset()).unwrap_or_else(|panic| Some(Err(panic)));
    Ok(Answer::Step(Stepped::new(step, reset)))
}

fn value(result: Result<Value, EnvError>) -> Result<Answer, Cause> {
    result.map(Answer::Value).map_err(Cause::Error)
}

/// Runs code that may panic. What it worked on must not be used after a panic.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Cause> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| Cause::Panicked(message(&*panic)))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("(no message)").to_owned()
}
