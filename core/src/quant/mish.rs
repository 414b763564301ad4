//! `mish(x) = x tanh(ln(1 + e^x))` (Misra 2019, arXiv 1908.08681) by table, linear between its knots.

mod table;

use table::RESIDUE_Q16;

/// Below this, `mish` is 0 to within 1e-4; from [`END`] on it is `x` to within 1e-6.
const START: i32 = -12;
const END: i32 = 8;
/// log2 of the distance of two knots.
const STEP_LOG2: i32 = -5;
/// Binary places of a knot's distance in Q16.
pub(super) const FRACTION_BITS: u32 = (16 + STEP_LOG2) as u32;
const _: () = assert!(RESIDUE_Q16.len() == ((END - START) << -STEP_LOG2) as usize + 1);

/// [`SEGMENTS`] is for `x` from minus this to below it.
pub(super) const RANGE: i32 = 16;
/// log2 of the number of segments.
pub(super) const INDEX_BITS: u32 = 10;
const N_SEGMENTS: usize = 1 << INDEX_BITS;
const _: () = assert!(N_SEGMENTS == ((2 * RANGE) << -STEP_LOG2) as usize);

/// What lies between two knots: `mish(x) - max(x, 0)` at the first in the upper half, how much more it is at the second in the
/// lower one. A segment's index is the lower [`INDEX_BITS`] of `x / 2^FRACTION_BITS`, so that those of negative `x` come last.
pub(super) static SEGMENTS: [u32; N_SEGMENTS] = {
    let mut segments = [0; N_SEGMENTS];
    let mut knot = 0;
    while knot + 1 < RESIDUE_Q16.len() {
        let (from, to) = (RESIDUE_Q16[knot], RESIDUE_Q16[knot + 1]);
        let index = (knot as i32 + (START << -STEP_LOG2)) as usize % N_SEGMENTS;
        segments[index] = (from as u16 as u32) << 16 | (to - from) as u16 as u32;
        knot += 1;
    }
    segments
};

/// `mish` of a Q16 number, in Q16. Off by at most 1.2e-4 (tested over every input).
///
/// The table holds `mish(x) - max(x, 0)`, which lies in (-0.31, 0] and so fits 16 bits.
#[inline(always)]
pub fn mish_q16(x_q16: i32) -> i32 {
    if !(-RANGE << 16..RANGE << 16).contains(&x_q16) {
        return x_q16.max(0);
    }
    mish_in_range(x_q16, 0)
}

/// [`mish_q16`] of a number within [`RANGE`], plus `more`, which is not negative and below 2^18.
#[inline(always)]
pub(super) fn mish_in_range(x_q16: i32, more: i32) -> i32 {
    let fraction = x_q16 & ((1 << FRACTION_BITS) - 1);
    let segment = SEGMENTS[(x_q16 >> FRACTION_BITS) as usize % N_SEGMENTS];
    let product = i32::from(segment as i16) * fraction + rounding(more);
    x_q16.max(0) + (segment as i32 >> 16) + (product >> FRACTION_BITS)
}

/// What is added before the product is shifted: half a unit, so that it is rounded, and what `more` is there.
#[inline(always)]
pub(super) const fn rounding(more: i32) -> i32 {
    (1 << FRACTION_BITS >> 1) + (more << FRACTION_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mish(x: f64) -> f64 {
        x * libm::tanh(libm::log1p(libm::exp(x)))
    }

    #[test]
    fn every_knot_is_the_nearest_to_the_formula() {
        for (knot, residue) in RESIDUE_Q16.iter().enumerate() {
            let x = f64::from(START) + knot as f64 / 32.0;
            let expected = libm::round((mish(x) - x.max(0.0)) * 65536.0);
            assert_eq!(f64::from(*residue), expected, "knot {knot}");
        }
    }

    #[test]
    fn the_error_is_small_everywhere() {
        for x_q16 in (-20 << 16..20 << 16).step_by(7).chain([i32::MIN, i32::MAX]) {
            let x = f64::from(x_q16) / 65536.0;
            let error = f64::from(mish_q16(x_q16)) / 65536.0 - mish(x);
            assert!(error.abs() < 1.2e-4, "mish({x}) is off by {error}");
        }
    }

    #[test]
    fn what_is_added_is_added() {
        for x_q16 in (-16 << 16..16 << 16).step_by(7) {
            for more in [0, 1, 8, 32_768] {
                assert_eq!(mish_in_range(x_q16, more), mish_q16(x_q16) + more);
            }
        }
    }

    #[test]
    fn far_from_zero_it_is_zero_or_the_number_itself() {
        for distance in [8 << 16, 13 << 16, (16 << 16) - 1, 16 << 16, i32::MAX] {
            assert_eq!(mish_q16(distance), distance);
        }
        for x_q16 in [(-12 << 16) - 1, -16 << 16, (-16 << 16) - 1, i32::MIN] {
            assert_eq!(mish_q16(x_q16), 0);
        }
    }
}
