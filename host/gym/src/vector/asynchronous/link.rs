//! The caller's end of the way to a worker.

use super::protocol::{Reply, Request};
use super::shared_memory::SharedMemory;
use crate::vector::AutoresetMode;
use crate::vector::error::Cause;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Instant;

/// What a worker is told when it starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) index: usize,
    pub(super) autoreset_mode: AutoresetMode,
    /// Whether it takes the place of one that was lost in an episode.
    pub(super) is_over: bool,
}

/// What came of waiting.
pub(super) enum Received {
    Reply(Reply),
    /// Not in time.
    Nothing,
    Dead(Cause),
}

/// A way to a worker, in a thread or a process.
pub(super) trait Link: Send {
    /// # Errors
    /// If the worker is gone.
    fn send(&mut self, request: &Request) -> Result<(), Cause>;

    /// Gives the worker the memory for its observations, right after its first reply.
    ///
    /// # Errors
    /// If the worker is gone.
    fn share(&mut self, memory: &Arc<SharedMemory>, num_envs: usize) -> Result<(), Cause> {
        let _ = (memory, num_envs);
        Ok(())
    }

    /// The next reply, whichever request it answers; without a deadline for as long as it takes.
    fn receive(&mut self, deadline: Option<Instant>) -> Received;

    /// Ends the worker, whatever it does.
    fn kill(&mut self);

    /// Waits for the end of a worker that was told to close.
    fn join(&mut self);
}
