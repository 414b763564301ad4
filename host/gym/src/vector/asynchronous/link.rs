//! The caller's end of the connection to a worker.

use super::protocol::{Reply, Request};
use super::shared_memory::SharedMemory;
use crate::vector::AutoresetMode;
use crate::vector::error::Cause;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a worker receives when it starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) index: usize,
    pub(super) autoreset_mode: AutoresetMode,
    /// Whether it replaces a worker that was lost in an episode.
    pub(super) is_over: bool,
}

/// The outcome of waiting for a reply.
pub(super) enum Received {
    Reply(Reply),
    /// No reply before the deadline.
    Nothing,
    Dead(Cause),
}

/// A connection to a worker in a thread or a process.
pub(super) trait Link: Send {
    /// # Errors
    /// If the worker is gone.
    fn send(&mut self, request: &Request) -> Result<(), Cause>;

    /// Gives the worker the shared memory for its observations, directly after its first reply.
    ///
    /// # Errors
    /// If the worker is gone.
    fn share(&mut self, memory: &Arc<SharedMemory>, num_envs: usize) -> Result<(), Cause> {
        let _ = (memory, num_envs);
        Ok(())
    }

    /// Waits for the next reply, whichever request it answers; without a deadline, for as long as
    /// it takes.
    fn receive(&mut self, deadline: Option<Instant>) -> Received;

    /// Kills the worker.
    fn kill(&mut self);

    /// Waits for the end of a worker that was asked to close; false if it does not end in time.
    fn join(&mut self, deadline: Option<Instant>) -> bool;
}

/// Waits until `is_done`; false if the deadline comes first.
pub(super) fn wait_until(deadline: Option<Instant>, mut is_done: impl FnMut() -> bool) -> bool {
    while !is_done() {
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}
