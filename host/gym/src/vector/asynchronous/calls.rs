//! Sends requests to the workers and receives their replies.

use super::AsyncVectorEnv;
use super::link::Received;
use super::protocol::{Answer, Call, Reply, Request, fatal};
use super::transport::{Worker, deadline};
use crate::value::Value;
use crate::vector::error::{Cause, VectorError};
use std::time::{Duration, Instant};

/// A call whose replies have not been received.
pub(super) struct Pending {
    pub(super) kind: Kind,
    /// Per sub-environment: the request was sent, could not be sent, or was not wanted.
    pub(super) asked: Vec<Option<Result<(), Cause>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Reset,
    Step,
    Call,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Step => "step",
            Self::Call => "call",
        }
    }

    pub(super) fn send(self) -> &'static str {
        match self {
            Self::Reset => "reset_async",
            Self::Step => "step_async",
            Self::Call => "call_async",
        }
    }

    pub(super) fn wait(self) -> &'static str {
        match self {
            Self::Reset => "reset_wait",
            Self::Step => "step_wait",
            Self::Call => "call_wait",
        }
    }
}

impl AsyncVectorEnv {
    pub(super) fn check_open(&self) -> Result<(), VectorError> {
        if self.is_closed {
            return Err(VectorError::ClosedEnvironment);
        }
        Ok(())
    }

    pub(super) fn check_idle(&self, called: &'static str) -> Result<(), VectorError> {
        match &self.pending {
            None => Ok(()),
            Some(pending) => Err(VectorError::AlreadyPendingCall {
                called,
                pending: pending.kind.name(),
            }),
        }
    }

    /// Sends each sub-environment its call.
    pub(super) fn ask(&mut self, kind: Kind, calls: Vec<Option<Call>>) {
        self.number += 1;
        let number = self.number;
        let send = |(worker, call): (&mut Worker, Option<Call>)| {
            call.map(|call| {
                if let Some(cause) = &worker.dead {
                    return Err(cause.clone());
                }
                let sent = worker.link.send(&Request { number, call });
                sent.inspect_err(|cause| worker.bury(cause))
            })
        };
        let asked = self.workers.iter_mut().zip(calls).map(send).collect();
        self.pending = Some(Pending { kind, asked });
    }

    /// Receives the replies to the pending call. After a timeout it is no longer pending.
    pub(super) fn wait(
        &mut self,
        kind: Kind,
        timeout: Option<Duration>,
    ) -> Result<Vec<Option<Result<Answer, Cause>>>, VectorError> {
        self.check_open()?;
        let (called, needed) = (kind.wait(), kind.send());
        let Some(Pending { asked, .. }) = self.pending.take_if(|pending| pending.kind == kind)
        else {
            return Err(VectorError::NoAsyncCall { called, needed });
        };
        self.answers(asked, called, timeout)
    }

    fn answers(
        &mut self,
        asked: Vec<Option<Result<(), Cause>>>,
        called: &'static str,
        timeout: Option<Duration>,
    ) -> Result<Vec<Option<Result<Answer, Cause>>>, VectorError> {
        let deadline = deadline(timeout);
        let (mut answers, mut late) = (Vec::with_capacity(asked.len()), Vec::new());
        for (index, asked) in asked.into_iter().enumerate() {
            let answer = match asked {
                None => None,
                Some(Err(cause)) => Some(Err(cause)),
                Some(Ok(())) => {
                    let answer = self.receive(index, deadline);
                    if answer.is_none() {
                        late.push(index);
                    }
                    answer
                }
            };
            answers.push(answer);
        }
        match timeout {
            Some(timeout) if !late.is_empty() => Err(VectorError::Timeout {
                called,
                timeout,
                pending: late,
            }),
            _ => Ok(answers),
        }
    }

    /// Receives the reply to the latest request; `None` if it does not come in time. Of late
    /// replies to earlier requests, only the observation is kept.
    pub(super) fn receive(
        &mut self,
        index: usize,
        deadline: Option<Instant>,
    ) -> Option<Result<Answer, Cause>> {
        let worker = &mut self.workers[index];
        loop {
            let (number, mut answer) = match worker.link.receive(deadline) {
                Received::Reply(Reply { number, answer }) => (number, answer),
                Received::Nothing => return None,
                Received::Dead(cause) => (self.number, Err(cause)),
            };
            if let Ok(answer) = &mut answer
                && let Some(observation) = answer.observation()
            {
                self.batcher.observe(index, std::mem::take(observation));
            }
            if let Some(cause) = fatal(&answer) {
                worker.bury(cause);
                return Some(answer);
            }
            if number == self.number {
                return Some(answer);
            }
        }
    }

    /// Sends a call and waits for its replies.
    pub(super) fn ask_and_wait(&mut self, calls: Vec<Call>) -> Result<Vec<Value>, VectorError> {
        self.ask(Kind::Call, calls.into_iter().map(Some).collect());
        self.call_wait(self.timeout)
    }
}
