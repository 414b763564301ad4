//! Messages of the link. The order of variants and fields defines the wire format.

use super::frame::FrameCounts;
use super::row::{Row, text};
use super::varint::varint;
use crate::quant::Model;
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
    /// Offers a model file to be stored; ends the episode.
    Offer(Offer),
    /// The next bytes of the file.
    Piece {
        /// Place of the first one in the file.
        #[serde(serialize_with = "varint")]
        at: u32,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// Makes the file the one that runs: the device restarts with it.
    Commit,
}

/// A model file that a host wants a device to run, and what its policy needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Offer {
    /// Length of the file, bytes.
    #[serde(serialize_with = "varint")]
    pub len: u32,
    /// [`file_crc32c`](super::file_crc32c) of the file.
    #[serde(serialize_with = "varint")]
    pub crc32c: u32,
    /// Working memory of a plan, bytes.
    #[serde(serialize_with = "varint")]
    pub scratch_bytes: u32,
    /// `Do`.
    #[serde(serialize_with = "varint")]
    pub obs_dim: u16,
    /// `Da`.
    #[serde(serialize_with = "varint")]
    pub action_dim: u16,
    /// `To`.
    #[serde(serialize_with = "varint")]
    pub n_obs_steps: u16,
    /// `Ta`.
    #[serde(serialize_with = "varint")]
    pub n_action_steps: u16,
}

impl Offer {
    /// The offer of a file of `len` bytes, which holds `model`. `crc32c` is its [`file_crc32c`](super::file_crc32c).
    pub fn of(model: &Model<'_>, len: usize, crc32c: u32) -> Self {
        let shape = model.shape();
        let size = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        let bytes = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            len: bytes(len),
            crc32c,
            scratch_bytes: bytes(8 * model.scratch_len()),
            obs_dim: size(shape.obs_dim),
            action_dim: size(shape.action_dim),
            n_obs_steps: size(shape.n_obs_steps),
            n_action_steps: size(shape.n_action_steps),
        }
    }
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
        /// [`file_crc32c`](super::file_crc32c) of the model file.
        #[serde(serialize_with = "varint")]
        model_crc32c: u32,
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
        /// Where the model is from.
        source: Source,
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
    /// The device takes the file that was offered.
    Offered {
        /// Bytes of the file that are there already: an upload that was interrupted goes on.
        #[serde(serialize_with = "varint")]
        at: u32,
        /// Longest piece, bytes; each but the last of the file has this length.
        #[serde(serialize_with = "varint")]
        piece_len: u16,
    },
    /// The piece is stored.
    Stored {
        /// Bytes of the file that are there.
        #[serde(serialize_with = "varint")]
        at: u32,
    },
    /// The file counts; the device restarts.
    Committed,
}

/// Where the model that runs is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Source {
    /// The device's image.
    Image,
    /// A file that a host has sent.
    Slot {
        /// The slot, 0 or 1.
        #[serde(serialize_with = "varint")]
        slot: u16,
        /// Number of the upload.
        #[serde(serialize_with = "varint")]
        generation: u32,
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
    /// The device's image has no place for another model.
    NoStore,
    /// The file is longer than a slot.
    TooLarge {
        /// Bytes of the longest file.
        #[serde(serialize_with = "varint")]
        there: u32,
    },
    /// A plan needs more working memory than the image has.
    NeedsRam {
        /// Bytes that are there.
        #[serde(serialize_with = "varint")]
        there: u32,
    },
    /// A plan has more observations or executed actions than the image has room for.
    NeedsRoom {
        /// Largest `To`.
        #[serde(serialize_with = "varint")]
        n_obs_steps: u16,
        /// Largest `Ta`.
        #[serde(serialize_with = "varint")]
        n_action_steps: u16,
    },
    /// The policy is for another task: it has other numbers of values.
    OtherTask {
        /// `Do` of the image's task.
        #[serde(serialize_with = "varint")]
        obs_dim: u16,
        /// `Da` of the image's task.
        #[serde(serialize_with = "varint")]
        action_dim: u16,
    },
    /// The stored bytes are no model file of a version that the image reads, or not the offered one.
    BadModel,
    /// The flash can't be written.
    StoreFailed,
    /// A piece or a commit without an offer, or a piece out of turn.
    NotOffered,
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
