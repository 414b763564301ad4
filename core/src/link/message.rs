//! What the two ends say to each other. The order of the variants and of the fields is the wire format.

use super::frame::FrameCounts;
use super::row::{Row, text};
use super::varint::varint;
use serde::{Deserialize, Serialize};

/// Version of everything here but [`RequestBody::Hello`] and [`Refusal::WrongVersion`], which never change.
pub const VERSION: u16 = 2;
/// Bytes of a board's name, padded with zeros.
pub const BOARD_LEN: usize = 16;

/// From the host.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request<'a> {
    /// Chosen by the host when it says hello; it tells this conversation from an earlier one.
    #[serde(serialize_with = "varint")]
    pub session: u32,
    /// Number of the request in its session, from 0; the next one is larger by 1.
    #[serde(serialize_with = "varint")]
    pub sequence: u32,
    /// What is asked.
    #[serde(borrow)]
    pub body: RequestBody<'a>,
}

/// What the host asks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum RequestBody<'a> {
    /// Opens a session, whatever the device was doing.
    Hello {
        /// The host's [`VERSION`].
        #[serde(serialize_with = "varint")]
        version: u16,
    },
    /// Begins an episode.
    Begin {
        /// Names the policy's noise.
        #[serde(serialize_with = "varint")]
        seed: u64,
    },
    /// A control tick.
    Observe {
        /// `Do` values, in the units that the device describes.
        #[serde(borrow)]
        values: Row<'a>,
    },
    /// Asks for the device's counters.
    Report,
    /// Asks for the name and unit of a value.
    Describe {
        /// The `Do` values of an observation, then the `Da` values of an action.
        #[serde(serialize_with = "varint")]
        index: u16,
    },
}

/// From the device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer<'a> {
    /// The session of the request, 0 if there is none.
    #[serde(serialize_with = "varint")]
    pub session: u32,
    /// The number of the request.
    #[serde(serialize_with = "varint")]
    pub sequence: u32,
    /// What is answered.
    #[serde(borrow)]
    pub body: AnswerBody<'a>,
}

/// What the device answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum AnswerBody<'a> {
    /// The session is open.
    Hello {
        /// The device's [`VERSION`], equal to the host's.
        #[serde(serialize_with = "varint")]
        version: u16,
        /// The board's name.
        board: [u8; BOARD_LEN],
        /// CRC-32/ISO-HDLC of the whole model file.
        #[serde(serialize_with = "varint")]
        model_crc32: u32,
        /// `Do`: values of an observation.
        #[serde(serialize_with = "varint")]
        obs_dim: u16,
        /// `Da`: values of an action.
        #[serde(serialize_with = "varint")]
        action_dim: u16,
        /// `To`: observations that a plan looks at.
        #[serde(serialize_with = "varint")]
        n_obs_steps: u16,
        /// `Ta`: actions of a plan that are executed.
        #[serde(serialize_with = "varint")]
        n_action_steps: u16,
        /// Name of the task.
        #[serde(serialize_with = "text", borrow)]
        task: &'a str,
    },
    /// The episode has begun.
    Begun,
    /// The answer to an observation.
    Action {
        /// `Da` values, in the units that the device describes.
        #[serde(borrow)]
        values: Row<'a>,
        /// Time that the device took for it, us.
        #[serde(serialize_with = "varint")]
        device_us: u32,
    },
    /// The counters.
    Report(Counts),
    /// The request was not done.
    Refused(Refusal),
    /// Nobody asked: something that the device has to tell, `session` and `sequence` as in the answer before.
    Event {
        /// Since the device started, us.
        #[serde(serialize_with = "varint")]
        at_us: u64,
        /// What happened.
        event: Event,
    },
    /// Name and unit of a value.
    Value {
        /// Name; empty if the model file has none.
        #[serde(serialize_with = "text", borrow)]
        name: &'a str,
        /// Unit; empty for a number without one.
        #[serde(serialize_with = "text", borrow)]
        unit: &'a str,
    },
}

/// Why a request was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The host speaks another version than this, the device's.
    WrongVersion {
        /// The device's [`VERSION`].
        #[serde(serialize_with = "varint")]
        version: u16,
    },
    /// What came was no request: say it again.
    Damaged,
    /// No such session: the device has started anew, or gave up waiting. Say hello.
    NoSession,
    /// Neither the last request again nor the one after it.
    OutOfSequence {
        /// The number of the next request.
        #[serde(serialize_with = "varint")]
        expected: u32,
    },
    /// An observation before an episode.
    NoEpisode,
    /// An observation of another size than the device says, or with a value that is not finite.
    BadObservation,
    /// No value has this index.
    NoValue,
}

/// What the device tells unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// It has started.
    Started(Restart),
    /// The host fell silent: the session is closed, and the policy's hold is the action.
    Holding,
    /// Bytes came faster than they were taken.
    Overrun {
        /// Bytes lost since the device started.
        #[serde(serialize_with = "varint")]
        bytes: u32,
    },
}

/// Why a device started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Restart {
    /// Power, or somebody pressed the button.
    PowerOrPin,
    /// The watchdog found it hanging.
    Watchdog,
    /// It panicked.
    Panic,
    /// A hard fault.
    HardFault {
        /// Address of the instruction.
        #[serde(serialize_with = "varint")]
        address: u32,
    },
    /// The stack was full.
    StackOverflow {
        /// Where its innermost call that is known returns to.
        #[serde(serialize_with = "varint")]
        address: u32,
    },
}

/// What the device counts, since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counts {
    /// Frames received.
    pub frames: FrameCounts,
    /// Bytes lost because they came faster than they were taken.
    #[serde(serialize_with = "varint")]
    pub overrun_bytes: u32,
    /// Requests done.
    #[serde(serialize_with = "varint")]
    pub done: u32,
    /// Requests that came again and were answered again.
    #[serde(serialize_with = "varint")]
    pub repeated: u32,
    /// Requests refused, damaged ones not counted.
    #[serde(serialize_with = "varint")]
    pub refused: u32,
    /// Sessions opened.
    #[serde(serialize_with = "varint")]
    pub sessions: u32,
    /// Sessions closed because the host fell silent.
    #[serde(serialize_with = "varint")]
    pub holds: u32,
}
