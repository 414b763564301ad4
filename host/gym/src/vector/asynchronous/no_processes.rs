//! Worker processes where there are none: outside of Unix, which passes sockets and shared memory to
//! them.

use super::link::{Link, Received, Start};
use super::program::WorkerProgram;
use super::protocol::Request;
use crate::env::{EnvSpec, Registry};
use crate::vector::error::Cause;
use std::time::Instant;

/// A connection that cannot be made.
pub(super) enum ProcessLink {}

impl ProcessLink {
    /// Refuses to start a process.
    pub(super) fn start(
        _program: &WorkerProgram,
        _spec: &EnvSpec,
        _start: &Start,
        _has_shared_memory: bool,
    ) -> Result<Self, Cause> {
        let reason = "worker processes run on Unix only; use threads here";
        Err(Cause::Lost(reason.into()))
    }
}

impl Link for ProcessLink {
    fn send(&mut self, _request: &Request) -> Result<(), Cause> {
        match *self {}
    }
    fn receive(&mut self, _deadline: Option<Instant>) -> Received {
        match *self {}
    }
    fn kill(&mut self) {
        match *self {}
    }
    fn join(&mut self, _deadline: Option<Instant>) -> bool {
        match *self {}
    }
}

/// Whether this process is a worker without an entry: never, since there are no workers.
pub(super) fn has_missed_entry() -> bool {
    false
}

/// Does nothing outside of Unix, where no process is a worker.
pub fn run_if_worker(_registry: &Registry) {}
