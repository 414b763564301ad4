//! Environments that are stepped at the same time, each by a worker.

mod calls;
mod link;
mod process;
mod protocol;
mod shared_memory;
mod thread;
mod transport;
mod wire;
mod worker;

pub use process::WorkerProgram;
pub use shared_memory::{SharedMemory, SharedMemoryError};
pub use worker::run_if_worker;

use super::batcher::{Batcher, check_name};
use super::error::Cause;
use super::{
    AutoresetMode, Fault, Seed, Spaces, VectorEnv, VectorError, VectorOptions, VectorStep,
};
use crate::env::{EnvFn, EnvSpec};
use crate::value::{Dict, Value};
use calls::{Kind, Pending};
use link::Start;
use protocol::{Answer, Call};
use std::sync::Arc;
use std::time::{Duration, Instant};
use transport::{Transport, Worker, description, shared_memory};

/// What can be chosen about an [`AsyncVectorEnv`].
#[derive(Clone, Debug, PartialEq)]
pub struct AsyncOptions {
    /// As of every vector environment.
    pub vector: VectorOptions,
    /// Whether worker processes hand over their observations in shared memory. (Threads share all of it.)
    pub shared_memory: bool,
}

impl Default for AsyncOptions {
    fn default() -> Self {
        Self {
            vector: VectorOptions::default(),
            shared_memory: true,
        }
    }
}

/// How an [`AsyncVectorEnv`] was closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// The call that was pending.
    pub interrupted: Option<&'static str>,
    /// The environments whose workers did not end by themselves.
    pub terminated: Vec<usize>,
}

/// Gymnasium's `AsyncVectorEnv`: each environment has a worker, in a process or in a thread.
pub struct AsyncVectorEnv {
    batcher: Batcher,
    workers: Vec<Worker>,
    transport: Transport,
    memory: Option<Arc<SharedMemory>>,
    autoreset_mode: AutoresetMode,
    /// Of the latest request.
    number: u64,
    pending: Option<Pending>,
    is_closed: bool,
}

impl AsyncVectorEnv {
    /// Each environment in a thread, made there by its function.
    ///
    /// # Errors
    /// If one can't be made, or they do not go together.
    pub fn threads(env_fns: &[EnvFn], options: AsyncOptions) -> Result<Self, VectorError> {
        Self::new(
            Transport::Threads(env_fns.to_vec()),
            env_fns.len(),
            &options,
        )
    }

    /// Each environment in a process, made there by its name. The program has to call [`run_if_worker`].
    ///
    /// # Errors
    /// If one can't be made, or they do not go together, or their observations have no place in shared memory; or if this
    /// is a worker itself, by a program that does not call [`run_if_worker`].
    pub fn processes(
        specs: &[EnvSpec],
        program: WorkerProgram,
        options: AsyncOptions,
    ) -> Result<Self, VectorError> {
        if worker::has_missed_entry() {
            return Err(VectorError::MissedWorkerEntry);
        }
        let transport = Transport::Processes {
            specs: specs.to_vec(),
            program,
            has_shared_memory: options.shared_memory,
        };
        Self::new(transport, specs.len(), &options)
    }

    fn new(
        transport: Transport,
        num_envs: usize,
        options: &AsyncOptions,
    ) -> Result<Self, VectorError> {
        let autoreset_mode = options.vector.autoreset_mode;
        // All are started before the first is waited for.
        let links: Vec<_> = (0..num_envs)
            .map(|index| {
                transport.start(&Start {
                    index,
                    autoreset_mode,
                    is_over: false,
                })
            })
            .collect();
        let started = links
            .into_iter()
            .map(|link| link.and_then(|mut link| Ok((description(&mut *link)?, link))))
            .collect();
        let (envs, mut links): (Vec<_>, Vec<_>) =
            Batcher::collect_values(started)?.into_iter().unzip();
        let batcher = Batcher::new(&envs, &options.vector)?;
        let memory = match transport.shares_memory() {
            true => Some(shared_memory(&batcher)?),
            false => None,
        };
        if let Some(memory) = &memory {
            let shared = links.iter_mut().map(|link| link.share(memory, num_envs));
            Batcher::collect_values(shared.collect())?;
        }
        let workers = links
            .into_iter()
            .map(|link| Worker { link, dead: None })
            .collect();
        Ok(Self {
            batcher,
            workers,
            transport,
            memory,
            autoreset_mode,
            number: 0,
            pending: None,
            is_closed: false,
        })
    }

    /// Asks environments to reset; [`Self::reset_wait`] has the answers.
    ///
    /// # Errors
    /// As [`VectorEnv::reset`], and [`VectorError::AlreadyPendingCall`].
    pub fn reset_async(&mut self, seed: Seed, options: &Dict) -> Result<(), VectorError> {
        self.check_open()?;
        let seeds = self.batcher.seeds(seed)?;
        self.check_idle(Kind::Reset.send())?;
        let (mask, options) = self.batcher.reset_mask(options)?;
        let calls = seeds.into_iter().zip(mask).map(|(seed, is_asked)| {
            let options = options.clone();
            is_asked.then_some(Call::Reset { seed, options })
        });
        self.ask(Kind::Reset, calls.collect());
        Ok(())
    }

    /// The answers to [`Self::reset_async`].
    ///
    /// # Errors
    /// [`VectorError::NoAsyncCall`], [`VectorError::Timeout`], and what the environments say.
    pub fn reset_wait(
        &mut self,
        timeout: Option<Duration>,
    ) -> Result<(Arc<Value>, Dict), VectorError> {
        let answers = self.wait(Kind::Reset, timeout)?;
        let infos = answers.into_iter().map(|answer| {
            answer.map(|answer| match answer? {
                Answer::Reset(_, info) => Ok(info),
                _ => Err(unexpected()),
            })
        });
        self.batcher.collect_reset(infos.collect())
    }

    /// Asks every environment to take its action; [`Self::step_wait`] has the answers.
    ///
    /// # Errors
    /// As [`VectorEnv::step`], and [`VectorError::AlreadyPendingCall`].
    pub fn step_async(&mut self, actions: &Value) -> Result<(), VectorError> {
        self.check_open()?;
        self.check_idle(Kind::Step.send())?;
        let actions = self.batcher.split_actions(actions)?;
        let calls = actions.into_iter().map(|action| Some(Call::Step(action)));
        self.ask(Kind::Step, calls.collect());
        Ok(())
    }

    /// The answers to [`Self::step_async`].
    ///
    /// # Errors
    /// [`VectorError::NoAsyncCall`], [`VectorError::Timeout`], and what the environments say.
    pub fn step_wait(&mut self, timeout: Option<Duration>) -> Result<VectorStep, VectorError> {
        let answers = self.wait(Kind::Step, timeout)?;
        let steps = answers.into_iter().flatten().map(|answer| match answer? {
            Answer::Step(step) => Ok(step),
            _ => Err(unexpected()),
        });
        self.batcher.collect_step(steps.collect())
    }

    /// Calls a method of every environment; [`Self::call_wait`] has the answers.
    ///
    /// # Errors
    /// As [`VectorEnv::call`], and [`VectorError::AlreadyPendingCall`].
    pub fn call_async(&mut self, name: &str, arguments: &[Value]) -> Result<(), VectorError> {
        self.check_open()?;
        check_name(name)?;
        self.check_idle(Kind::Call.send())?;
        let call = Call::Method {
            name: name.to_owned(),
            arguments: arguments.to_vec(),
        };
        self.ask(Kind::Call, vec![Some(call); self.workers.len()]);
        Ok(())
    }

    /// The answers to [`Self::call_async`].
    ///
    /// # Errors
    /// [`VectorError::NoAsyncCall`], [`VectorError::Timeout`], and what the environments say.
    pub fn call_wait(&mut self, timeout: Option<Duration>) -> Result<Vec<Value>, VectorError> {
        let answers = self.wait(Kind::Call, timeout)?;
        let values = answers.into_iter().flatten().map(|answer| match answer? {
            Answer::Value(value) => Ok(value),
            Answer::Done => Ok(Value::None),
            _ => Err(unexpected()),
        });
        Batcher::collect_values(values.collect())
    }

    /// Puts a new worker in the place of one that is dead or hangs (or of any other, whose episode is then lost). Its
    /// first step is a reset, unless it is reset before; without autoreset it has to be.
    ///
    /// # Errors
    /// If there is no such environment, or it can't be made anew.
    pub fn restart(&mut self, index: usize) -> Result<(), VectorError> {
        self.check_open()?;
        if index >= self.workers.len() {
            return Err(VectorError::NoSuchEnvironment(index));
        }
        self.workers[index].link.kill();
        let restarted = || Cause::Lost("it was restarted".into());
        self.workers[index].dead = Some(restarted());
        if let Some(Pending { asked, .. }) = &mut self.pending
            && let Some(asked) = &mut asked[index]
        {
            *asked = Err(restarted());
        }
        let start = Start {
            index,
            autoreset_mode: self.autoreset_mode,
            is_over: true,
        };
        let fault = |cause| VectorError::Environments {
            faults: vec![Fault { index, cause }],
            rest: None,
        };
        let mut link = self.transport.start(&start).map_err(fault)?;
        let env = description(&mut *link).map_err(fault)?;
        self.batcher.check_spaces(index, &env)?;
        if let Some(memory) = &self.memory {
            link.share(memory, self.batcher.num_envs).map_err(fault)?;
        }
        self.workers[index] = Worker { link, dead: None };
        Ok(())
    }

    /// Closes the environments and ends their workers: with `terminate` at once, otherwise those that have not closed
    /// after `timeout` (`None`: waits for as long as it takes). A hanging thread cannot be ended; it is left behind.
    pub fn close_with(&mut self, timeout: Option<Duration>, terminate: bool) -> Closed {
        if std::mem::replace(&mut self.is_closed, true) {
            return Closed::default();
        }
        let interrupted = self.pending.take().map(|pending| pending.kind.name());
        let mut closed = Closed {
            interrupted,
            terminated: Vec::new(),
        };
        if !terminate {
            self.ask(Kind::Call, vec![Some(Call::Close); self.workers.len()]);
        }
        let asked = self
            .pending
            .take()
            .map(|pending| pending.asked)
            .unwrap_or_default();
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        for index in 0..self.workers.len() {
            let is_asked = matches!(asked.get(index), Some(Some(Ok(()))));
            if is_asked && self.receive(index, deadline).is_some() {
                self.workers[index].link.join();
            } else {
                if self.workers[index].dead.is_none() {
                    closed.terminated.push(index);
                }
                self.workers[index].link.kill();
            }
        }
        self.workers.clear();
        closed
    }
}

fn unexpected() -> Cause {
    Cause::Lost("its answer is to another question".into())
}

impl VectorEnv for AsyncVectorEnv {
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
        self.reset_async(seed, options)?;
        self.reset_wait(None)
    }

    fn step(&mut self, actions: &Value) -> Result<VectorStep, VectorError> {
        self.step_async(actions)?;
        self.step_wait(None)
    }

    fn call(&mut self, name: &str, arguments: &[Value]) -> Result<Vec<Value>, VectorError> {
        self.call_async(name, arguments)?;
        self.call_wait(None)
    }

    fn get_attr(&mut self, name: &str) -> Result<Vec<Value>, VectorError> {
        self.check_open()?;
        self.check_idle("get_attr")?;
        self.ask_and_wait(vec![Call::GetAttr(name.to_owned()); self.workers.len()])
    }

    fn set_attr(&mut self, name: &str, values: &Value) -> Result<(), VectorError> {
        self.check_open()?;
        let values = self.batcher.values(values)?;
        self.check_idle("set_attr")?;
        let calls = values.into_iter().map(|value| Call::SetAttr {
            name: name.to_owned(),
            value,
        });
        self.ask_and_wait(calls.collect()).map(|_| ())
    }

    fn close(&mut self) {
        self.close_with(None, false);
    }
}

impl Drop for AsyncVectorEnv {
    fn drop(&mut self) {
        self.close_with(None, true);
    }
}
