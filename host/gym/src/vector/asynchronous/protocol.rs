//! Messages between the caller and a worker, and how a worker handles them.

use crate::env::{EnvError, Step};
use crate::value::{Dict, Value};
use crate::vector::autoreset::SubEnv;
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
    Step(Step),
    Value(Value),
    Done,
}

impl Answer {
    /// The observation in the answer.
    pub(super) fn observation(&mut self) -> Option<&mut Value> {
        match self {
            Self::Reset(observation, _) => Some(observation),
            Self::Step(step) => Some(&mut step.observation),
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
        Call::Step(action) => sub.step(&action).map(Answer::Step),
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
