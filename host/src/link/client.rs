//! Asks the device, and asks again until the answer is there.

use super::latency::Latency;
use super::wire::Wire;
use pusht_core::Error;
use pusht_core::control::receding_horizon::Action;
use pusht_core::link::{
    Answer, AnswerBody, Counts, Event, FrameCounts, FrameDecoder, Refusal, Request, RequestBody,
    VERSION, encode,
};
use pusht_core::pusht::observation::STATE_DIM;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

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
    decoder: FrameDecoder,
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
    Answer(Answer),
    Damaged,
    Nothing,
}

impl<W: Wire> Client<W> {
    /// A client that has not said hello. A request is sent again after `timeout` without an answer; `on_event` hears what the device tells.
    pub fn new(wire: W, timeout: Duration, on_event: impl FnMut(DeviceEvent) + 'static) -> Self {
        Self {
            wire,
            timeout,
            decoder: FrameDecoder::new(),
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
            AnswerBody::Hello {
                board, model_crc32, ..
            } => Ok(Hello {
                board: String::from_utf8_lossy(&board)
                    .trim_end_matches('\0')
                    .to_owned(),
                model_crc32,
            }),
            _ => Err(LinkError::Unexpected("hello")),
        }
    }

    /// Begins an episode; `seed` names the policy's noise.
    ///
    /// # Errors
    /// [`LinkError::Forgotten`] and whatever the wire does.
    pub fn begin(&mut self, seed: u64) -> Result<(), LinkError> {
        match self.ask_next(RequestBody::Begin { seed })? {
            AnswerBody::Begun => Ok(()),
            _ => Err(LinkError::Unexpected("the begin of an episode")),
        }
    }

    /// A control tick: the action for a state.
    ///
    /// # Errors
    /// [`LinkError::Forgotten`] and whatever the wire does.
    pub fn observe(&mut self, state: &[f64; STATE_DIM]) -> Result<Action, LinkError> {
        let asked = Instant::now();
        match self.ask_next(RequestBody::Observe { state: *state })? {
            AnswerBody::Action { action, device_us } => {
                let on_device = Duration::from_micros(device_us.into());
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
            AnswerBody::Report(counts) => Ok(counts),
            _ => Err(LinkError::Unexpected("a report")),
        }
    }

    fn ask_next(&mut self, body: RequestBody) -> Result<AnswerBody, LinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        self.ask(body)
    }

    fn ask(&mut self, body: RequestBody) -> Result<AnswerBody, LinkError> {
        let frame = encode(&Request {
            session: self.session,
            sequence: self.sequence,
            body,
        });
        for attempt in 0..MAX_ATTEMPTS {
            if attempt > 0 {
                self.counts.repeated += 1;
                // Ends whatever is left of the frame before.
                self.wire.send(&[0]).map_err(LinkError::Wire)?;
            }
            self.wire.send(&frame).map_err(LinkError::Wire)?;
            if let Some(answer) = self.wait()? {
                self.counts.answered += 1;
                return Ok(answer);
            }
        }
        Err(LinkError::Silent)
    }

    /// The answer to the present request, or nothing if it has to be sent again.
    fn wait(&mut self) -> Result<Option<AnswerBody>, LinkError> {
        let end = Instant::now() + self.timeout;
        loop {
            let answer = match self.hear(end)? {
                Heard::Answer(answer) => answer,
                Heard::Damaged => {
                    self.counts.damaged += 1;
                    return Ok(None);
                }
                Heard::Nothing => {
                    self.counts.timeouts += 1;
                    return Ok(None);
                }
            };
            let is_ours = (answer.session, answer.sequence) == (self.session, self.sequence);
            match answer.body {
                AnswerBody::Event { at_us, event } => (self.on_event)(DeviceEvent { at_us, event }),
                AnswerBody::Refused(Refusal::Damaged) => {
                    self.counts.damaged_there += 1;
                    return Ok(None);
                }
                _ if !is_ours => self.counts.stale += 1,
                AnswerBody::Refused(refusal) => return Err(refused(refusal)),
                body => return Ok(Some(body)),
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
                match self.decoder.push(byte) {
                    Some(Ok(answer)) => return Ok(Heard::Answer(answer)),
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
        Refusal::BadObservation => LinkError::Environment(Error::NonFiniteObservation),
        Refusal::Damaged => LinkError::Unexpected("a request"),
    }
}
