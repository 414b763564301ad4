//! Serialisation of rows of values and of texts.
//!
//! Lengths and texts are written byte by byte: the optimiser cannot prove that postcard's writer of
//! a length stays within its five bytes.

use super::varint::push_varint;
use serde::ser::{SerializeTuple, Serializer};
use serde::{Deserialize, Deserializer, Serialize};

/// A row of values: its length in bytes, then each `f64` in 8 bytes, little-endian.
#[derive(Clone, Copy, Debug)]
pub enum Row<'a> {
    /// Values to be sent.
    Values(&'a [f64]),
    /// Received bytes of whole values.
    Bytes(&'a [[u8; 8]]),
}

impl Row<'_> {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Bytes(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values.
    pub fn iter(&self) -> impl Iterator<Item = f64> {
        let (values, bytes) = match *self {
            Self::Values(values) => (values, &[][..]),
            Self::Bytes(bytes) => (&[][..], bytes),
        };
        let read = |bytes: &[u8; 8]| f64::from_le_bytes(*bytes);
        values.iter().copied().chain(bytes.iter().map(read))
    }
}

impl PartialEq for Row<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = serializer.serialize_tuple(0)?;
        push_varint(&mut bytes, 8 * self.len() as u64)?;
        for value in self.iter() {
            for byte in value.to_le_bytes() {
                bytes.serialize_element(&byte)?;
            }
        }
        bytes.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Row<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        match bytes.as_chunks() {
            (values, []) => Ok(Self::Bytes(values)),
            _ => Err(serde::de::Error::custom("not a whole number of values")),
        }
    }
}

/// Serialises a text in postcard's format.
pub(super) fn text<S: Serializer>(value: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let mut bytes = serializer.serialize_tuple(0)?;
    push_varint(&mut bytes, value.len() as u64)?;
    for byte in value.bytes() {
        bytes.serialize_element(&byte)?;
    }
    bytes.end()
}
