//! Digest of a run: equal on two machines if every bit of the run is.

use crc::{CRC_64_XZ, Crc};

static CRC: Crc<u64> = Crc::<u64>::new(&CRC_64_XZ);

/// CRC-64/XZ of the little-endian bytes of the appended values.
#[derive(Clone)]
pub struct Digest(crc::Digest<'static, u64>);

impl Digest {
    /// Creates the digest of an empty sequence.
    pub fn new() -> Self {
        Self(CRC.digest())
    }

    /// Appends the bits of floats.
    pub fn f64s(&mut self, values: &[f64]) {
        for value in values {
            self.0.update(&value.to_bits().to_le_bytes());
        }
    }

    /// Appends integers.
    pub fn i32s(&mut self, values: &[i32]) {
        for value in values {
            self.0.update(&value.to_le_bytes());
        }
    }

    /// Returns the digest of all values.
    pub fn finish(self) -> u64 {
        self.0.finalize()
    }
}

/// Shows the digest of the values so far.
impl core::fmt::Debug for Digest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Digest({:#018x})", self.clone().finish())
    }
}

impl Default for Digest {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_little_endian_and_the_check_value_is_the_catalogues() {
        // "123456789" is two words and a byte, not a multiple of 4; "12345678" is two words.
        let mut digest = Digest::new();
        digest.i32s(&[i32::from_le_bytes(*b"1234"), i32::from_le_bytes(*b"5678")]);
        assert_eq!(digest.finish(), CRC.checksum(b"12345678"));
        assert_eq!(CRC.checksum(b"123456789"), CRC_64_XZ.check);
    }

    #[test]
    fn a_flipped_sign_of_zero_changes_the_digest() {
        let of = |x: f64| {
            let mut digest = Digest::new();
            digest.f64s(&[x]);
            digest.finish()
        };
        assert_ne!(of(0.0), of(-0.0));
    }
}
