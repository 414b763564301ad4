//! The device's end: a session, its episode, and one answer per request.

use super::frame::{
    Damage, FrameCounts, FrameDecoder, MAX_SHORT_FRAME, encode, file_crc32c, max_frame_len,
    max_message_len,
};
use super::message::{
    Answer, AnswerBody, BOARD_LEN, Counts, Event, Offer, Refusal, Request, RequestBody, Restart,
    Source, VERSION,
};
use super::row::Row;
use crate::Error;
use crate::control::{PlanShape, Planner, RecedingHorizon};
use heapless::Deque;

/// Time without a request after which the host counts as lost, us.
pub const HOLD_AFTER_US: u64 = 1_000_000;
/// Capacity of the queue of unsent events; when it is full, new events are dropped.
const MAX_EVENTS: usize = 8;

/// Bytes of frame memory for [`Device::new`], with `obs_dim` (`Do`) and `action_dim` (`Da`) values.
pub const fn frame_memory_len(obs_dim: usize, action_dim: usize) -> usize {
    max_message_len(obs_dim) + max_frame_len(action_dim)
}

/// Identity that the device reports to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The board's name, padded with zeros.
    pub board: [u8; BOARD_LEN],
    /// [`file_crc32c`] of the model file.
    pub model_crc32c: u32,
    /// Where the model file is from.
    pub source: Source,
}

impl Identity {
    /// Creates the identity from the board's name (truncated to fit) and its model file's bytes.
    pub fn new(board: &str, model: &[u8]) -> Self {
        let mut name = [0; BOARD_LEN];
        for (place, byte) in name.iter_mut().zip(board.bytes()) {
            *place = byte;
        }
        Self {
            board: name,
            model_crc32c: file_crc32c(model),
            source: Source::Image,
        }
    }
}

/// Where a device keeps the model files that a host sends.
pub trait ModelStore {
    /// Prepares for a file. Returns the bytes of it that are there already.
    ///
    /// # Errors
    /// Why the device cannot run it.
    fn offer(&mut self, offer: &Offer) -> Result<u32, Refusal>;

    /// Stores the bytes of the file from `at` on. Returns the bytes that are there.
    ///
    /// # Errors
    /// Why not.
    fn piece(&mut self, at: u32, bytes: &[u8]) -> Result<u32, Refusal>;

    /// Makes the file the one that runs after the next start.
    ///
    /// # Errors
    /// Why not.
    fn commit(&mut self) -> Result<(), Refusal>;
}

/// Largest size of a message with a piece, apart from its bytes and with its checksum, bytes.
const PIECE_OVERHEAD: usize = 28;
/// Pieces are multiples of this length, the unit of a store, bytes.
const PIECE_ALIGN: usize = 32;

/// Source of the current action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// No request yet: no action.
    Idle,
    /// A host is connected; the last answered action is current.
    Driven,
    /// The host is lost; the policy's hold action is current.
    Holding,
}

/// The device's end of the link. It never fails: invalid input is refused and counted.
///
/// `WINDOW` and `CHUNK` as in [`RecedingHorizon`].
pub struct Device<'m, P, Clock, const WINDOW: usize, const CHUNK: usize> {
    decoder: FrameDecoder<&'m mut [u8]>,
    /// Frame of the last answer, sent again if its request is repeated.
    answer: &'m mut [u8],
    answer_len: usize,
    conversation: Conversation<'m, P, Clock, WINDOW, CHUNK>,
}

/// Shows what the device does and with whom.
impl<P, Clock, const WINDOW: usize, const CHUNK: usize> core::fmt::Debug
    for Device<'_, P, Clock, WINDOW, CHUNK>
{
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Device")
            .field("identity", &self.conversation.identity)
            .field("state", &self.conversation.state)
            .field("counts", &self.conversation.counts)
            .finish_non_exhaustive()
    }
}

/// State of the device apart from the frame buffers.
struct Conversation<'m, P, Clock, const WINDOW: usize, const CHUNK: usize> {
    planner: P,
    clock_us: Clock,
    identity: Identity,
    session: Option<Session>,
    horizon: RecedingHorizon<WINDOW, CHUNK>,
    has_episode: bool,
    state: State,
    counts: Counts,
    events: Deque<(u64, Event), MAX_EVENTS>,
    store: Option<&'m mut dyn ModelStore>,
    /// Longest piece of a file, bytes.
    piece_len: usize,
    is_restart_due: bool,
}

/// A session with a host.
#[derive(Clone, Copy)]
struct Session {
    id: u32,
    /// Sequence number of the last completed request.
    sequence: u32,
    heard_us: u64,
}

/// Classification of a request by its sequence number.
enum Turn {
    /// Repetition of the last request.
    Repeated,
    /// The next request.
    Next,
    /// A request to refuse.
    Refused(Refusal),
}

impl<'m, P: Planner, Clock: Fn() -> u64, const WINDOW: usize, const CHUNK: usize>
    Device<'m, P, Clock, WINDOW, CHUNK>
{
    /// Creates a device in its start state. `frames` has [`frame_memory_len`] bytes. `clock_us`
    /// returns the time since the start, us.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if `WINDOW`, `CHUNK` or `frames` is too small for the planner.
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
            store: None,
            piece_len: (received_len - PIECE_OVERHEAD) / PIECE_ALIGN * PIECE_ALIGN,
            is_restart_due: false,
        };
        conversation.tell(Event::Started(restart));
        Ok(Self {
            decoder: FrameDecoder::new(received),
            answer,
            answer_len: 0,
            conversation,
        })
    }

    /// Takes model files from the host, for `store`.
    pub fn with_store(mut self, store: &'m mut dyn ModelStore) -> Self {
        self.conversation.store = Some(store);
        self
    }

    /// Whether another model counts from the next start on, which the host expects now.
    pub fn is_restart_due(&self) -> bool {
        self.conversation.is_restart_due
    }

    /// Source of the current action.
    pub fn state(&self) -> State {
        self.conversation.state
    }

    /// The current action (`[Da]`); `None` before the first and in [`State::Idle`].
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

    /// Processes a byte from the wire; calls `send` with each frame to be sent.
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
                        // Reported counts include the current frame.
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

    /// Checks for a lost host. Call it several times per [`HOLD_AFTER_US`], even without input.
    pub fn poll(&mut self) {
        self.conversation.poll();
    }

    /// Records the loss of `bytes` bytes that arrived faster than they were read.
    pub fn overrun(&mut self, bytes: u32) {
        let conversation = &mut self.conversation;
        let counts = &mut conversation.counts;
        counts.overrun_bytes = counts.overrun_bytes.wrapping_add(bytes);
        let bytes = counts.overrun_bytes;
        conversation.tell(Event::Overrun { bytes });
    }
}

impl<'m, P: Planner, Clock: Fn() -> u64, const WINDOW: usize, const CHUNK: usize>
    Conversation<'m, P, Clock, WINDOW, CHUNK>
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
        // If the queue is full, the new event is dropped.
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

    /// Executes a request.
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
            RequestBody::Offer(offer) => {
                let at = self.store()?.offer(&offer)?;
                self.horizon.reset(0);
                self.has_episode = false;
                let piece_len = u16::try_from(self.piece_len).unwrap_or(u16::MAX);
                Ok(AnswerBody::Offered { at, piece_len })
            }
            RequestBody::Piece { at, bytes } => Ok(AnswerBody::Stored {
                at: self.store()?.piece(at, bytes)?,
            }),
            RequestBody::Commit => {
                self.store()?.commit()?;
                self.is_restart_due = true;
                Ok(AnswerBody::Committed)
            }
        }
    }

    fn store(&mut self) -> Result<&mut (dyn ModelStore + 'm), Refusal> {
        self.store.as_deref_mut().ok_or(Refusal::NoStore)
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
            model_crc32c: self.identity.model_crc32c,
            obs_dim: size(shape.obs_dim),
            action_dim: size(shape.action_dim),
            n_obs_steps: size(shape.n_obs_steps),
            n_action_steps: size(shape.n_action_steps),
            task: self.planner.task(),
            source: self.identity.source,
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
