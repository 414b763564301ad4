//! A message as bytes that find themselves again after any damage: COBS frames with a checksum.
//!
//! COBS (Cheshire and Baker, "Consistent overhead byte stuffing", IEEE/ACM ToN 1999) leaves no zero in a frame, so that a zero always
//! ends one. CRC-32C finds every error of up to five bits in a frame this short (Koopman, "32-bit cyclic redundancy codes for
//! Internet applications", DSN 2002), and all others but one in 2^32.

use super::varint::varint;
use cobs::{DecodeResult, DecoderState};
use crc::{CRC_32_ISCSI, Crc};
use heapless::Vec;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
const CRC_LEN: usize = size_of::<u32>();

/// Longest message, serialised.
const MAX_PAYLOAD: usize = 80;
/// Longest frame, its closing zero included: COBS adds one byte in 254.
pub const MAX_FRAME: usize = MAX_PAYLOAD + CRC_LEN + 2;
const _: () = assert!(MAX_PAYLOAD + CRC_LEN < 254);

/// Writes `message` as a frame with its closing zero.
///
/// Every message of this protocol fits; one that doesn't gives an empty frame.
pub fn encode(message: &impl Serialize) -> Vec<u8, MAX_FRAME> {
    let mut payload = [0; MAX_PAYLOAD];
    let payload = postcard::to_slice(message, &mut payload).unwrap_or_default();
    let mut checked = Vec::<u8, { MAX_PAYLOAD + CRC_LEN }>::new();
    let (mut stuffed, mut frame) = ([0; MAX_FRAME - 1], Vec::new());
    // All are long enough, by the constants.
    let _ = checked.extend_from_slice(payload);
    let _ = checked.extend_from_slice(&CRC.checksum(payload).to_le_bytes());
    if let Ok(len) = cobs::try_encode(&checked, &mut stuffed) {
        let _ = frame.extend_from_slice(stuffed.get(..len).unwrap_or_default());
    }
    let _ = frame.push(0);
    frame
}

/// Why the bytes between two zeros are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Damage {
    /// Nothing between two zeros.
    Empty,
    /// Longer than any frame.
    TooLong,
    /// Not COBS.
    Unstuffing,
    /// The checksum is another.
    Checksum,
    /// The checksum is right, the message unknown.
    Unknown,
}

/// Frames received, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FrameCounts {
    /// Messages.
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
    /// Frames that were something else than a message or nothing.
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

/// Takes bytes as they come and gives back messages. Whatever came before, it is in step again after the next zero.
#[derive(Clone, Debug, Default)]
pub struct FrameDecoder {
    frame: Vec<u8, MAX_FRAME>,
    too_long: bool,
    counts: FrameCounts,
}

impl FrameDecoder {
    /// In step, nothing received.
    pub const fn new() -> Self {
        Self {
            frame: Vec::new(),
            too_long: false,
            counts: FrameCounts {
                good: 0,
                empty: 0,
                too_long: 0,
                unstuffing: 0,
                checksum: 0,
                unknown: 0,
            },
        }
    }

    /// What was received so far.
    pub fn counts(&self) -> FrameCounts {
        self.counts
    }

    /// Whether a frame has begun.
    pub fn is_within_frame(&self) -> bool {
        self.too_long || !self.frame.is_empty()
    }

    /// Takes a byte. The zero that ends a frame gives what is in it.
    pub fn push<M: DeserializeOwned>(&mut self, byte: u8) -> Option<Result<M, Damage>> {
        if byte != 0 {
            self.too_long |= self.frame.push(byte).is_err();
            return None;
        }
        let result = if self.too_long {
            Err(Damage::TooLong)
        } else {
            decode(&self.frame)
        };
        self.frame.clear();
        self.too_long = false;
        self.counts.count(result.as_ref().err().copied());
        Some(result)
    }
}

/// What is in a frame, its closing zero left out.
fn decode<M: DeserializeOwned>(frame: &[u8]) -> Result<M, Damage> {
    if frame.is_empty() {
        return Err(Damage::Empty);
    }
    let checked = unstuff(frame).ok_or(Damage::Unstuffing)?;
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

/// What COBS has stuffed: byte by byte, since the optimiser cannot prove that `cobs::decode_in_place` stays within the frame.
pub(super) fn unstuff(frame: &[u8]) -> Option<Vec<u8, MAX_FRAME>> {
    let mut bytes = Vec::new();
    let mut state = DecoderState::Idle;
    for byte in frame.iter().chain(&[0]) {
        match state.feed(*byte).ok()? {
            DecodeResult::NoData => {}
            DecodeResult::DataContinue(byte) => bytes.push(byte).ok()?,
            DecodeResult::DataComplete => return Some(bytes),
        }
    }
    None
}
