//! A worker in a process: the caller's side.

use super::link::{Link, Received, Start, wait_until};
use super::program::WorkerProgram;
use super::protocol::{Reply, Request};
use super::shared_memory::SharedMemory;
use super::wire;
use crate::env::EnvSpec;
use crate::vector::error::Cause;
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Environment variable that marks a process as a worker.
pub(super) const WORKER_VARIABLE: &str = "PUSHT_VECTOR_WORKER";
/// Longest wait for a worker to accept a request.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a worker's exit status after its connection has closed.
const EXIT_TIMEOUT: Duration = Duration::from_millis(500);

/// The first message to a worker process.
#[derive(Serialize, Deserialize)]
pub(super) struct ProcessStart {
    pub(super) start: Start,
    pub(super) spec: EnvSpec,
    /// Whether shared memory follows the worker's first reply.
    pub(super) has_shared_memory: bool,
}

pub(super) struct ProcessLink {
    child: Child,
    socket: UnixStream,
    inbox: wire::Inbox,
    index: usize,
    shared_memory: Option<Arc<SharedMemory>>,
}

impl ProcessLink {
    /// Starts the process; the first reply describes the sub-environment.
    pub(super) fn start(
        program: &WorkerProgram,
        spec: &EnvSpec,
        start: &Start,
        has_shared_memory: bool,
    ) -> Result<Self, Cause> {
        let lost = |error: io::Error| Cause::Lost(error.to_string());
        let (socket, theirs) = UnixStream::pair().map_err(lost)?;
        let child = spawn(program, theirs).map_err(lost)?;
        let mut link = Self {
            child,
            socket,
            inbox: wire::Inbox::default(),
            index: start.index,
            shared_memory: None,
        };
        let message = ProcessStart {
            start: start.clone(),
            spec: spec.clone(),
            has_shared_memory,
        };
        link.write(&wire::frame(&message))?;
        Ok(link)
    }

    fn write(&mut self, frame: &[u8]) -> Result<(), Cause> {
        self.socket
            .set_write_timeout(Some(WRITE_TIMEOUT))
            .and_then(|()| self.socket.write_all(frame))
            .map_err(|error| match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                    Cause::Lost("it takes no request".into())
                }
                _ => self.fate(),
            })
    }

    /// How a worker ended that no longer replies.
    fn fate(&mut self) -> Cause {
        self.join(Some(Instant::now() + EXIT_TIMEOUT));
        match self.child.try_wait() {
            Ok(Some(status)) => cause(status),
            Ok(None) => {
                self.kill();
                Cause::Lost("it closed its connection".into())
            }
            Err(error) => Cause::Lost(error.to_string()),
        }
    }

    /// Fills in the observation of a reply from the shared memory.
    fn complete(&self, mut reply: Reply) -> Reply {
        if let Some(memory) = &self.shared_memory
            && let Ok(answer) = &mut reply.answer
            && let Some(observation) = answer.observation()
        {
            *observation = memory.read(self.index);
        }
        reply
    }
}

fn spawn(program: &WorkerProgram, socket: UnixStream) -> io::Result<Child> {
    let path = match &program.path {
        Some(path) => path.clone(),
        None => std::env::current_exe()?,
    };
    let output = if program.is_quiet {
        Stdio::null()
    } else {
        io::stderr().into()
    };
    Command::new(path)
        .args(&program.arguments)
        .env(WORKER_VARIABLE, "1")
        // The connection to the caller, both directions.
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(output)
        .spawn()
}

fn cause(status: ExitStatus) -> Cause {
    match (status.code(), status.signal()) {
        (Some(code), _) => Cause::Exited(code),
        (None, Some(signal)) => Cause::Killed(signal),
        (None, None) => Cause::Lost(status.to_string()),
    }
}

impl Link for ProcessLink {
    fn send(&mut self, request: &Request) -> Result<(), Cause> {
        self.write(&wire::frame(request))
    }

    fn share(&mut self, memory: &Arc<SharedMemory>, num_envs: usize) -> Result<(), Cause> {
        self.shared_memory = Some(Arc::clone(memory));
        wire::send_file(&self.socket, memory.file(), num_envs)
            .map_err(|error| Cause::Lost(format!("shared memory: {error}")))
    }

    fn receive(&mut self, deadline: Option<Instant>) -> Received {
        let mut bytes = [0; 1 << 16];
        loop {
            match self.inbox.next() {
                Some(Ok(reply)) => return Received::Reply(self.complete(reply)),
                Some(Err(error)) => {
                    self.kill();
                    return Received::Dead(Cause::Lost(error));
                }
                None => (),
            }
            let left = deadline.map(|deadline| {
                // A timeout of 0 would mean none at all.
                deadline
                    .saturating_duration_since(Instant::now())
                    .max(Duration::from_micros(1))
            });
            let read = self
                .socket
                .set_read_timeout(left)
                .and_then(|()| self.socket.read(&mut bytes));
            match read {
                Ok(0) => return Received::Dead(self.fate()),
                Ok(count) => self.inbox.push(&bytes[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => (),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Received::Nothing,
                    _ => return Received::Dead(self.fate()),
                },
            }
        }
    }

    fn kill(&mut self) {
        // It may have ended by itself; waiting for it leaves no zombie.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn join(&mut self, deadline: Option<Instant>) -> bool {
        // An error means that it is no longer there.
        wait_until(deadline, || !matches!(self.child.try_wait(), Ok(None)))
    }
}

impl Drop for ProcessLink {
    fn drop(&mut self) {
        self.kill();
    }
}
