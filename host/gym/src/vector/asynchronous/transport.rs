//! The kinds of workers, and how one is started.

use super::link::{Link, Received, Start};
use super::protocol::{Answer, Reply};
use super::shared_memory::{SharedMemory, SharedMemoryError};
use super::thread::ThreadLink;
use super::{ProcessLink, WorkerProgram};
use crate::env::{EnvFn, EnvSpec};
use crate::vector::batcher::{Batcher, Description};
use crate::vector::error::{Cause, VectorError};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The worker of a sub-environment.
pub(super) struct Worker {
    pub(super) link: Box<dyn Link>,
    /// Why it no longer replies.
    pub(super) dead: Option<Cause>,
}

pub(super) enum Transport {
    Threads(Vec<EnvFn>),
    Processes {
        specs: Vec<EnvSpec>,
        program: WorkerProgram,
        has_shared_memory: bool,
    },
}

impl Worker {
    /// Records why the worker is dead, and kills what is left of it.
    pub(super) fn bury(&mut self, cause: &Cause) {
        self.dead = Some(cause.clone());
        self.link.kill();
    }
}

impl Transport {
    /// Starts a worker without waiting for its first reply.
    pub(super) fn start(&self, start: &Start) -> Result<Box<dyn Link>, Cause> {
        Ok(match self {
            Self::Threads(env_fns) => {
                Box::new(ThreadLink::start(Arc::clone(&env_fns[start.index]), start)?)
            }
            Self::Processes {
                specs,
                program,
                has_shared_memory,
            } => Box::new(ProcessLink::start(
                program,
                &specs[start.index],
                start,
                *has_shared_memory,
            )?),
        })
    }

    pub(super) fn shares_memory(&self) -> bool {
        matches!(
            self,
            Self::Processes {
                has_shared_memory: true,
                ..
            }
        )
    }
}

/// Waits for the first reply of a worker; without a timeout, for as long as it takes.
pub(super) fn description(
    link: &mut dyn Link,
    timeout: Option<Duration>,
) -> Result<Description, Cause> {
    match link.receive(deadline(timeout)) {
        Received::Reply(Reply {
            answer: Ok(Answer::Started(description)),
            ..
        }) => Ok(*description),
        Received::Reply(Reply {
            answer: Err(cause), ..
        })
        | Received::Dead(cause) => Err(cause),
        Received::Reply(_) => Err(Cause::Lost("it did not introduce itself".into())),
        Received::Nothing => {
            link.kill();
            let seconds = timeout.unwrap_or_default().as_secs_f64();
            let message = format!("it was not made within {seconds} s");
            Err(Cause::Lost(message))
        }
    }
}

/// The time at which a timeout that begins now ends; `None` if it never does.
pub(super) fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

/// Allocates shared memory for the observations of all sub-environments.
pub(super) fn shared_memory(batcher: &Batcher) -> Result<Arc<SharedMemory>, VectorError> {
    let space = &batcher.spaces.single_observation_space;
    match SharedMemory::create(space, batcher.num_envs) {
        Ok(memory) => Ok(Arc::new(memory)),
        Err(SharedMemoryError::CustomSpace(name)) => Err(VectorError::CustomSpace(name)),
        Err(error) => Err(VectorError::of(0, Cause::Lost(error.to_string()))),
    }
}
