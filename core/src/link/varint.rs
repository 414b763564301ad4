//! Serialisation of integers.

use serde::ser::{SerializeTuple, Serializer};

/// Serialises an integer in postcard's format, seven bits per byte, lowest first. The optimiser
/// cannot prove that postcard's own loop stays within its five or ten bytes.
pub(super) fn varint<T: Copy + Into<u64>, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut bytes = serializer.serialize_tuple(0)?;
    push_varint(&mut bytes, (*value).into())?;
    bytes.end()
}

/// Appends the bytes of an integer.
pub(super) fn push_varint<S: SerializeTuple>(bytes: &mut S, value: u64) -> Result<(), S::Error> {
    let mut rest = value;
    while rest > 0x7f {
        bytes.serialize_element(&(rest as u8 | 0x80))?;
        rest >>= 7;
    }
    bytes.serialize_element(&(rest as u8))
}
