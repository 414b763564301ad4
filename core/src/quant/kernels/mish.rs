//! `mish(x) = x tanh(ln(1 + e^x))` (Misra 2019, arXiv 1908.08681) by table, linear between its
//! knots.

mod table;

use table::RESIDUE_Q16;

/// Below this, `mish` is 0 to within 1e-4; from [`END`] on it is `x` to within 1e-6.
const START: i32 = -12;
const END: i32 = 8;
/// log2 of the distance of two knots.
const STEP_LOG2: i32 = -5;
/// Binary places of a knot's distance in Q16.
pub(crate) const FRACTION_BITS: u32 = (16 + STEP_LOG2) as u32;
const _: () = assert!(RESIDUE_Q16.len() == ((END - START) << -STEP_LOG2) as usize + 1);

/// [`SEGMENTS`] covers `x` from minus this to below it.
pub(crate) const RANGE: i32 = 16;
/// log2 of the number of segments.
pub(crate) const INDEX_BITS: u32 = 10;
const N_SEGMENTS: usize = 1 << INDEX_BITS;
const _: () = assert!(N_SEGMENTS == ((2 * RANGE) << -STEP_LOG2) as usize);

/// Between two knots `mish(x)` is `slope x / 2^FRACTION_BITS`, rounded, and `at_zero`. A segment's
/// index is the lower [`INDEX_BITS`] of `x / 2^FRACTION_BITS`, so that those of negative `x` come
/// last. Beyond the knots `mish` is 0 or the number itself.
const fn segment(index: i32) -> (i16, i16) {
    let knot = index - (START << -STEP_LOG2);
    let is_between_knots = knot >= 0 && knot + 1 < RESIDUE_Q16.len() as i32;
    let (from, more) = if is_between_knots {
        let from = RESIDUE_Q16[knot as usize] as i32;
        (from, RESIDUE_Q16[knot as usize + 1] as i32 - from)
    } else {
        (0, 0)
    };
    // The table has `mish(x) - max(x, 0)`.
    let slope = more + if index < 0 { 0 } else { 1 << FRACTION_BITS };
    let at_zero = from - more * index;
    assert!(slope == slope as i16 as i32 && at_zero == at_zero as i16 as i32);
    (slope as i16, at_zero as i16)
}

/// A segment for ARMv7E-M: two words, which one `LDRD` loads for one `MLA`.
#[cfg(kernels = "armv7em")]
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(crate) struct Segment {
    slope: i32,
    /// `at_zero` and the half to round by, times `2^FRACTION_BITS`.
    offset: i32,
}

/// A segment: the slope in the lower half, `at_zero` in the upper one.
#[cfg(not(kernels = "armv7em"))]
pub(crate) type Segment = u32;

#[cfg(kernels = "armv7em")]
const fn entry(index: i32) -> Segment {
    let (slope, at_zero) = segment(index);
    Segment {
        slope: slope as i32,
        offset: ((at_zero as i32) << FRACTION_BITS) + (1 << FRACTION_BITS >> 1),
    }
}

#[cfg(not(kernels = "armv7em"))]
const fn entry(index: i32) -> Segment {
    let (slope, at_zero) = segment(index);
    (at_zero as u16 as u32) << 16 | slope as u16 as u32
}

/// All segments, by index.
pub(crate) static SEGMENTS: [Segment; N_SEGMENTS] = {
    let mut segments = [entry(N_SEGMENTS as i32); N_SEGMENTS];
    let mut index = -(N_SEGMENTS as i32) / 2;
    while index < N_SEGMENTS as i32 / 2 {
        segments[index as usize % N_SEGMENTS] = entry(index);
        index += 1;
    }
    segments
};

/// `mish` of a Q16 number, in Q16. Off by at most 1.2e-4 (tested over every input, in release builds).
///
/// The table holds `mish(x) - max(x, 0)`, which lies in (-0.31, 0] and so fits 16 bits.
#[inline(always)]
pub fn mish_q16(x_q16: i32) -> i32 {
    if !(-RANGE << 16..RANGE << 16).contains(&x_q16) {
        return x_q16.max(0);
    }
    mish_in_range(x_q16)
}

/// [`mish_q16`] of a number within [`RANGE`].
#[inline(always)]
pub(crate) fn mish_in_range(x_q16: i32) -> i32 {
    line(
        SEGMENTS[(x_q16 >> FRACTION_BITS) as usize % N_SEGMENTS],
        x_q16,
    )
}

#[cfg(kernels = "armv7em")]
#[inline(always)]
fn line(segment: Segment, x_q16: i32) -> i32 {
    segment
        .slope
        .wrapping_mul(x_q16)
        .wrapping_add(segment.offset)
        >> FRACTION_BITS
}

#[cfg(not(kernels = "armv7em"))]
#[inline(always)]
fn line(segment: Segment, x_q16: i32) -> i32 {
    // The slope is at most 1.1, `x` at most 16.
    let product = i32::from(segment as i16).wrapping_mul(x_q16);
    let rounded = product.wrapping_add(1 << FRACTION_BITS >> 1) >> FRACTION_BITS;
    rounded + (segment as i32 >> 16)
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
        let step = if cfg!(debug_assertions) { 7 } else { 1 };
        for x_q16 in (-20 << 16..20 << 16)
            .step_by(step)
            .chain([i32::MIN, i32::MAX])
        {
            let x = f64::from(x_q16) / 65536.0;
            let error = f64::from(mish_q16(x_q16)) / 65536.0 - mish(x);
            assert!(error.abs() < 1.2e-4, "mish({x}) is off by {error}");
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
