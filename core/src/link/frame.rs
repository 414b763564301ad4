//! Framing that resynchronises after any damage: COBS with a checksum.
//!
//! COBS (Cheshire and Baker, "Consistent overhead byte stuffing", IEEE/ACM ToN 1999) removes zeros
//! from a frame, so that a zero always marks its end. CRC-32C detects every error of up to five
//! bits in a frame of up to 655 bytes and of up to three in a longer one (Koopman, "32-bit cyclic
//! redundancy codes for Internet applications", DSN 2002), and all others but one in 2^32.

use super::varint::varint;
use cobs::{CobsEncoder, DecodeResult, DecoderState};
use crc::{CRC_32_ISCSI, Crc};
use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

pub(crate) static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
const CRC_LEN: usize = size_of::<u32>();

/// CRC-32C of a model file, which names it on the link. It is not the checksum at the file's end:
/// that one's polynomial gives every whole file the same value.
pub fn file_crc32c(file: &[u8]) -> u32 {
    CRC.checksum(file)
}

/// Longest serialised message without a row of values, bytes.
const MAX_SHORT_PAYLOAD: usize = 88;
/// Largest size of a message with a row, apart from its values, bytes.
const ROW_OVERHEAD: usize = 24;

/// Longest payload with checksum of a message without a row or with a row of `n_values`, bytes.
pub const fn max_message_len(n_values: usize) -> usize {
    let with_row = ROW_OVERHEAD + 8 * n_values;
    let payload = if with_row > MAX_SHORT_PAYLOAD {
        with_row
    } else {
        MAX_SHORT_PAYLOAD
    };
    payload + CRC_LEN
}

/// Longest frame of such a message with its final zero, bytes: COBS adds one byte per 254.
pub const fn max_frame_len(n_values: usize) -> usize {
    let message = max_message_len(n_values);
    message + message / 254 + 2
}

/// Longest frame of a message without a row of values, bytes.
pub const MAX_SHORT_FRAME: usize = max_frame_len(0);

/// Encodes `message` as a frame with its final zero and returns it; `memory` of [`max_frame_len`]
/// is always enough. Returns only the zero, an empty frame, if the frame does not fit, and nothing
/// if `memory` is empty.
pub fn encode<'m>(message: &impl Serialize, memory: &'m mut [u8]) -> &'m [u8] {
    let room = memory.len().saturating_sub(1);
    let framed = Framed {
        crc: CRC.digest(),
        cobs: CobsEncoder::new(memory.get_mut(..room).unwrap_or_default()),
    };
    let len = postcard::serialize_with_flavor(message, framed).unwrap_or(0);
    if let Some(zero) = memory.get_mut(len) {
        *zero = 0;
    }
    memory.get(..=len).unwrap_or_default()
}

/// Serialiser that stuffs a message byte by byte and appends its checksum.
struct Framed<'m> {
    crc: crc::Digest<'static, u32>,
    cobs: CobsEncoder<'m>,
}

impl Flavor for Framed<'_> {
    /// Length of the frame without its final zero.
    type Output = usize;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.crc.update(&[byte]);
        let pushed = self.cobs.push(&[byte]);
        pushed.map_err(|_| postcard::Error::SerializeBufferFull)
    }

    fn finalize(mut self) -> postcard::Result<usize> {
        for byte in self.crc.finalize().to_le_bytes() {
            let pushed = self.cobs.push(&[byte]);
            pushed.map_err(|_| postcard::Error::SerializeBufferFull)?;
        }
        Ok(self.cobs.finalize())
    }
}

/// Reason why the bytes between two zeros are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Damage {
    /// No bytes between two zeros.
    Empty,
    /// Longer than the longest frame.
    TooLong,
    /// Invalid COBS encoding.
    Unstuffing,
    /// Wrong checksum.
    Checksum,
    /// Correct checksum, but not a known message.
    Unknown,
}

/// Counters of received frames by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FrameCounts {
    /// Valid messages.
    #[serde(serialize_with = "varint")]
    pub good: u32,
    /// [`Damage::Empty`].
    #[serde(serialize_with = "varint")]
    pub empty: u32,
    /// [`Damage::TooLong`].
    #[serde(serialize_with = "varint")]
    pub too_long: u32,
    /// [`Damage::Unstuffing`].
    #[serde(serialize_with = "varint")]
    pub unstuffing: u32,
    /// [`Damage::Checksum`].
    #[serde(serialize_with = "varint")]
    pub checksum: u32,
    /// [`Damage::Unknown`].
    #[serde(serialize_with = "varint")]
    pub unknown: u32,
}

impl FrameCounts {
    /// Number of frames that are neither empty nor a valid message.
    pub fn damaged(&self) -> u32 {
        self.too_long + self.unstuffing + self.checksum + self.unknown
    }

    fn count(&mut self, damage: Option<Damage>) {
        let counter = match damage {
            None => &mut self.good,
            Some(Damage::Empty) => &mut self.empty,
            Some(Damage::TooLong) => &mut self.too_long,
            Some(Damage::Unstuffing) => &mut self.unstuffing,
            Some(Damage::Checksum) => &mut self.checksum,
            Some(Damage::Unknown) => &mut self.unknown,
        };
        *counter = counter.wrapping_add(1);
    }
}

/// Decoder from bytes to messages. After any input it is synchronised again at the next zero.
#[derive(Debug)]
pub struct FrameDecoder<M> {
    /// Buffer for the unstuffed frame: room for the longest message with its checksum.
    memory: M,
    /// Number of unstuffed bytes.
    len: usize,
    cobs: DecoderState,
    is_within_frame: bool,
    is_too_long: bool,
    counts: FrameCounts,
}

impl<M: AsRef<[u8]> + AsMut<[u8]>> FrameDecoder<M> {
    /// Creates a synchronised decoder; `memory` has [`max_message_len`] of the longest message.
    pub fn new(memory: M) -> Self {
        Self {
            memory,
            len: 0,
            cobs: DecoderState::Idle,
            is_within_frame: false,
            is_too_long: false,
            counts: FrameCounts::default(),
        }
    }

    /// Counters of frames received so far.
    pub fn counts(&self) -> FrameCounts {
        self.counts
    }

    /// Whether a frame has begun.
    pub fn is_within_frame(&self) -> bool {
        self.is_within_frame
    }

    /// Processes a byte. The zero at the end of a frame returns its message.
    pub fn push<'d, T: Deserialize<'d>>(&'d mut self, byte: u8) -> Option<Result<T, Damage>> {
        if byte != 0 {
            if !self.is_within_frame {
                self.is_within_frame = true;
                self.is_too_long = false;
                self.len = 0;
            }
            if let Ok(DecodeResult::DataContinue(byte)) = self.cobs.feed(byte) {
                self.store(byte);
            }
            return None;
        }
        let was_within_frame = core::mem::take(&mut self.is_within_frame);
        let is_whole = matches!(self.cobs.feed(0), Ok(DecodeResult::DataComplete));
        let message = if !was_within_frame {
            Err(Damage::Empty)
        } else if self.is_too_long {
            Err(Damage::TooLong)
        } else if !is_whole {
            Err(Damage::Unstuffing)
        } else {
            decode(self.memory.as_ref().get(..self.len).unwrap_or_default())
        };
        self.counts.count(message.as_ref().err().copied());
        Some(message)
    }

    fn store(&mut self, byte: u8) {
        match self.memory.as_mut().get_mut(self.len) {
            Some(place) => {
                *place = byte;
                self.len += 1;
            }
            None => self.is_too_long = true,
        }
    }
}

/// Decodes the message in front of its checksum.
fn decode<'d, M: Deserialize<'d>>(checked: &'d [u8]) -> Result<M, Damage> {
    let (payload, crc) = checked
        .split_last_chunk::<CRC_LEN>()
        .ok_or(Damage::Checksum)?;
    if CRC.checksum(payload) != u32::from_le_bytes(*crc) {
        return Err(Damage::Checksum);
    }
    match postcard::take_from_bytes(payload) {
        Ok((message, [])) => Ok(message),
        Ok(_) | Err(_) => Err(Damage::Unknown),
    }
}
