//! Asks the device, and asks again until the answer is there.

use super::latency::Latency;
use super::wire::Wire;
use pusht_core::Error;
use pusht_core::control::PlanShape;
use pusht_core::link::{
    Answer, AnswerBody, Counts, Event, FrameCounts, FrameDecoder, Refusal, Request, RequestBody,
    Row, VERSION, encode, max_frame_len, max_message_len,
};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// Most values of an observation or an action.
const MAX_VALUES: usize = 4096;
/// Times that a request is sent before the device is given up.
const MAX_ATTEMPTS: u32 = 100;

/// What ends a conversation.
#[derive(Debug)]
#[non_exhaustive]
pub enum LinkError {
    /// The wire is gone.
    Wire(std::io::Error),
    /// No answer, however often it was asked.
    Silent,
    /// The device speaks another version of the protocol.
    WrongVersion(u16),
    /// The device has started anew or given up waiting: it knows neither session nor episode.
    Forgotten,
    /// The device answered with something else than an answer to the question.
    Unexpected(&'static str),
    /// The device refused an observation.
    BadObservation,
    /// The environment refused.
    Environment(Error),
}

impl std::fmt::Display for LinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Wire(error) => write!(f, "the link is broken: {error}"),
            Self::Silent => write!(f, "the device gives no answer"),
            Self::WrongVersion(theirs) => write!(
                f,
                "the device speaks version {theirs} of the link, this program version {VERSION}"
            ),
            Self::Forgotten => write!(f, "the device has lost the episode"),
            Self::Unexpected(what) => write!(f, "the device's answer is no answer to {what}"),
            Self::BadObservation => write!(
                f,
                "the device refused an observation: another number of values, or one not finite"
            ),
            Self::Environment(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for LinkError {}

impl From<Error> for LinkError {
    fn from(error: Error) -> Self {
        Self::Environment(error)
    }
}

/// What the device says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The board.
    pub board: String,
    /// CRC-32/ISO-HDLC of its model file.
    pub model_crc32: u32,
    /// Name of the task that its policy is for.
    pub task: String,
    /// Sizes of observations and actions.
    pub shape: PlanShape,
}

/// Name and unit of a value of an observation or an action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValueName {
    /// Name; empty if the model file has none.
    pub name: String,
    /// Unit; empty for a number without one.
    pub unit: String,
}

/// An answer, or an event, that has left the decoder's memory.
enum Reply {
    Hello(Hello),
    Begun,
    Action(Vec<f64>, Duration),
    Report(Counts),
    Refused(Refusal),
    Event(DeviceEvent),
    Value(ValueName),
}

impl From<AnswerBody<'_>> for Reply {
    fn from(body: AnswerBody<'_>) -> Self {
        match body {
            AnswerBody::Hello {
                board,
                model_crc32,
                obs_dim,
                action_dim,
                n_obs_steps,
                n_action_steps,
                task,
                ..
            } => Self::Hello(Hello {
                board: String::from_utf8_lossy(&board)
                    .trim_end_matches('\0')
                    .to_owned(),
                model_crc32,
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
        }
    }
}

/// What the device told unasked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceEvent {
    /// Since it started, us.
    pub at_us: u64,
    /// What happened.
    pub event: Event,
}

/// What the host's end counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientCounts {
    /// Requests answered.
    pub answered: u32,
    /// Requests sent again, all causes together.
    pub repeated: u32,
    /// ... because no answer came in time.
    pub timeouts: u32,
    /// ... because a frame was damaged on the way here.
    pub damaged: u32,
    /// ... because the device said that one was damaged on the way there.
    pub damaged_there: u32,
    /// Answers to another request than the present one.
    pub stale: u32,
    /// Episodes that began anew because the device had lost them.
    pub restarts: u32,
}

/// The host's end of the link.
pub struct Client<W> {
    wire: W,
    timeout: Duration,
    decoder: FrameDecoder<Vec<u8>>,
    /// Received and not yet looked at.
    pending: std::collections::VecDeque<u8>,
    session: u32,
    sequence: u32,
    on_event: Box<dyn FnMut(DeviceEvent)>,
    /// What was counted so far.
    pub counts: ClientCounts,
    /// How long the control ticks took.
    pub latency: Latency,
}

/// What a wait ended with.
enum Heard {
    /// Session and sequence that it answers, and what it says.
    Answer((u32, u32), Reply),
    Damaged,
    Nothing,
}

impl<W: Wire> Client<W> {
    /// A client that has not said hello. A request is sent again after `timeout` without an answer; `on_event` hears what the device tells.
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

    /// The wire.
    pub fn wire(&mut self) -> &mut W {
        &mut self.wire
    }

    /// Frames received.
    pub fn frames(&self) -> FrameCounts {
        self.decoder.counts()
    }

    /// Opens a session, whatever was before.
    ///
    /// # Errors
    /// [`LinkError::WrongVersion`] and whatever the wire does.
    pub fn hello(&mut self) -> Result<Hello, LinkError> {
        // The hasher's keys are random; 0 stands for no session.
        self.session = (RandomState::new().hash_one(self.session) as u32).max(1);
        self.sequence = 0;
        match self.ask(RequestBody::Hello { version: VERSION })? {
            Reply::Hello(hello) => Ok(hello),
            _ => Err(LinkError::Unexpected("hello")),
        }
    }

    /// Name and unit of value `index`: the values of an observation, then those of an action.
    ///
    /// # Errors
    /// [`LinkError::Forgotten`] if the device has lost the session, and whatever the wire does.
    pub fn describe(&mut self, index: u16) -> Result<ValueName, LinkError> {
        match self.ask_next(RequestBody::Describe { index })? {
            Reply::Value(value) => Ok(value),
            _ => Err(LinkError::Unexpected("a question for a value's name")),
        }
    }

    /// Begins an episode; `seed` names the policy's noise.
    ///
    /// # Errors
    /// [`LinkError::Forgotten`] and whatever the wire does.
    pub fn begin(&mut self, seed: u64) -> Result<(), LinkError> {
        match self.ask_next(RequestBody::Begin { seed })? {
            Reply::Begun => Ok(()),
            _ => Err(LinkError::Unexpected("the begin of an episode")),
        }
    }

    /// A control tick: the action (`[Da]`) for an observation (`[Do]`).
    ///
    /// # Errors
    /// [`LinkError::Forgotten`] if the device has lost the episode, and whatever the wire does.
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

    /// The device's counters.
    ///
    /// # Errors
    /// [`LinkError::Forgotten`] and whatever the wire does.
    pub fn report(&mut self) -> Result<Counts, LinkError> {
        match self.ask_next(RequestBody::Report)? {
            Reply::Report(counts) => Ok(counts),
            _ => Err(LinkError::Unexpected("a report")),
        }
    }

    fn ask_next(&mut self, body: RequestBody<'_>) -> Result<Reply, LinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        self.ask(body)
    }

    fn ask(&mut self, body: RequestBody<'_>) -> Result<Reply, LinkError> {
        let request = Request {
            session: self.session,
            sequence: self.sequence,
            body,
        };
        let mut memory = vec![0; max_frame_len(MAX_VALUES)];
        let frame = encode(&request, &mut memory);
        for attempt in 0..MAX_ATTEMPTS {
            if attempt > 0 {
                self.counts.repeated += 1;
                // Ends whatever is left of the frame before.
                self.wire.send(&[0]).map_err(LinkError::Wire)?;
            }
            self.wire.send(frame).map_err(LinkError::Wire)?;
            if let Some(answer) = self.wait()? {
                self.counts.answered += 1;
                return Ok(answer);
            }
        }
        Err(LinkError::Silent)
    }

    /// The answer to the present request, or nothing if it has to be sent again.
    fn wait(&mut self) -> Result<Option<Reply>, LinkError> {
        let end = Instant::now() + self.timeout;
        loop {
            let (to, reply) = match self.hear(end)? {
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
                _ if !is_ours => self.counts.stale += 1,
                Reply::Refused(refusal) => return Err(refused(refusal)),
                reply => return Ok(Some(reply)),
            }
        }
    }

    /// The next message, or damage, or nothing before `end`. What lies there already counts however late it is looked at: a
    /// process that did not run for a while has missed nothing.
    fn hear(&mut self, end: Instant) -> Result<Heard, LinkError> {
        let mut buffer = [0; 256];
        let mut is_last_look = false;
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
            if is_last_look {
                return Ok(Heard::Nothing);
            }
            let left = end.saturating_duration_since(Instant::now());
            let n = self.wire.receive(&mut buffer, left);
            let n = n.map_err(LinkError::Wire)?;
            self.pending.extend(&buffer[..n]);
            is_last_look = n == 0 || left.is_zero();
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
        Refusal::Damaged | Refusal::NoValue => LinkError::Unexpected("a request"),
    }
}
