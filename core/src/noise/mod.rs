//! Gaussian noise in integer arithmetic: equal bits on every machine.
//!
//! A uniform 32-bit word provides the sign (1 bit) and a tail probability (31 bits). The normal
//! quantile is interpolated linearly between 32 knots per octave of that probability, which
//! preserves the tails (Cheung, Luk et al., "Hardware generation of arbitrary random number
//! distributions from uniform distributions via the inversion method", IEEE TVLSI 2007). Largest
//! value: about 5.4.

mod table;

pub use fixed::types::I8F24;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg32;
use table::TAIL_QUANTILE_Q24;

const OCTAVES: u32 = TAIL_QUANTILE_Q24.len() as u32;
const SEGMENT_BITS: u32 = 5;
const _: () = assert!(TAIL_QUANTILE_Q24[0].len() == (1 << SEGMENT_BITS) + 1);

/// Source of Gaussian noise: a policy's initial samples and the draws of its scheduler.
///
/// Implementations own their state and are seeded by the caller. The integer policy uses the values
/// directly, the float policy converts them to `f32`; both draw in memory order.
pub trait Noise {
    /// Draws the next standard normal value.
    fn next_gaussian(&mut self) -> I8F24;
}

/// Seeded stream of standard normal values (PCG32, inversion). A clone continues the same stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoiseSource {
    uniform: Pcg32,
}

impl NoiseSource {
    /// Creates the stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            uniform: Pcg32::seed_from_u64(seed),
        }
    }

    /// Draws the next uniform word of the same stream.
    #[cfg(feature = "pusht")]
    pub(crate) fn next_word(&mut self) -> u32 {
        self.uniform.next_u32()
    }
}

impl Noise for NoiseSource {
    fn next_gaussian(&mut self) -> I8F24 {
        gaussian_of(self.uniform.next_u32())
    }
}

/// Smallest tail of the last octave: those below it, one word in 2^24, have its values once more.
#[cfg(test)]
const SMALLEST_TAIL: u32 = 1 << (31 - OCTAVES);

/// Normal quantile of a uniform word.
fn gaussian_of(word: u32) -> I8F24 {
    // tail / 2^32 is the tail probability, in (0, 1/2).
    let tail = (word & 0x7fff_ffff) | 1;
    let octave = (tail.leading_zeros() - 1).min(OCTAVES - 1);
    // Without its leading one, the word is the position in the octave, as a fraction of 2^32.
    let place = (u64::from(tail) << (octave + 2)) as u32;
    let segment = (place >> (32 - SEGMENT_BITS)) as usize;
    let fraction_q16 = i64::from((place << SEGMENT_BITS) >> 16);
    let knots = &TAIL_QUANTILE_Q24[octave as usize];
    let (from, to) = (i64::from(knots[segment]), i64::from(knots[segment + 1]));
    let magnitude = (from + (((to - from) * fraction_q16) >> 16)) as i32;
    I8F24::from_bits(if word >> 31 == 0 {
        magnitude
    } else {
        -magnitude
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_normal_distribution() {
        let mut source = NoiseSource::new(7);
        let n = 1_000_000;
        let mut moments = [0.0_f64; 4];
        for _ in 0..n {
            let z = source.next_gaussian().to_num::<f64>();
            for (power, moment) in moments.iter_mut().enumerate() {
                *moment += z.powi(power as i32 + 1) / f64::from(n);
            }
        }
        // Five standard errors of each moment's estimate.
        let expected_and_variance = [(0.0, 1.0), (1.0, 2.0), (0.0, 15.0), (3.0, 96.0)];
        for (moment, (expected, variance)) in moments.iter().zip(expected_and_variance) {
            let bound = 5.0 * f64::sqrt(variance / f64::from(n));
            assert!(
                (moment - expected).abs() < bound,
                "{moment} is not {expected} +- {bound}"
            );
        }
    }

    #[test]
    fn every_word_has_a_value_and_larger_tails_lie_nearer_to_zero() {
        let mut last = gaussian_of(0);
        assert!(last > 5 && last < 6);
        for step in 1..=0xffff_u32 {
            let z = gaussian_of(step << 15);
            assert!(z <= last, "not monotone at {step}");
            last = z;
        }
        assert!(last >= 0 && last < 0.001);
        assert_eq!(gaussian_of(0x8000_1234), -gaussian_of(0x1234));
    }

    #[test]
    #[cfg_attr(debug_assertions, ignore = "every word: `cargo verify release`")]
    fn every_larger_tail_lies_nearer_to_zero() {
        let mut last = I8F24::MAX;
        for word in SMALLEST_TAIL..1 << 31 {
            let z = gaussian_of(word);
            assert!((I8F24::ZERO..=last).contains(&z), "{word}");
            last = z;
        }
        for word in 0..SMALLEST_TAIL {
            assert_eq!(gaussian_of(word), gaussian_of(word + SMALLEST_TAIL));
        }
    }

    #[test]
    fn equal_seeds_give_equal_streams_and_others_do_not() {
        let mut a = NoiseSource::new(1);
        let mut b = a.clone();
        assert_eq!(a.next_gaussian(), b.next_gaussian());
        assert_ne!(a.next_gaussian(), NoiseSource::new(2).next_gaussian());
    }
}
