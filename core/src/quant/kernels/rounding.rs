//! All rounding and saturation of the integer policy.

use super::read;

/// `value / 2^shift`, rounded to nearest, halves towards plus infinity.
///
/// `shift` is 0 to 62 and `|value| <= 2^62`, so that nothing overflows.
#[inline(always)]
pub fn rounding_shift_right(value: i64, shift: u32) -> i64 {
    debug_assert!(shift <= MAX_SHIFT && value.unsigned_abs() <= 1 << 62);
    (value + ((1 << shift) >> 1)) >> shift
}

/// [`rounding_shift_right`] in 32 bits: `shift` is 0 to 30 and `|value| <= 2^30`.
#[inline(always)]
pub fn rounding_shift_right_i32(value: i32, shift: u32) -> i32 {
    debug_assert!(shift <= 30 && value.unsigned_abs() <= 1 << 30);
    (value + ((1 << shift) >> 1)) >> shift
}

/// `a * b / 2^shift`, rounded as by [`rounding_shift_right`] and saturated.
///
/// For shifts of at least 33, the half to round by is a multiple of 2^32, so that the product's
/// upper word is enough, which a 32-bit core computes in one instruction.
#[inline(always)]
pub fn multiply_shift(a: i32, b: i32, shift: u32) -> i32 {
    let product = i64::from(a) * i64::from(b);
    if shift > 32 {
        rounding_shift_right_i32((product >> 32) as i32, shift - 32)
    } else {
        saturate_i32(rounding_shift_right(product, shift))
    }
}

/// [`multiply_shift`] of a factor `|a| <= 2^34`, for `shift` 16 to 62.
///
/// The product of the lower 16 bits of `a`, with the half to round by, is shifted by 16 first.
#[inline(never)]
pub(crate) fn multiply_shift_wide(a: i64, b: i32, shift: u32) -> i32 {
    debug_assert!((16..=MAX_SHIFT).contains(&shift) && a.unsigned_abs() <= 1 << 34);
    let upper = i64::from((a >> 16) as i32) * i64::from(b);
    let lower = i64::from((a & 0xffff) as i32) * i64::from(b);
    saturate_i32((upper + ((lower + ((1 << shift) >> 1)) >> 16)) >> (shift - 16))
}

/// `saturate_i16(rounding_shift_right(value, shift))` in 32 bits, for `shift` 0 to 16.
///
/// A sum that would overflow 32 bits saturates: shifted by at most 16, it is beyond 16 bits anyway.
#[inline(always)]
pub fn round_to_i16(value: i32, shift: u32) -> i16 {
    debug_assert!(shift <= 16);
    let rounded = value.saturating_add((1 << shift) >> 1) >> shift;
    rounded.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// `a b`, in 64 bits.
#[cfg(not(kernels = "armv6m"))]
#[inline(always)]
pub(crate) fn product(a: u32, b: u32) -> u64 {
    u64::from(a) * u64::from(b)
}

#[cfg(kernels = "armv6m")]
pub(crate) use product_by_halves as product;

/// [`product`] of a core that multiplies to 32 bits (Cortex-M0).
#[cfg(any(test, kernels = "armv6m"))]
#[inline(always)]
pub(crate) fn product_by_halves(a: u32, b: u32) -> u64 {
    let (a_high, a_low) = (a >> 16, a & 0xffff);
    let (b_high, b_low) = (b >> 16, b & 0xffff);
    let lowest = a_low * b_low;
    let middle = a_high * b_low + (lowest >> 16);
    let other_middle = a_low * b_high + (middle & 0xffff);
    let upper = a_high * b_high + (middle >> 16) + (other_middle >> 16);
    u64::from(upper) << 32 | u64::from(other_middle << 16 | lowest & 0xffff)
}

/// `a b / 2^32`, rounded to nearest or, without `is_rounded`, down.
#[cfg(not(kernels = "armv6m"))]
#[inline(always)]
pub(crate) fn upper_word(a: i32, b: i32, is_rounded: bool) -> i32 {
    let half = i64::from(is_rounded) << 31;
    ((i64::from(a) * i64::from(b) + half) >> 32) as i32
}

#[cfg(kernels = "armv6m")]
pub(crate) use upper_word_by_halves as upper_word;

/// [`upper_word`] of a core that multiplies to 32 bits (Cortex-M0): from four products, with `a`
/// and `b` as `2^16 high + low`.
#[cfg(any(test, kernels = "armv6m"))]
#[inline(always)]
pub(crate) fn upper_word_by_halves(a: i32, b: i32, is_rounded: bool) -> i32 {
    let (a_high, a_low) = (a >> 16, a & 0xffff);
    let (b_high, b_low) = (b >> 16, b & 0xffff);
    let lowest = (a_low as u32 * b_low as u32) >> 16;
    let middle = a_high * b_low + lowest as i32;
    let other_middle = a_low * b_high + (middle & 0xffff);
    let carry = ((other_middle >> 15) + i32::from(is_rounded)) >> 1;
    a_high * b_high + (middle >> 16) + carry
}

/// Largest shift of [`rounding_shift_right`].
pub const MAX_SHIFT: u32 = 62;

/// The nearest `i16`.
#[inline(always)]
pub fn saturate_i16(value: i64) -> i16 {
    value.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16
}

/// The nearest `i32`.
#[inline(always)]
pub fn saturate_i32(value: i64) -> i32 {
    value.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

/// A non-negative factor, `multiplier / 2^shift`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Factor {
    /// Numerator.
    pub multiplier: i32,
    /// Binary places, 0 to [`MAX_SHIFT`].
    pub shift: u32,
}

impl Factor {
    /// Bytes of a factor in the model file.
    pub(crate) const SIZE: usize = 8;

    /// Reads the factor at `bytes[at..]`.
    #[inline(always)]
    pub(crate) fn read(bytes: &[u8], at: usize) -> Self {
        Self {
            multiplier: read::i32_at(bytes, at),
            shift: read::i32_at(bytes, at + 4) as u32,
        }
    }

    /// Whether [`apply`](Self::apply) may be called.
    pub(crate) fn is_valid(self) -> bool {
        self.multiplier >= 0 && self.shift <= MAX_SHIFT
    }

    /// `value` times this factor, rounded once and saturated.
    #[inline(always)]
    pub fn apply(self, value: i32) -> i32 {
        multiply_shift(value, self.multiplier, self.shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_up_on_both_sides_of_zero() {
        let rounded = [-6, -5, -3, -2, -1, 0, 1, 2, 3, 5, 6].map(|v| rounding_shift_right(v, 2));
        assert_eq!(rounded, [-1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 2]);
        assert_eq!(rounding_shift_right(-7, 0), -7);
        assert_eq!(rounding_shift_right(1 << 62, 62), 1);
        assert_eq!(rounding_shift_right(-(1 << 62), 62), -1);
    }

    #[test]
    fn the_upper_word_rounds_as_the_whole_product() {
        let values = [
            i32::MIN,
            -65_537,
            -3,
            -1,
            0,
            1,
            2,
            40_000,
            1 << 30,
            i32::MAX,
        ];
        for (a, b) in values.into_iter().flat_map(|a| values.map(|b| (a, b))) {
            for shift in 0..=MAX_SHIFT {
                let product = i64::from(a) * i64::from(b);
                let expected = saturate_i32(rounding_shift_right(product, shift));
                assert_eq!(multiply_shift(a, b, shift), expected, "{a} {b} {shift}");
                if shift >= 16 {
                    let wide = [i64::from(a), i64::from(a) << 2, 5 - (i64::from(a) << 2)];
                    for a in wide {
                        let half = i128::from((1_u64 << shift) >> 1);
                        let product = (i128::from(a) * i128::from(b) + half) >> shift;
                        let expected = product.clamp(i32::MIN.into(), i32::MAX.into());
                        let got = multiply_shift_wide(a, b, shift);
                        assert_eq!(i128::from(got), expected, "{a} {b} {shift}");
                    }
                }
            }
        }
    }

    #[test]
    fn thirty_two_bits_round_to_sixteen_as_sixty_four_do() {
        let ends = [i32::MIN, -1, 0, 1, i32::MAX].into_iter();
        let values = ends.flat_map(|end| {
            (-70_000..70_000)
                .step_by(97)
                .map(move |d| i64::from(end) + d)
        });
        for value in values.filter_map(|v| i32::try_from(v).ok()) {
            for shift in 0..=16 {
                let expected = saturate_i16(rounding_shift_right(i64::from(value), shift));
                assert_eq!(round_to_i16(value, shift), expected, "{value} {shift}");
                // A sum that has saturated on the way.
                for other in [i32::MIN, -40_000, 40_000, i32::MAX] {
                    let sum = i64::from(value) + i64::from(other);
                    let expected = saturate_i16(rounding_shift_right(sum, shift));
                    let got = round_to_i16(value.saturating_add(other), shift);
                    assert_eq!(got, expected, "{value} + {other}, {shift}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_becomes_the_nearest_that_does() {
        assert_eq!(saturate_i16(40_000), i16::MAX);
        assert_eq!(saturate_i16(-40_000), i16::MIN);
        let double = Factor {
            multiplier: 1 << 30,
            shift: 29,
        };
        assert_eq!(double.apply(i32::MAX), i32::MAX);
        assert_eq!(double.apply(-3), -6);
    }

    #[test]
    fn halves_make_the_same_products() {
        let ends = [i32::MIN, -1 << 16, -1, 0, 1, 0xffff, 1 << 16, i32::MAX];
        let around = ends.map(|end| [-1, 0, 1, 0x7fff, 0x8000].map(|d| end.wrapping_add(d)));
        let values = around.as_flattened();
        for (a, b) in values
            .iter()
            .flat_map(|a| values.iter().map(move |b| (*a, *b)))
        {
            for is_rounded in [false, true] {
                let expected = upper_word(a, b, is_rounded);
                let (a_bits, b_bits) = (a as u32, b as u32);
                let whole = product(a_bits, b_bits);
                assert_eq!(product_by_halves(a_bits, b_bits), whole, "{a} {b}");
                assert_eq!(upper_word_by_halves(a, b, is_rounded), expected, "{a} {b}");
            }
        }
    }
}
