//! Messages of the link. The order of variants and fields defines the wire format.

use super::frame::FrameCounts;
use super::row::{Row, text};
use super::varint::varint;
use serde::{Deserialize, Serialize};

/// Protocol version; [`RequestBody::Hello`] and [`Refusal::WrongVersion`] never change.
pub const VERSION: u16 = 3;
/// Length of a board's name, bytes, padded with zeros.
pub const BOARD_LEN: usize = 16;

/// Message from the host.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request<'a> {
    /// Session identifier, chosen by the host at [`RequestBody::Hello`].
    #[serde(serialize_with = "varint")]
    pub session: u32,
    /// Sequence number in the session, from 0.
    #[serde(serialize_with = "varint")]
    pub sequence: u32,
    /// Content of the request.
    #[serde(borrow)]
    pub body: RequestBody<'a>,
}

/// Content of a request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum RequestBody<'a> {
    /// Opens a session, in any state of the device.
    Hello {
        /// The host's [`VERSION`].
        #[serde(serialize_with = "varint")]
        version: u16,
    },
    /// Begins an episode.
    Begin {
        /// Seed of the policy's noise.
        #[serde(serialize_with = "varint")]
        seed: u64,
    },
    /// Observation of a control tick.
    Observe {
        /// Observation, `[Do]`, in the units that the device describes.
        #[serde(borrow)]
        values: Row<'a>,
    },
    /// Requests the device's counters.
    Report,
    /// Requests the name and unit of a value.
    Describe {
        /// Index among the `Do` values of an observation, then the `Da` values of an action.
        #[serde(serialize_with = "varint")]
        index: u16,
    },
}

/// Message from the device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer<'a> {
    /// Session of the request, 0 if there is none.
    #[serde(serialize_with = "varint")]
    pub session: u32,
    /// Sequence number of the request.
    #[serde(serialize_with = "varint")]
    pub sequence: u32,
    /// Content of the answer.
    #[serde(borrow)]
    pub body: AnswerBody<'a>,
}

/// Content of an answer.
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
        /// `To`: observations per plan.
        #[serde(serialize_with = "varint")]
        n_obs_steps: u16,
        /// `Ta`: actions executed per plan.
        #[serde(serialize_with = "varint")]
        n_action_steps: u16,
        /// Name of the task.
        #[serde(serialize_with = "text", borrow)]
        task: &'a str,
    },
    /// The episode has begun.
    Begun,
    /// Answer to an observation.
    Action {
        /// Action, `[Da]`, in the units that the device describes.
        #[serde(borrow)]
        values: Row<'a>,
        /// Processing time of the device, us.
        #[serde(serialize_with = "varint")]
        device_us: u32,
    },
    /// Counters of the device.
    Report(Counts),
    /// Refusal of the request.
    Refused(Refusal),
    /// Unrequested report; `session` and `sequence` are those of the last answer.
    Event {
        /// Time since the device started, us.
        #[serde(serialize_with = "varint")]
        at_us: u64,
        /// Reported event.
        event: Event,
    },
    /// Name and unit of a value.
    Value {
        /// Name; empty if the model file has none.
        #[serde(serialize_with = "text", borrow)]
        name: &'a str,
        /// Unit; empty for a dimensionless value.
        #[serde(serialize_with = "text", borrow)]
        unit: &'a str,
    },
}

/// Reason for a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// The device has another protocol version than the host.
    WrongVersion {
        /// The device's [`VERSION`].
        #[serde(serialize_with = "varint")]
        version: u16,
    },
    /// Damaged frame: send the request again.
    Damaged,
    /// Unknown session: the device restarted or the session timed out. Send a new hello.
    NoSession,
    /// Neither a repetition of the last request nor the next one.
    OutOfSequence {
        /// Sequence number of the next request.
        #[serde(serialize_with = "varint")]
        expected: u32,
    },
    /// Observation without an episode.
    NoEpisode,
    /// Observation with the wrong length, or with a value that is NaN, infinite or beyond 1e9.
    BadObservation,
    /// Index without a value.
    NoValue,
    /// Another host drives the device; said by what carries the link, not by the device.
    Busy,
}

/// Event that the device reports without a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Event {
    /// The device started.
    Started(Restart),
    /// The host is lost: the session is closed and the policy's hold action is current.
    Holding,
    /// Bytes arrived faster than they were read.
    Overrun {
        /// Bytes lost since the device started.
        #[serde(serialize_with = "varint")]
        bytes: u32,
    },
}

/// Cause of the device's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Restart {
    /// Power-on or the reset pin.
    PowerOrPin,
    /// Watchdog timeout.
    Watchdog,
    /// Panic.
    Panic,
    /// Hard fault.
    HardFault {
        /// Address of the faulting instruction.
        #[serde(serialize_with = "varint")]
        address: u32,
    },
    /// Stack overflow.
    StackOverflow {
        /// Return address of the innermost known call.
        #[serde(serialize_with = "varint")]
        address: u32,
    },
}

/// Counters of the device since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counts {
    /// Frames received.
    pub frames: FrameCounts,
    /// Bytes lost because they arrived faster than they were read.
    #[serde(serialize_with = "varint")]
    pub overrun_bytes: u32,
    /// Requests completed.
    #[serde(serialize_with = "varint")]
    pub done: u32,
    /// Repeated requests, answered again.
    #[serde(serialize_with = "varint")]
    pub repeated: u32,
    /// Requests refused, apart from damaged ones.
    #[serde(serialize_with = "varint")]
    pub refused: u32,
    /// Sessions opened.
    #[serde(serialize_with = "varint")]
    pub sessions: u32,
    /// Sessions closed because the host was lost.
    #[serde(serialize_with = "varint")]
    pub holds: u32,
}
