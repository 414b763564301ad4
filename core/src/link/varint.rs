//! Integers on the wire.

use serde::ser::{SerializeTuple, Serializer};

/// Writes an integer as postcard does, seven bits a byte, the lowest first: the optimiser cannot prove that postcard's own loop stays
/// within its five or ten bytes.
pub(super) fn varint<T: Copy + Into<u64>, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    const MAX_LEN: usize = 10;
    let mut bytes = serializer.serialize_tuple(MAX_LEN)?;
    let mut rest: u64 = (*value).into();
    while rest > 0x7f {
        bytes.serialize_element(&(rest as u8 | 0x80))?;
        rest >>= 7;
    }
    bytes.serialize_element(&(rest as u8))?;
    bytes.end()
}
