//! Integers on the wire.

use serde::ser::{SerializeTuple, Serializer};

/// Writes an integer as postcard does, seven bits a byte, the lowest first: the optimiser cannot prove that postcard's own loop stays
/// within its five or ten bytes.
pub(super) fn varint<T: Copy + Into<u64>, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut bytes = serializer.serialize_tuple(0)?;
    push_varint(&mut bytes, (*value).into())?;
    bytes.end()
}

/// The bytes of an integer.
pub(super) fn push_varint<S: SerializeTuple>(bytes: &mut S, value: u64) -> Result<(), S::Error> {
    let mut rest = value;
    while rest > 0x7f {
        bytes.serialize_element(&(rest as u8 | 0x80))?;
        rest >>= 7;
    }
    bytes.serialize_element(&(rest as u8))
}
