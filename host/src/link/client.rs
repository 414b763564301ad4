//! Client of a device: sends each request until its answer arrives.

use super::latency::Latency;
use super::wire::Wire;
use pusht_core::Error;
use pusht_core::control::PlanShape;
use pusht_core::link::{
    Answer, AnswerBody, Counts, Event, FrameCounts, FrameDecoder, HOLD_AFTER_US, Offer, Refusal,
    Request, RequestBody, Row, Source, VERSION, encode, max_frame_len, max_message_len,
};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// Largest length of an observation or an action.
const MAX_VALUES: usize = 4096;
/// Number of times that a request is sent before the client gives up.
const MAX_ATTEMPTS: u32 = 100;
/// Number of messages other than its answer that the client reads per request before it gives up:
/// a late answer and eight events to each time that it was sent, and some more.
const MAX_OTHERS: u32 = 10 * MAX_ATTEMPTS;

/// Default time without an answer until a request is sent again: longer than a plan.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_millis(400);

// A request that is lost twice in a row still reaches the device before it gives up its host.
const _: () = assert!(2 * DEFAULT_TIMEOUT.as_micros() + 100_000 < HOLD_AFTER_US as u128);

/// Error of a session with a device.
#[derive(Debug)]
#[non_exhaustive]
pub enum LinkError {
    /// Failure of the wire.
    Wire(std::io::Error),
    /// No answer after the last attempt.
    Silent,
    /// Nothing but answers to other requests, and events.
    Elsewhere,
    /// Another program drives the device.
    Busy,
    /// Another protocol version of the device.
    WrongVersion(u16),
    /// Lost session or episode: the device restarted or timed out.
    Forgotten,
    /// Answer of the wrong kind.
    Unexpected(&'static str),
    /// The device refused an observation.
    BadObservation,
    /// The device refused a model file.
    Refused(Refusal),
    /// After its restart, the device runs another model than the one that was sent.
    NotLoaded,
    /// The environment refused.
    Environment(Error),
}

impl std::fmt::Display for LinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Wire(error) => write!(f, "the link is broken: {error}"),
            Self::Silent => write!(f, "the device gives no answer"),
            Self::Elsewhere => write!(f, "the device answers other requests than this program's"),
            Self::Busy => write!(f, "another program drives the device"),
            Self::WrongVersion(theirs) => write!(
                f,
                "the device speaks version {theirs} of the link, this program version {VERSION}"
            ),
            Self::Forgotten => write!(f, "the device has lost the episode"),
            Self::Unexpected(what) => write!(f, "the device's answer is no answer to {what}"),
            Self::BadObservation => write!(
                f,
                "the device refused an observation: another number of values, or one not finite or \
                 beyond 1e9"
            ),
            Self::Refused(refusal) => refused_model(f, refusal),
            Self::NotLoaded => write!(f, "the device keeps running another model"),
            Self::Environment(error) => write!(f, "{error}"),
        }
    }
}

/// Why a device does not take a model file.
fn refused_model(f: &mut std::fmt::Formatter<'_>, refusal: &Refusal) -> std::fmt::Result {
    match refusal {
        Refusal::NoStore => write!(f, "the device's image has no place for another model"),
        Refusal::TooLarge { there } => {
            write!(
                f,
                "the file does not fit the device: a slot of its flash has {there} bytes"
            )
        }
        Refusal::NeedsRam { there } => write!(
            f,
            "a plan does not fit the device: its image has {there} bytes of RAM for one"
        ),
        Refusal::NeedsRoom {
            n_obs_steps,
            n_action_steps,
        } => write!(
            f,
            "the device's image has room for To up to {n_obs_steps} and Ta up to {n_action_steps}"
        ),
        Refusal::OtherTask {
            obs_dim,
            action_dim,
        } => write!(
            f,
            "the policy is for another task: the device's has {obs_dim} values of an observation \
             and {action_dim} of an action"
        ),
        Refusal::BadModel => write!(
            f,
            "the device finds no model file of a version that it reads"
        ),
        Refusal::StoreFailed => write!(f, "the device can't write its flash"),
        _ => write!(f, "the device lost the offer of the file"),
    }
}

impl std::error::Error for LinkError {}

impl From<Error> for LinkError {
    fn from(error: Error) -> Self {
        Self::Environment(error)
    }
}

/// Description of the device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hello {
    /// Name of the board.
    pub board: String,
    /// CRC-32C of the model file.
    pub model_crc32c: u32,
    /// Task of the policy.
    pub task: String,
    /// Dimensions of observations and actions.
    pub shape: PlanShape,
    /// Where the model file is from.
    pub source: Source,
}

/// Name and unit of a value of an observation or an action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ValueName {
    /// Name; empty if the model file has none.
    pub name: String,
    /// Unit; empty for a dimensionless value.
    pub unit: String,
}

/// Owned copy of an answer or event.
enum Reply {
    Hello(Hello),
    Begun,
    Action(Vec<f64>, Duration),
    Report(Counts),
    Refused(Refusal),
    Event(DeviceEvent),
    Value(ValueName),
    Offered(usize, usize),
    Stored(usize),
    Committed,
}

impl From<AnswerBody<'_>> for Reply {
    fn from(body: AnswerBody<'_>) -> Self {
        match body {
            AnswerBody::Hello {
                board,
                model_crc32c,
                obs_dim,
                action_dim,
                n_obs_steps,
                n_action_steps,
                task,
                source,
                ..
            } => Self::Hello(Hello {
                source,
                board: String::from_utf8_lossy(&board)
                    .trim_end_matches('\0')
                    .to_owned(),
                model_crc32c,
                task: task.to_owned(),
                shape: PlanShape {
                    n_obs_steps: n_obs_steps.into(),
                    obs_dim: obs_dim.into(),
                    n_action_steps: n_action_steps.into(),
                    action_dim: action_dim.into(),
                },
            }),
            AnswerBody::Begun => Self::Begun,
            AnswerBody::Action { values, device_us } => Self::Action(
                values.iter().collect(),
                Duration::from_micros(device_us.into()),
            ),
            AnswerBody::Report(counts) => Self::Report(counts),
            AnswerBody::Refused(refusal) => Self::Refused(refusal),
            AnswerBody::Event { at_us, event } => Self::Event(DeviceEvent { at_us, event }),
            AnswerBody::Value { name, unit } => Self::Value(ValueName {
                name: name.to_owned(),
                unit: unit.to_owned(),
            }),
            AnswerBody::Offered { at, piece_len } => Self::Offered(at as usize, piece_len.into()),
            AnswerBody::Stored { at } => Self::Stored(at as usize),
            AnswerBody::Committed => Self::Committed,
        }
    }
}

/// Event that the device reported without a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceEvent {
    /// Time since the device started, us.
    pub at_us: u64,
    /// Reported event.
    pub event: Event,
}

/// Counters of the host's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientCounts {
    /// Answered requests.
    pub answered: u32,
    /// Requests sent again, for any reason.
    pub repeated: u32,
    /// Requests sent again after a timeout.
    pub timeouts: u32,
    /// Requests sent again after a damaged answer.
    pub damaged: u32,
    /// Requests sent again after the device reported damage.
    pub damaged_there: u32,
    /// Answers to earlier requests.
    pub stale: u32,
    /// Episodes restarted because the device had lost them.
    pub restarts: u32,
}

/// The host's end of the link.
pub struct Client<W> {
    wire: W,
    timeout: Duration,
    decoder: FrameDecoder<Vec<u8>>,
    /// Received bytes, not yet decoded.
    pending: std::collections::VecDeque<u8>,
    session: u32,
    sequence: u32,
    on_event: Box<dyn FnMut(DeviceEvent)>,
    /// Counters so far.
    pub counts: ClientCounts,
    /// Latency of the control ticks.
    pub latency: Latency,
}

/// Shows the session and the counters.
impl<W> fmt::Debug for Client<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("timeout", &self.timeout)
            .field("session", &self.session)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

/// Result of waiting for a message.
enum Heard {
    /// Session and sequence number of the request, with the reply.
    Answer((u32, u32), Reply),
    Damaged,
    Nothing,
}

/// When a wait ends.
struct Limit {
    end: Instant,
    /// Whether the last look at the wire has been taken, at the end.
    is_last_look: bool,
}

impl<W: Wire> Client<W> {
    /// Creates a client without a session. Requests are repeated after `timeout`; `on_event`
    /// receives the device's events.
    pub fn new(wire: W, timeout: Duration, on_event: impl FnMut(DeviceEvent) + 'static) -> Self {
        Self {
            wire,
            timeout,
            decoder: FrameDecoder::new(vec![0; max_message_len(MAX_VALUES)]),
            pending: std::collections::VecDeque::new(),
            session: 0,
            sequence: 0,
            on_event: Box::new(on_event),
            counts: ClientCounts::default(),
            latency: Latency::default(),
        }
    }

    /// The underlying wire.
    pub fn wire(&mut self) -> &mut W {
        &mut self.wire
    }

    /// Counters of received frames.
    pub fn frames(&self) -> FrameCounts {
        self.decoder.counts()
    }

    /// Opens a session and closes any earlier one.
    ///
    /// # Errors
    /// [`LinkError::WrongVersion`] if the device has another protocol version,
    /// [`LinkError::Silent`] if it does not answer, [`LinkError::Wire`] if the wire fails.
    pub fn hello(&mut self) -> Result<Hello, LinkError> {
        // The hasher's keys are random; 0 means no session.
        self.session = (RandomState::new().hash_one(self.session) as u32).max(1);
        self.sequence = 0;
        match self.ask(RequestBody::Hello { version: VERSION })? {
            Reply::Hello(hello) => Ok(hello),
            _ => Err(LinkError::Unexpected("hello")),
        }
    }

    /// Requests name and unit of value `index`, in the order of an observation, then an action.
    ///
    /// # Errors
    /// [`LinkError::Forgotten`] if the session is lost; else as for [`hello`](Self::hello).
    pub fn describe(&mut self, index: u16) -> Result<ValueName, LinkError> {
        match self.ask_next(RequestBody::Describe { index })? {
            Reply::Value(value) => Ok(value),
            _ => Err(LinkError::Unexpected("a question for a value's name")),
        }
    }

    /// Begins an episode; `seed` is the seed of the policy's noise.
    ///
    /// # Errors
    /// [`LinkError::Forgotten`] if the session is lost; else as for [`hello`](Self::hello).
    pub fn begin(&mut self, seed: u64) -> Result<(), LinkError> {
        match self.ask_next(RequestBody::Begin { seed })? {
            Reply::Begun => Ok(()),
            _ => Err(LinkError::Unexpected("the begin of an episode")),
        }
    }

    /// Performs a control tick: sends an observation (`[Do]`) and returns the action (`[Da]`).
    ///
    /// # Errors
    /// [`LinkError::Forgotten`] if the episode is lost, [`LinkError::Environment`] if the device
    /// refuses the observation; else as for [`hello`](Self::hello).
    pub fn observe(&mut self, observation: &[f64]) -> Result<Vec<f64>, LinkError> {
        let asked = Instant::now();
        let values = Row::Values(observation);
        match self.ask_next(RequestBody::Observe { values })? {
            Reply::Action(action, on_device) => {
                self.latency.record(asked.elapsed(), on_device);
                Ok(action)
            }
            _ => Err(LinkError::Unexpected("an observation")),
        }
    }

    /// Requests the device's counters.
    ///
    /// # Errors
    /// [`LinkError::Forgotten`] if the session is lost; else as for [`hello`](Self::hello).
    pub fn report(&mut self) -> Result<Counts, LinkError> {
        match self.ask_next(RequestBody::Report)? {
            Reply::Report(counts) => Ok(counts),
            _ => Err(LinkError::Unexpected("a report")),
        }
    }

    /// Offers a model file. Returns the bytes that the device has, and the length of a piece.
    ///
    /// # Errors
    /// [`LinkError::Refused`] if the device can't run or store it; else as for
    /// [`begin`](Self::begin).
    pub fn offer(&mut self, offer: Offer) -> Result<(usize, usize), LinkError> {
        match self.ask_next(RequestBody::Offer(offer))? {
            Reply::Offered(at, piece_len) => Ok((at, piece_len)),
            _ => Err(LinkError::Unexpected("an offer")),
        }
    }

    /// Sends the bytes of the file from `at` on. Returns the bytes that the device has.
    ///
    /// # Errors
    /// As for [`offer`](Self::offer).
    pub fn piece(&mut self, at: usize, bytes: &[u8]) -> Result<usize, LinkError> {
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        match self.ask_next(RequestBody::Piece { at, bytes })? {
            Reply::Stored(at) => Ok(at),
            _ => Err(LinkError::Unexpected("a piece of the file")),
        }
    }

    /// Makes the file that was sent the one that runs; the device restarts.
    ///
    /// # Errors
    /// As for [`offer`](Self::offer).
    pub fn commit(&mut self) -> Result<(), LinkError> {
        match self.ask_next(RequestBody::Commit)? {
            Reply::Committed => Ok(()),
            _ => Err(LinkError::Unexpected("the end of the file")),
        }
    }

    /// Asks with the next sequence number, which a request that fails has not used.
    fn ask_next(&mut self, body: RequestBody<'_>) -> Result<Reply, LinkError> {
        let last = self.sequence;
        self.sequence = last.wrapping_add(1);
        let answer = self.ask(body);
        if answer.is_err() {
            self.sequence = last;
        }
        answer
    }

    fn ask(&mut self, body: RequestBody<'_>) -> Result<Reply, LinkError> {
        let request = Request {
            session: self.session,
            sequence: self.sequence,
            body,
        };
        let mut memory = vec![0; max_frame_len(MAX_VALUES)];
        let frame = encode(&request, &mut memory);
        let mut others = 0;
        for attempt in 0..MAX_ATTEMPTS {
            if attempt > 0 {
                self.counts.repeated += 1;
                // Ends any incomplete frame.
                self.wire.send(&[0]).map_err(LinkError::Wire)?;
            }
            self.wire.send(frame).map_err(LinkError::Wire)?;
            if let Some(answer) = self.wait(&mut others)? {
                self.counts.answered += 1;
                return Ok(answer);
            }
        }
        Err(LinkError::Silent)
    }

    /// Waits for the answer to the current request; `None` if it must be sent again. Counts other
    /// messages in `others`.
    fn wait(&mut self, others: &mut u32) -> Result<Option<Reply>, LinkError> {
        let mut limit = Limit {
            end: Instant::now() + self.timeout,
            is_last_look: false,
        };
        while *others < MAX_OTHERS {
            let (to, reply) = match self.hear(&mut limit)? {
                Heard::Answer(to, reply) => (to, reply),
                Heard::Damaged => {
                    self.counts.damaged += 1;
                    return Ok(None);
                }
                Heard::Nothing => {
                    self.counts.timeouts += 1;
                    return Ok(None);
                }
            };
            let is_ours = to == (self.session, self.sequence);
            match reply {
                Reply::Event(event) => (self.on_event)(event),
                Reply::Refused(Refusal::Damaged) => {
                    self.counts.damaged_there += 1;
                    return Ok(None);
                }
                Reply::Refused(Refusal::Busy) => return Err(LinkError::Busy),
                _ if !is_ours => self.counts.stale += 1,
                Reply::Refused(refusal) => return Err(refused(refusal)),
                reply => return Ok(Some(reply)),
            }
            *others += 1;
        }
        Err(LinkError::Elsewhere)
    }

    /// Next message or damaged frame, or `Nothing` after the end. Bytes that have already arrived
    /// are read once even then, so that a suspended process does not lose them.
    fn hear(&mut self, limit: &mut Limit) -> Result<Heard, LinkError> {
        let mut buffer = [0; 256];
        loop {
            while let Some(byte) = self.pending.pop_front() {
                match self.decoder.push::<Answer<'_>>(byte) {
                    Some(Ok(answer)) => {
                        let to = (answer.session, answer.sequence);
                        return Ok(Heard::Answer(to, answer.body.into()));
                    }
                    Some(Err(pusht_core::link::Damage::Empty)) | None => {}
                    Some(Err(_)) => return Ok(Heard::Damaged),
                }
            }
            if limit.is_last_look {
                return Ok(Heard::Nothing);
            }
            let left = limit.end.saturating_duration_since(Instant::now());
            let n = self.wire.receive(&mut buffer, left);
            let n = n.map_err(LinkError::Wire)?;
            self.pending.extend(&buffer[..n]);
            limit.is_last_look = n == 0 || left.is_zero();
        }
    }
}

fn refused(refusal: Refusal) -> LinkError {
    match refusal {
        Refusal::WrongVersion { version } => LinkError::WrongVersion(version),
        Refusal::NoSession | Refusal::OutOfSequence { .. } | Refusal::NoEpisode => {
            LinkError::Forgotten
        }
        Refusal::BadObservation => LinkError::BadObservation,
        Refusal::Busy => LinkError::Busy,
        Refusal::Damaged | Refusal::NoValue => LinkError::Unexpected("a request"),
        refusal => LinkError::Refused(refusal),
    }
}
