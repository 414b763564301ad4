//! A worker in a thread.

use super::link::wait_until;
use super::link::{Link, Received, Start};
use super::protocol::{Answer, Call, Reply, Request, fatal, guarded, perform};
use crate::env::EnvFn;
use crate::vector::autoreset::SubEnv;
use crate::vector::batcher::Description;
use crate::vector::error::Cause;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

pub(super) struct ThreadLink {
    requests: Option<Sender<Request>>,
    replies: Receiver<Reply>,
    thread: Option<JoinHandle<()>>,
}

impl ThreadLink {
    /// Starts the thread; the first reply describes the sub-environment.
    pub(super) fn start(env_fn: EnvFn, start: &Start) -> Result<Self, Cause> {
        let (requests, inbox) = channel();
        let (outbox, replies) = channel();
        let start = start.clone();
        let thread = std::thread::Builder::new()
            .name(format!("env-{}", start.index))
            .spawn(move || serve(&env_fn, &start, &inbox, &outbox))
            .map_err(|error| Cause::Lost(error.to_string()))?;
        Ok(Self {
            requests: Some(requests),
            replies,
            thread: Some(thread),
        })
    }
}

/// The worker's loop, until the caller hangs up or the sub-environment panics.
fn serve(env_fn: &EnvFn, start: &Start, inbox: &Receiver<Request>, outbox: &Sender<Reply>) {
    let made = guarded(|| env_fn()).and_then(|made| made.map_err(Cause::Error));
    let mut sub = None;
    let answer = made.map(|env| {
        let description = Description::of(&*env);
        sub = Some(SubEnv::new(env, start.autoreset_mode, start.is_over));
        Answer::Started(Box::new(description))
    });
    // If the caller has hung up, the next receive fails.
    let _ = outbox.send(Reply { number: 0, answer });
    let Some(mut sub) = sub else { return };
    while let Ok(Request { number, call }) = inbox.recv() {
        let is_last = matches!(call, Call::Close);
        let answer = perform(&mut sub, call);
        let has_panicked = fatal(&answer).is_some();
        let _ = outbox.send(Reply { number, answer });
        if is_last || has_panicked {
            return;
        }
    }
    sub.env.close();
}

impl Link for ThreadLink {
    fn send(&mut self, request: &Request) -> Result<(), Cause> {
        let requests = self.requests.as_ref();
        requests
            .and_then(|requests| requests.send(request.clone()).ok())
            .ok_or_else(|| Cause::Lost("its thread has ended".into()))
    }

    fn receive(&mut self, deadline: Option<Instant>) -> Received {
        let received = match deadline {
            None => self
                .replies
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
            Some(deadline) => self
                .replies
                .recv_timeout(deadline.saturating_duration_since(Instant::now())),
        };
        match received {
            Ok(reply) => Received::Reply(reply),
            Err(RecvTimeoutError::Timeout) => Received::Nothing,
            Err(RecvTimeoutError::Disconnected) => {
                Received::Dead(Cause::Lost("its thread has ended".into()))
            }
        }
    }

    /// A thread can't be killed: one that hangs ends when its sub-environment returns.
    fn kill(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.is_finished()
        {
            // A panic has already been reported as a reply.
            let _ = thread.join();
        }
    }

    fn join(&mut self, deadline: Option<Instant>) -> bool {
        self.requests = None;
        let thread = self.thread.as_ref();
        if !wait_until(deadline, || thread.is_none_or(JoinHandle::is_finished)) {
            return false;
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        true
    }
}
