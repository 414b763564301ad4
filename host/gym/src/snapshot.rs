//! Exact snapshots of environments as bytes, contact caches and random generators included.
//!
//! ```text
//!  "PTSN" | version (u16) | payload (postcard) | CRC-32 of all before it (u32)
//! ```
//! Numbers are little-endian. The payload's layout is that of the types in memory, so a version
//! reads its own snapshots only.

use crc::{CRC_32_ISO_HDLC, Crc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

const MAGIC: [u8; 4] = *b"PTSN";
/// Changes with every change of what [`encode`] is given.
const VERSION: u16 = 1;
const CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Why bytes are not a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SnapshotError {
    /// They do not begin as a snapshot, or end too early.
    NotASnapshot,
    /// They are a snapshot of this other version.
    Version(u16),
    /// Their checksum is wrong.
    Damaged,
    /// They are a snapshot of something else.
    OtherContent,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotASnapshot => write!(f, "not a snapshot"),
            Self::Version(version) => {
                write!(
                    f,
                    "a snapshot of version {version}, only {VERSION} is supported"
                )
            }
            Self::Damaged => write!(f, "a damaged snapshot: its checksum is wrong"),
            Self::OtherContent => write!(f, "a snapshot of something else"),
        }
    }
}

impl std::error::Error for SnapshotError {}

/// The bytes of a value.
///
/// # Errors
/// If the value's `Serialize` fails; those of this crate do not.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, postcard::Error> {
    let mut bytes = [MAGIC.as_slice(), &VERSION.to_le_bytes()].concat();
    bytes.extend(postcard::to_allocvec(value)?);
    let checksum = CHECKSUM.checksum(&bytes);
    bytes.extend(checksum.to_le_bytes());
    Ok(bytes)
}

/// The value of these bytes.
///
/// # Errors
/// A [`SnapshotError`] if [`encode`] of this version and of a value of this type did not write
/// them.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, SnapshotError> {
    let (content, checksum) = bytes
        .split_last_chunk()
        .ok_or(SnapshotError::NotASnapshot)?;
    let rest = content
        .strip_prefix(&MAGIC)
        .ok_or(SnapshotError::NotASnapshot)?;
    let (version, payload) = rest
        .split_first_chunk()
        .ok_or(SnapshotError::NotASnapshot)?;
    let version = u16::from_le_bytes(*version);
    if version != VERSION {
        return Err(SnapshotError::Version(version));
    }
    if CHECKSUM.checksum(content) != u32::from_le_bytes(*checksum) {
        return Err(SnapshotError::Damaged);
    }
    match postcard::take_from_bytes(payload) {
        Ok((value, [])) => Ok(value),
        _ => Err(SnapshotError::OtherContent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchOptions, EnvState, PushTBatch};
    use crate::vector::Seed;

    /// A batch in the middle of its episodes, some of them in contact.
    fn batch() -> PushTBatch {
        let mut batch = PushTBatch::new(8, BatchOptions::default()).unwrap();
        batch.reset(&Seed::Int(3)).unwrap();
        for step in 0..40 {
            batch.step(&[f64::from(step) * 12.0; 16]).unwrap();
        }
        batch
    }

    #[test]
    fn a_decoded_environment_continues_bit_for_bit() {
        let (mut batch, mut copy) = (
            batch(),
            PushTBatch::new(8, BatchOptions::default()).unwrap(),
        );
        for index in 0..8 {
            let bytes = encode(&batch.state(index)).unwrap();
            copy.set_state(index, decode(&bytes).unwrap());
        }
        for step in 0..400 {
            let actions = [f64::from(step * 37 % 512); 16];
            let of = |batch: &mut PushTBatch| {
                let step = batch.step(&actions).unwrap();
                let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                (bits(step.observations), bits(step.rewards))
            };
            assert_eq!(of(&mut batch), of(&mut copy), "step {step}");
        }
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let bytes = encode(&batch().state(0)).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert!(decode::<EnvState>(&damaged).is_err(), "byte {at}");
            assert!(decode::<EnvState>(&bytes[..at]).is_err(), "{at} bytes");
        }
        let other = decode::<Vec<String>>(&encode(&batch().state(0)).unwrap());
        assert_eq!(other.unwrap_err(), SnapshotError::OtherContent);
    }
}
