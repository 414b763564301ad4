//! Reciprocal square root in integers: a table and two Newton steps.

use super::rounding::{product, upper_word};

/// Entries of the table: mantissas in [1, 4), by their leading seven bits. Those below 1 are
/// unused.
const STEPS: usize = 128;

/// `1 / sqrt((i + 1/2) / 32)` in Q31.
pub(crate) static START_Q31: [u32; STEPS] = {
    let mut table = [0; STEPS];
    let mut i = STEPS / 4;
    while i < STEPS {
        // sqrt(2^62 * 64 / (1 + 2 i)), with the root taken 2^14 times as large to keep its bits.
        let square = (1_u128 << 96) / (1 + 2 * i as u128);
        table[i] = (square.isqrt() >> 14) as u32;
        i += 1;
    }
    table
};

/// `1 / sqrt(value)` as `mantissa / 2^exponent`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rsqrt {
    /// 2^30 to 2^31 - 26.
    pub(crate) mantissa: u32,
    /// 31 to 62, or 63 from [`rsqrt_of_sum`].
    pub(crate) exponent: u32,
}

/// `1 / sqrt(value)` to a relative error below 1e-7; `value` is at least 1.
///
/// Newton's step for `y = 1 / sqrt(t)` is `y (3 - t y^2) / 2 = y + y (1 - t y^2) / 2`; it squares
/// the relative error (times 3/2).
#[inline(always)]
pub(crate) fn rsqrt(value: u64) -> Rsqrt {
    // An even shift, so that its square root is exact.
    let shift = value.leading_zeros() & !1;
    let t_q30 = ((value << shift) >> 32) as u32;
    let mut y_q31 = START_Q31[(t_q30 >> 25) as usize];
    for _ in 0..2 {
        let square_q31 = (product(y_q31, y_q31) >> 31) as u32;
        let product_q31 = (product(t_q30, square_q31) >> 30) as u32;
        // Small compared with 2^31, so that it fits a signed word.
        let missing_q31 = (1_u32 << 31).wrapping_sub(product_q31) as i32;
        y_q31 = y_q31.wrapping_add_signed(upper_word(y_q31 as i32, missing_q31, false));
    }
    Rsqrt {
        mantissa: y_q31,
        exponent: 62 - shift / 2,
    }
}

/// [`rsqrt`] of the sum of two values, which may have 65 bits.
pub(crate) fn rsqrt_of_sum(a: u64, b: u64) -> Rsqrt {
    let (value, lost_bits) = match a.checked_add(b) {
        Some(sum) => (sum, 0),
        None => ((a >> 2) + (b >> 2), 2),
    };
    let root = rsqrt(value);
    Rsqrt {
        exponent: root.exponent + lost_bits / 2,
        ..root
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: u64) {
        check_sum(value, 0);
    }

    fn check_sum(a: u64, b: u64) {
        let Rsqrt { mantissa, exponent } = rsqrt_of_sum(a, b);
        let value = u128::from(a) + u128::from(b);
        assert!(
            mantissa < 1 << 31 && (31..=63).contains(&exponent),
            "{value}"
        );
        let got = f64::from(mantissa) * libm::exp2(-f64::from(exponent));
        let relative = got * libm::sqrt(value as f64) - 1.0;
        assert!(relative.abs() < 1e-7, "rsqrt({value}) is off by {relative}");
    }

    #[test]
    fn near_the_root_for_every_magnitude() {
        for value in 1..5000 {
            check(value);
        }
        let mut value = 0x9e37_79b9_7f4a_7c15_u64;
        for shift in 0..200_000 {
            value = value
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            check((value >> (shift % 63)).max(1));
        }
        for (a, b) in [(u64::MAX, 1), (u64::MAX, 1 << 56), (u64::MAX, u64::MAX)] {
            check_sum(a, b);
        }
        // The largest mantissas.
        for more in 0..100_000 {
            check((1 << 62) + (more << 32));
        }
        for bit in 0..64 {
            check(1 << bit);
            check((1 << bit) | ((1 << bit) - 1));
        }
    }
}
