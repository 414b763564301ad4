//! The device's end: a session, an episode in it, and one answer for every request.

use super::frame::{
    Damage, FrameCounts, FrameDecoder, MAX_SHORT_FRAME, encode, max_frame_len, max_message_len,
};
use super::message::{
    Answer, AnswerBody, BOARD_LEN, Counts, Event, Refusal, Request, RequestBody, Restart, VERSION,
};
use super::row::Row;
use crate::Error;
use crate::control::{PlanShape, Planner, RecedingHorizon};
use crc::{CRC_32_ISO_HDLC, Crc, NoTable};
use heapless::Deque;

/// A host that says nothing for so long has vanished, us.
pub const HOLD_AFTER_US: u64 = 1_000_000;
/// Events kept until somebody hears them; more are forgotten, the newest first.
const MAX_EVENTS: usize = 8;

/// Bytes that [`Device::new`] takes for its frames, with observations of `obs_dim` values and
/// actions of `action_dim`.
pub const fn frame_memory_len(obs_dim: usize, action_dim: usize) -> usize {
    max_message_len(obs_dim) + max_frame_len(action_dim)
}

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

/// Who decides what the robot does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No host has asked for anything yet: nothing moves.
    Idle,
    /// A host is there, and its last action counts.
    Driven,
    /// The host has vanished: the policy's hold counts.
    Holding,
}

/// The device's end of the link. It never fails: what is wrong is refused and counted.
///
/// `WINDOW` and `CHUNK` as in [`RecedingHorizon`].
pub struct Device<'m, P, Clock, const WINDOW: usize, const CHUNK: usize> {
    decoder: FrameDecoder<&'m mut [u8]>,
    /// The frame of the answer to the request that was done last, to be sent again if that request
    /// comes again.
    answer: &'m mut [u8],
    answer_len: usize,
    conversation: Conversation<P, Clock, WINDOW, CHUNK>,
}

/// All but the frames.
struct Conversation<P, Clock, const WINDOW: usize, const CHUNK: usize> {
    planner: P,
    clock_us: Clock,
    identity: Identity,
    session: Option<Session>,
    horizon: RecedingHorizon<WINDOW, CHUNK>,
    has_episode: bool,
    state: State,
    counts: Counts,
    events: Deque<(u64, Event), MAX_EVENTS>,
}

/// A conversation with a host.
#[derive(Clone, Copy)]
struct Session {
    id: u32,
    /// Of the request that was done last.
    sequence: u32,
    heard_us: u64,
}

/// What becomes of a request.
enum Turn {
    /// It was done before.
    Repeated,
    /// It is the next one.
    Next,
    /// It is not done.
    Refused(Refusal),
}

impl<'m, P: Planner, Clock: Fn() -> u64, const WINDOW: usize, const CHUNK: usize>
    Device<'m, P, Clock, WINDOW, CHUNK>
{
    /// A device that has just started. `frames` has [`frame_memory_len`] bytes; `clock_us` is the
    /// time since the start.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if a window or a chunk of the planner has no room, or a frame.
    pub fn new(
        planner: P,
        frames: &'m mut [u8],
        identity: Identity,
        restart: Restart,
        clock_us: Clock,
    ) -> Result<Self, Error> {
        let shape = planner.shape();
        let (needed, got) = (
            frame_memory_len(shape.obs_dim, shape.action_dim),
            frames.len(),
        );
        let received_len = max_message_len(shape.obs_dim);
        let Some((received, answer)) = frames
            .split_at_mut_checked(received_len)
            .filter(|_| got >= needed)
        else {
            return Err(Error::WrongLength {
                what: "frames",
                expected: needed,
                got,
            });
        };
        let mut conversation = Conversation {
            horizon: RecedingHorizon::new(shape, 0)?,
            planner,
            clock_us,
            identity,
            session: None,
            has_episode: false,
            state: State::Idle,
            counts: Counts::default(),
            events: Deque::new(),
        };
        conversation.tell(Event::Started(restart));
        Ok(Self {
            decoder: FrameDecoder::new(received),
            answer,
            answer_len: 0,
            conversation,
        })
    }

    /// Who decides what the robot does.
    pub fn state(&self) -> State {
        self.conversation.state
    }

    /// The action that counts (`[Da]`); nothing before the first, and while nothing moves.
    pub fn action(&self) -> Option<&[f64]> {
        match self.conversation.state {
            State::Idle => None,
            State::Driven | State::Holding => self.conversation.horizon.last_action(),
        }
    }

    /// Counters since the start.
    pub fn counts(&self) -> Counts {
        self.conversation.counts_with(self.decoder.counts())
    }

    /// Takes a byte from the wire; `send` puts the frames of what there is to say on it.
    pub fn receive(&mut self, byte: u8, mut send: impl FnMut(&[u8])) {
        let Self {
            decoder,
            answer,
            answer_len,
            conversation,
        } = self;
        let mut frames = decoder.counts();
        match decoder.push::<Request<'_>>(byte) {
            None | Some(Err(Damage::Empty)) => return,
            Some(Err(_)) => {
                let mut memory = [0; MAX_SHORT_FRAME];
                let body = AnswerBody::Refused(Refusal::Damaged);
                send(encode(&conversation.answer_to_last(body), &mut memory));
            }
            Some(Ok(request)) => {
                match conversation.turn(&request) {
                    Turn::Repeated => send(answer.get(..*answer_len).unwrap_or_default()),
                    Turn::Refused(refusal) => conversation.refuse(&request, refusal, &mut send),
                    Turn::Next => {
                        // This one counts.
                        frames.good = frames.good.wrapping_add(1);
                        let counts = conversation.counts_with(frames);
                        let began_us = (conversation.clock_us)();
                        match conversation.body_of(&request, began_us, counts) {
                            Err(refusal) => conversation.refuse(&request, refusal, &mut send),
                            Ok(body) => {
                                let done = Answer {
                                    session: request.session,
                                    sequence: request.sequence,
                                    body,
                                };
                                let frame = encode(&done, answer);
                                send(frame);
                                *answer_len = frame.len();
                                conversation.remember(&request);
                            }
                        }
                    }
                }
            }
        }
        if conversation.session.is_some() {
            while let Some((at_us, event)) = conversation.events.pop_front() {
                let mut memory = [0; MAX_SHORT_FRAME];
                let body = AnswerBody::Event { at_us, event };
                send(encode(&conversation.answer_to_last(body), &mut memory));
            }
        }
    }

    /// Looks at the clock: to be called a few times within [`HOLD_AFTER_US`], whether bytes come or
    /// not.
    pub fn poll(&mut self) {
        self.conversation.poll();
    }

    /// `bytes` more came than could be taken.
    pub fn overrun(&mut self, bytes: u32) {
        let conversation = &mut self.conversation;
        let counts = &mut conversation.counts;
        counts.overrun_bytes = counts.overrun_bytes.wrapping_add(bytes);
        let bytes = counts.overrun_bytes;
        conversation.tell(Event::Overrun { bytes });
    }
}

impl<P: Planner, Clock: Fn() -> u64, const WINDOW: usize, const CHUNK: usize>
    Conversation<P, Clock, WINDOW, CHUNK>
{
    fn counts_with(&self, frames: FrameCounts) -> Counts {
        Counts {
            frames,
            ..self.counts
        }
    }

    fn poll(&mut self) {
        let now_us = (self.clock_us)();
        let silent = |session: &Session| now_us.saturating_sub(session.heard_us) > HOLD_AFTER_US;
        if !self.session.as_ref().is_some_and(silent) {
            return;
        }
        self.session = None;
        self.state = State::Idle;
        if self.has_episode && self.horizon.hold(&self.planner).is_some() {
            self.state = State::Holding;
            self.counts.holds += 1;
            self.tell(Event::Holding);
        }
        self.has_episode = false;
    }

    fn tell(&mut self, event: Event) {
        // A host that never asks misses the newest of many.
        let _ = self.events.push_back(((self.clock_us)(), event));
    }

    fn answer_to_last<'b>(&self, body: AnswerBody<'b>) -> Answer<'b> {
        let (session, sequence) = match &self.session {
            Some(session) => (session.id, session.sequence),
            None => (0, 0),
        };
        Answer {
            session,
            sequence,
            body,
        }
    }

    fn turn(&mut self, request: &Request<'_>) -> Turn {
        let is_hello = matches!(request.body, RequestBody::Hello { .. });
        let heard_us = (self.clock_us)();
        match &mut self.session {
            Some(session) if session.id == request.session => {
                if request.sequence == session.sequence {
                    session.heard_us = heard_us;
                    self.counts.repeated = self.counts.repeated.wrapping_add(1);
                    return Turn::Repeated;
                }
                let expected = session.sequence.wrapping_add(1);
                if request.sequence != expected {
                    return Turn::Refused(Refusal::OutOfSequence { expected });
                }
                Turn::Next
            }
            Some(_) | None if !is_hello => Turn::Refused(Refusal::NoSession),
            Some(_) | None => Turn::Next,
        }
    }

    fn refuse(&mut self, request: &Request<'_>, refusal: Refusal, send: &mut impl FnMut(&[u8])) {
        self.counts.refused = self.counts.refused.wrapping_add(1);
        let answer = Answer {
            session: request.session,
            sequence: request.sequence,
            body: AnswerBody::Refused(refusal),
        };
        send(encode(&answer, &mut [0; MAX_SHORT_FRAME]));
    }

    /// Does a request.
    fn body_of(
        &mut self,
        request: &Request<'_>,
        began_us: u64,
        counts: Counts,
    ) -> Result<AnswerBody<'_>, Refusal> {
        match request.body {
            RequestBody::Hello { version: VERSION } => Ok(self.hello()),
            RequestBody::Hello { .. } => Err(Refusal::WrongVersion { version: VERSION }),
            RequestBody::Begin { seed } => {
                self.horizon.reset(seed);
                self.has_episode = true;
                Ok(AnswerBody::Begun)
            }
            RequestBody::Observe { values } => self.act(&values, began_us),
            RequestBody::Report => Ok(AnswerBody::Report(counts)),
            RequestBody::Describe { index } => {
                let PlanShape {
                    obs_dim,
                    action_dim,
                    ..
                } = self.planner.shape();
                if usize::from(index) >= obs_dim + action_dim {
                    return Err(Refusal::NoValue);
                }
                let value = self.planner.value(index.into());
                Ok(AnswerBody::Value {
                    name: value.name,
                    unit: value.unit,
                })
            }
        }
    }

    fn hello(&mut self) -> AnswerBody<'_> {
        self.counts.sessions = self.counts.sessions.wrapping_add(1);
        self.horizon.reset(0);
        self.has_episode = false;
        self.state = State::Driven;
        let shape = self.planner.shape();
        let size = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        AnswerBody::Hello {
            version: VERSION,
            board: self.identity.board,
            model_crc32: self.identity.model_crc32,
            obs_dim: size(shape.obs_dim),
            action_dim: size(shape.action_dim),
            n_obs_steps: size(shape.n_obs_steps),
            n_action_steps: size(shape.n_action_steps),
            task: self.planner.task(),
        }
    }

    fn act(&mut self, values: &Row<'_>, began_us: u64) -> Result<AnswerBody<'_>, Refusal> {
        if !self.has_episode {
            return Err(Refusal::NoEpisode);
        }
        let mut observation = [0.0; WINDOW];
        let observation = observation.get_mut(..values.len());
        let observation = observation.ok_or(Refusal::BadObservation)?;
        for (place, value) in observation.iter_mut().zip(values.iter()) {
            *place = value;
        }
        let action = self
            .horizon
            .act(&mut self.planner, observation)
            .map_err(|_| Refusal::BadObservation)?;
        let took_us = (self.clock_us)().saturating_sub(began_us);
        Ok(AnswerBody::Action {
            values: Row::Values(action),
            device_us: u32::try_from(took_us).unwrap_or(u32::MAX),
        })
    }

    fn remember(&mut self, request: &Request<'_>) {
        self.counts.done = self.counts.done.wrapping_add(1);
        self.session = Some(Session {
            id: request.session,
            sequence: request.sequence,
            heard_us: (self.clock_us)(),
        });
    }
}
