//! Sub-environments that are stepped in parallel, each by its own worker.

mod calls;
mod link;
#[cfg(not(unix))]
mod no_processes;
#[cfg(unix)]
mod process;
mod program;
mod protocol;
mod shared_memory;
mod thread;
mod transport;
#[cfg(unix)]
mod wire;
#[cfg(unix)]
mod worker;

pub use program::WorkerProgram;
pub use shared_memory::{SharedMemory, SharedMemoryError};

#[cfg(not(unix))]
pub use no_processes::run_if_worker;
#[cfg(unix)]
pub use worker::run_if_worker;

#[cfg(not(unix))]
use no_processes::{ProcessLink, has_missed_entry};
#[cfg(unix)]
use {process::ProcessLink, worker::has_missed_entry};

use super::batcher::{Batcher, check_name};
use super::error::Cause;
use super::{AutoresetMode, Seed, Spaces, VectorEnv, VectorError, VectorOptions, VectorStep};
use crate::env::{EnvFn, EnvSpec};
use crate::value::{Dict, Value};
use calls::{Kind, Pending};
use link::Start;
use protocol::{Answer, Call};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use transport::{Transport, Worker, deadline, description, shared_memory};

/// Timeout of calls unless the options have another: far beyond what a step or a reset takes, so
/// that only a worker that hangs or was stopped meets it.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

/// Options of an [`AsyncVectorEnv`].
#[derive(Clone, Debug, PartialEq)]
pub struct AsyncOptions {
    /// Options of every vector environment.
    pub vector: VectorOptions,
    /// Whether worker processes return observations in shared memory instead of messages. Ignored
    /// for threads.
    pub shared_memory: bool,
    /// Longest wait for a worker in calls that have no timeout of their own: [`VectorEnv`]'s
    /// methods, [`AsyncVectorEnv::restart`], and while the workers start. `None`: for as long as it
    /// takes.
    pub timeout: Option<Duration>,
}

impl Default for AsyncOptions {
    fn default() -> Self {
        VectorOptions::default().into()
    }
}

/// These options with shared memory and [`DEFAULT_TIMEOUT`].
impl From<VectorOptions> for AsyncOptions {
    fn from(vector: VectorOptions) -> Self {
        Self {
            vector,
            shared_memory: true,
            timeout: Some(DEFAULT_TIMEOUT),
        }
    }
}

/// The outcome of [`AsyncVectorEnv::close_with`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Closed {
    /// The call that was pending, if any.
    pub interrupted: Option<&'static str>,
    /// Indices of the sub-environments whose workers had to be terminated.
    pub terminated: Vec<usize>,
}

/// Steps sub-environments in parallel, each in a worker process or thread: Gymnasium's
/// `AsyncVectorEnv`.
///
/// A worker that hangs or was stopped does not block a call for ever: after
/// [`AsyncOptions::timeout`] it ends with [`VectorError::Timeout`], and [`Self::restart`] replaces
/// the worker. Dropping kills the workers; [`VectorEnv::close`] lets the sub-environments close
/// first.
pub struct AsyncVectorEnv {
    batcher: Batcher,
    workers: Vec<Worker>,
    transport: Transport,
    memory: Option<Arc<SharedMemory>>,
    autoreset_mode: AutoresetMode,
    timeout: Option<Duration>,
    /// Number of the latest request.
    number: u64,
    pending: Option<Pending>,
    is_closed: bool,
}

impl AsyncVectorEnv {
    /// Runs each sub-environment in a thread, where its function makes it.
    ///
    /// ```
    /// use pusht_gym::env::EnvSpec;
    /// use pusht_gym::pusht::{PUSHT_ID, registry};
    /// use pusht_gym::value::{Dict, Value};
    /// use pusht_gym::vector::{AsyncOptions, AsyncVectorEnv, Seed, VectorEnv};
    /// use std::time::Duration;
    ///
    /// let env_fn = registry().env_fn(EnvSpec::new(PUSHT_ID));
    /// let mut envs = AsyncVectorEnv::threads(&vec![env_fn; 2], AsyncOptions::default())?;
    /// envs.reset(Seed::Int(0), &Dict::new())?;
    /// let actions = vec![Value::from([256.0, 256.0]); 2].into();
    /// envs.step_async(&actions)?;
    /// let step = envs.step_wait(Some(Duration::from_secs(60)))?;
    /// assert_eq!(step.terminations, [false, false]);
    /// # Ok::<(), pusht_gym::vector::VectorError>(())
    /// ```
    ///
    /// # Errors
    /// [`VectorError::NoEnvironments`] if there is no function, [`VectorError::Environments`] if
    /// one fails, [`VectorError::ObservationSpace`] or [`VectorError::ActionSpace`] if their spaces
    /// can't be combined.
    pub fn threads(env_fns: &[EnvFn], options: AsyncOptions) -> Result<Self, VectorError> {
        Self::new(
            Transport::Threads(env_fns.to_vec()),
            env_fns.len(),
            &options,
        )
    }

    /// Runs each sub-environment in a process, which makes it by its name. `program` must call
    /// [`run_if_worker`].
    ///
    /// # Errors
    /// As [`Self::threads`]; [`VectorError::CustomSpace`] if observations do not fit into shared
    /// memory; [`VectorError::MissedWorkerEntry`] if this process is itself a worker whose program
    /// did not call [`run_if_worker`].
    pub fn processes(
        specs: &[EnvSpec],
        program: WorkerProgram,
        options: AsyncOptions,
    ) -> Result<Self, VectorError> {
        if has_missed_entry() {
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
            .map(|link| {
                link.and_then(|mut link| Ok((description(&mut *link, options.timeout)?, link)))
            })
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
            timeout: options.timeout,
            number: 0,
            pending: None,
            is_closed: false,
        })
    }

    /// The timeout of calls that have none of their own.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Sets the timeout of calls that have none of their own.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// Starts a [`VectorEnv::reset`] without waiting; [`Self::reset_wait`] returns its result.
    ///
    /// # Errors
    /// As [`VectorEnv::reset`], and [`VectorError::AlreadyPendingCall`] if another call is pending.
    pub fn reset_async(&mut self, seed: Seed, options: &Dict) -> Result<(), VectorError> {
        self.check_open()?;
        let seeds = self.batcher.seeds(&seed)?;
        self.check_idle(Kind::Reset.send())?;
        let (mask, options) = self.batcher.reset_mask(options)?;
        let calls = seeds.into_iter().zip(mask).map(|(seed, is_asked)| {
            let options = options.clone();
            is_asked.then_some(Call::Reset { seed, options })
        });
        self.ask(Kind::Reset, calls.collect());
        Ok(())
    }

    /// Waits for the result of [`Self::reset_async`]; without a timeout, for as long as it takes.
    ///
    /// # Errors
    /// [`VectorError::NoAsyncCall`] if no reset is pending, [`VectorError::Timeout`] if a
    /// sub-environment does not reply in time, [`VectorError::Environments`] if one fails.
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

    /// Starts a [`VectorEnv::step`] without waiting; [`Self::step_wait`] returns its result.
    ///
    /// # Errors
    /// As [`VectorEnv::step`], and [`VectorError::AlreadyPendingCall`] if another call is pending.
    pub fn step_async(&mut self, actions: &Value) -> Result<(), VectorError> {
        self.check_open()?;
        self.check_idle(Kind::Step.send())?;
        let actions = self.batcher.split_actions(actions)?;
        let calls = actions.into_iter().map(|action| Some(Call::Step(action)));
        self.ask(Kind::Step, calls.collect());
        Ok(())
    }

    /// Waits for the result of [`Self::step_async`].
    ///
    /// # Errors
    /// As [`Self::reset_wait`].
    pub fn step_wait(&mut self, timeout: Option<Duration>) -> Result<VectorStep, VectorError> {
        let answers = self.wait(Kind::Step, timeout)?;
        let steps = answers.into_iter().flatten().map(|answer| match answer? {
            Answer::Step(stepped) => Ok(stepped),
            _ => Err(unexpected()),
        });
        self.batcher.collect_step(steps.collect())
    }

    /// Starts a [`VectorEnv::call`] without waiting; [`Self::call_wait`] returns its results.
    ///
    /// # Errors
    /// As [`VectorEnv::call`], and [`VectorError::AlreadyPendingCall`] if another call is pending.
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

    /// Waits for the results of [`Self::call_async`].
    ///
    /// # Errors
    /// As [`Self::reset_wait`].
    pub fn call_wait(&mut self, timeout: Option<Duration>) -> Result<Vec<Value>, VectorError> {
        let answers = self.wait(Kind::Call, timeout)?;
        let values = answers.into_iter().flatten().map(|answer| match answer? {
            Answer::Value(value) => Ok(value),
            Answer::Done => Ok(Value::None),
            _ => Err(unexpected()),
        });
        Batcher::collect_values(values.collect())
    }

    /// Replaces a worker that is dead or hangs (or any other; its episode is then lost). Unless the
    /// caller resets the new sub-environment first, its first step resets it; with autoreset
    /// disabled that step is an error.
    ///
    /// # Errors
    /// [`VectorError::NoSuchEnvironment`] if the index is out of range,
    /// [`VectorError::Environments`] if the sub-environment can't be made again.
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
        let fault = |cause| VectorError::of(index, cause);
        let mut link = self.transport.start(&start).map_err(fault)?;
        let env = description(&mut *link, self.timeout).map_err(fault)?;
        self.batcher.check_spaces(index, &env)?;
        if let Some(memory) = &self.memory {
            link.share(memory, self.batcher.num_envs).map_err(fault)?;
        }
        self.workers[index] = Worker { link, dead: None };
        Ok(())
    }

    /// Closes the sub-environments and ends their workers. With `terminate`, workers are killed
    /// immediately; otherwise, those that have not closed after `timeout` (`None`: waits for as
    /// long as it takes). A hanging thread can't be killed; it is left behind.
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
        let deadline = deadline(timeout);
        for index in 0..self.workers.len() {
            let is_asked = matches!(asked.get(index), Some(Some(Ok(()))));
            let has_closed = is_asked
                && self.receive(index, deadline).is_some()
                && self.workers[index].link.join(deadline);
            if !has_closed {
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
        self.reset_wait(self.timeout)
    }

    fn step(&mut self, actions: &Value) -> Result<VectorStep, VectorError> {
        self.step_async(actions)?;
        self.step_wait(self.timeout)
    }

    fn call(&mut self, name: &str, arguments: &[Value]) -> Result<Vec<Value>, VectorError> {
        self.call_async(name, arguments)?;
        self.call_wait(self.timeout)
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
        self.close_with(self.timeout, false);
    }

    fn as_async(&mut self) -> Option<&mut AsyncVectorEnv> {
        Some(self)
    }
}

impl Drop for AsyncVectorEnv {
    fn drop(&mut self) {
        self.close_with(None, true);
    }
}

/// Shows the spaces and whether it is closed.
impl fmt::Debug for AsyncVectorEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncVectorEnv")
            .field("num_envs", &self.batcher.num_envs)
            .field("spaces", &self.batcher.spaces)
            .field("timeout", &self.timeout)
            .field("is_closed", &self.is_closed)
            .finish_non_exhaustive()
    }
}
