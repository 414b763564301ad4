//! Little-endian numbers at any address: the model file needs no alignment.

/// The bytes `bytes[at..at + N]`, which the caller has checked to be there; else zeros.
#[inline(always)]
fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk);
    debug_assert!(bytes.is_some(), "{N} bytes at {at}");
    bytes.copied().unwrap_or([0; N])
}

/// The `i32` at `bytes[at..at + 4]`.
#[inline(always)]
pub(crate) fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_le_bytes(bytes_at(bytes, at))
}

/// The `u64` at `bytes[at..at + 8]`.
#[inline(always)]
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes_at(bytes, at))
}
