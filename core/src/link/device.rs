//! The device's end: a session, an episode in it, and one answer for every request.

use super::frame::{Damage, FrameDecoder, encode};
use super::message::{
    Answer, AnswerBody, BOARD_LEN, Counts, Event, Refusal, Request, RequestBody, Restart, VERSION,
};
use crate::control::receding_horizon::{Action, Planner, RecedingHorizon};
use crate::pusht::observation::STATE_DIM;
use crc::{CRC_32_ISO_HDLC, Crc, NoTable};
use heapless::Deque;

/// A host that says nothing for so long has vanished, us.
pub const HOLD_AFTER_US: u64 = 1_000_000;
/// Events kept until somebody hears them; more are forgotten, the newest first.
const MAX_EVENTS: usize = 8;

/// What a device says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The board's name, padded with zeros.
    pub board: [u8; BOARD_LEN],
    /// CRC-32/ISO-HDLC of the whole model file.
    pub model_crc32: u32,
}

impl Identity {
    /// Of a board, by as much of its name as fits, and of the model file that it runs.
    pub fn new(board: &str, model: &[u8]) -> Self {
        let mut name = [0; BOARD_LEN];
        for (place, byte) in name.iter_mut().zip(board.bytes()) {
            *place = byte;
        }
        let crc = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);
        Self {
            board: name,
            model_crc32: crc.checksum(model),
        }
    }
}

/// Where the agent is to be: what a device that moves it itself would control it to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    /// No host has asked for anything yet: nothing moves.
    Idle,
    /// A host is there, and the last action counts, px.
    Driven(Option<Action>),
    /// The host has vanished: the agent stays where it was seen last, px.
    Holding(Action),
}

/// The device's end of the link. It never fails: what is wrong is refused and counted.
pub struct Device<P, Clock> {
    planner: P,
    clock_us: Clock,
    identity: Identity,
    decoder: FrameDecoder,
    session: Option<Session>,
    episode: Option<RecedingHorizon>,
    state: State,
    seen_at: Option<Action>,
    counts: Counts,
    events: Deque<(u64, Event), MAX_EVENTS>,
}

/// A conversation with a host.
struct Session {
    id: u32,
    /// To the request that was done last.
    answer: Answer,
    heard_us: u64,
}

impl<P: Planner, Clock: Fn() -> u64> Device<P, Clock> {
    /// A device that has just started. `clock_us` is the time since then.
    pub fn new(planner: P, identity: Identity, restart: Restart, clock_us: Clock) -> Self {
        let mut device = Self {
            planner,
            clock_us,
            identity,
            decoder: FrameDecoder::new(),
            session: None,
            episode: None,
            state: State::Idle,
            seen_at: None,
            counts: Counts::default(),
            events: Deque::new(),
        };
        device.tell(Event::Started(restart));
        device
    }

    /// Where the agent is to be.
    pub fn state(&self) -> State {
        self.state
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        Counts {
            frames: self.decoder.counts(),
            ..self.counts
        }
    }

    /// Takes a byte from the wire; `send` puts the frames of what there is to say on it.
    pub fn receive(&mut self, byte: u8, mut send: impl FnMut(&[u8])) {
        let answer = match self.decoder.push::<Request>(byte) {
            None | Some(Err(Damage::Empty)) => return,
            Some(Err(_)) => self.last_answer_with(AnswerBody::Refused(Refusal::Damaged)),
            Some(Ok(request)) => self.answer(&request),
        };
        send(&encode(&answer));
        if self.session.is_some() {
            while let Some((at_us, event)) = self.events.pop_front() {
                send(&encode(
                    &self.last_answer_with(AnswerBody::Event { at_us, event }),
                ));
            }
        }
    }

    /// Looks at the clock: to be called a few times within [`HOLD_AFTER_US`], whether bytes come or not.
    pub fn poll(&mut self) {
        let now_us = (self.clock_us)();
        let silent = |session: &Session| now_us.saturating_sub(session.heard_us) > HOLD_AFTER_US;
        if self.session.as_ref().is_some_and(silent) {
            self.session = None;
            self.episode = None;
            self.state = State::Idle;
            if let Some(at) = self.seen_at {
                self.state = State::Holding(at);
                self.counts.holds += 1;
                self.tell(Event::Holding { at });
            }
        }
    }

    /// `bytes` more came than could be taken.
    pub fn overrun(&mut self, bytes: u32) {
        self.counts.overrun_bytes = self.counts.overrun_bytes.wrapping_add(bytes);
        self.tell(Event::Overrun {
            bytes: self.counts.overrun_bytes,
        });
    }

    fn tell(&mut self, event: Event) {
        // A host that never asks misses the newest of many.
        let _ = self.events.push_back(((self.clock_us)(), event));
    }

    fn last_answer_with(&self, body: AnswerBody) -> Answer {
        let (session, sequence) = match &self.session {
            Some(session) => (session.id, session.answer.sequence),
            None => (0, 0),
        };
        Answer {
            session,
            sequence,
            body,
        }
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let began_us = (self.clock_us)();
        let answer = self.answer_at(request, began_us);
        match answer.body {
            AnswerBody::Refused(_) => self.counts.refused = self.counts.refused.wrapping_add(1),
            _ => {
                let heard_us = (self.clock_us)();
                if let Some(session) = &mut self.session {
                    session.heard_us = heard_us;
                }
            }
        }
        answer
    }

    fn answer_at(&mut self, request: &Request, began_us: u64) -> Answer {
        let refuse = |refusal| Answer {
            session: request.session,
            sequence: request.sequence,
            body: AnswerBody::Refused(refusal),
        };
        let is_hello = matches!(request.body, RequestBody::Hello { .. });
        match &self.session {
            Some(session) if session.id == request.session => {
                let last = session.answer.sequence;
                if request.sequence == last {
                    self.counts.repeated = self.counts.repeated.wrapping_add(1);
                    return session.answer;
                }
                let expected = last.wrapping_add(1);
                if request.sequence != expected {
                    return refuse(Refusal::OutOfSequence { expected });
                }
            }
            Some(_) | None if !is_hello => return refuse(Refusal::NoSession),
            Some(_) | None => {}
        }
        match self.body_of(request, began_us) {
            Ok(body) => self.remember(request, body),
            Err(refusal) => refuse(refusal),
        }
    }

    fn body_of(&mut self, request: &Request, began_us: u64) -> Result<AnswerBody, Refusal> {
        match request.body {
            RequestBody::Hello { version: VERSION } => {
                self.counts.sessions = self.counts.sessions.wrapping_add(1);
                self.episode = None;
                self.seen_at = None;
                self.state = State::Driven(None);
                Ok(AnswerBody::Hello {
                    version: VERSION,
                    board: self.identity.board,
                    model_crc32: self.identity.model_crc32,
                })
            }
            RequestBody::Hello { .. } => Err(Refusal::WrongVersion { version: VERSION }),
            RequestBody::Begin { seed } => {
                self.episode = Some(RecedingHorizon::new(seed));
                Ok(AnswerBody::Begun)
            }
            RequestBody::Observe { state } => self.act(&state, began_us),
            RequestBody::Report => Ok(AnswerBody::Report(self.counts())),
        }
    }

    fn act(&mut self, state: &[f64; STATE_DIM], began_us: u64) -> Result<AnswerBody, Refusal> {
        let episode = self.episode.as_mut().ok_or(Refusal::NoEpisode)?;
        let action = episode
            .act(&mut self.planner, state)
            .map_err(|_| Refusal::BadObservation)?;
        self.seen_at = Some([state[0], state[1]]);
        self.state = State::Driven(Some(action));
        let took_us = (self.clock_us)().saturating_sub(began_us);
        Ok(AnswerBody::Action {
            action,
            device_us: u32::try_from(took_us).unwrap_or(u32::MAX),
        })
    }

    fn remember(&mut self, request: &Request, body: AnswerBody) -> Answer {
        let answer = Answer {
            session: request.session,
            sequence: request.sequence,
            body,
        };
        self.counts.done = self.counts.done.wrapping_add(1);
        let heard_us = (self.clock_us)();
        self.session = Some(Session {
            id: request.session,
            answer,
            heard_us,
        });
        answer
    }
}
