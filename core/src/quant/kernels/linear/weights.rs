//! Weights in the model file, of 8 bits or of 4.
//!
//! A weight of 4 bits is the upper half of an int8 whose lower half is zero: `n` from -8 to 7 stands
//! for the weight `16 n`. Sums, biases, factors and the bound of the sums are then those of int8
//! weights.

use super::LANES;

/// Bits of a product's weights in the model file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WeightBits {
    /// A weight is 16 times a number from -8 to 7. A byte has two.
    Four,
    /// A weight is a number from -128 to 127, a byte.
    #[default]
    Eight,
}

impl WeightBits {
    /// Bits of a weight.
    pub const fn bits(self) -> u8 {
        match self {
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// Bytes of `n_weights` weights, a multiple of [`LANES`].
    pub const fn size(self, n_weights: usize) -> usize {
        match self {
            Self::Four => n_weights / 2,
            Self::Eight => n_weights,
        }
    }

    /// Weights of `bits` bits; `None` if there are none.
    pub(crate) fn of(bits: u8) -> Option<Self> {
        [Self::Four, Self::Eight]
            .into_iter()
            .find(|each| each.bits() == bits)
    }
}

/// Eight weights, bytes of int8 in the file's order: see [`PACKING`](super::PACKING).
pub(crate) type Lanes = [u8; LANES];

/// The weights in `bytes`, one per byte.
#[inline(always)]
pub(crate) fn of_8_bits(bytes: &[u8]) -> impl Iterator<Item = Lanes> {
    bytes.as_chunks::<LANES>().0.iter().copied()
}

/// The weights in `bytes`, two per byte.
#[inline(always)]
pub(crate) fn of_4_bits(bytes: &[u8]) -> impl Iterator<Item = Lanes> {
    let chunks = bytes.as_chunks::<{ LANES / 2 }>().0.iter();
    chunks.map(|chunk| widened(*chunk))
}

/// Eight weights of 4 bits as int8: first those in the lower halves of the bytes.
#[inline(always)]
pub(crate) fn widened(chunk: [u8; LANES / 2]) -> Lanes {
    const UPPER_HALVES: u32 = 0xf0f0_f0f0;
    let both = u32::from_le_bytes(chunk);
    let first = u64::from(both << 4 & UPPER_HALVES);
    let second = u64::from(both & UPPER_HALVES);
    (first | second << 32).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_of_a_byte_is_a_sixteenth_of_its_weight() {
        let chunk = [0x8f_u8, 0x10, 0x7e, 0xf0];
        let expected = [-16, 0, -32, 0, -128, 16, 112, -16];
        assert_eq!(widened(chunk).map(|byte| byte as i8), expected);
        let lanes: [Lanes; 1] = core::array::from_fn(|_| of_4_bits(&chunk).next().unwrap());
        assert_eq!(lanes[0], widened(chunk));
        assert_eq!(of_8_bits(&widened(chunk)).next(), Some(widened(chunk)));
    }

    #[test]
    fn there_are_weights_of_4_and_of_8_bits() {
        for bits in 0..=u8::MAX {
            let weights = WeightBits::of(bits);
            assert_eq!(weights.is_some(), bits == 4 || bits == 8, "{bits}");
            assert_eq!(weights.map_or(bits, WeightBits::bits), bits);
            let size = weights.map_or(3 * usize::from(bits), |weights| weights.size(24));
            assert_eq!(size, 3 * usize::from(bits), "{bits}");
        }
    }
}
