//! Little-endian numbers at any address: the model file needs no alignment.

/// The `i32` at `bytes[at..at + 4]`.
#[inline(always)]
pub(super) fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The `u64` at `bytes[at..at + 8]`.
#[inline(always)]
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let (low, high) = (i32_at(bytes, at) as u32, i32_at(bytes, at + 4) as u32);
    u64::from(low) | u64::from(high) << 32
}

/// The `u16` at `bytes[at..at + 2]`.
#[inline(always)]
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// Element `index` of a table of `i16`.
#[inline(always)]
pub(super) fn i16_of(table: &[u8], index: usize) -> i16 {
    u16_at(table, 2 * index) as i16
}
