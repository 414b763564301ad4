//! Correctly rounded natural logarithm.
//!
//! NumPy uses glibc's, which returns the nearest double for all but about one argument in a
//! thousand. The `libm` crate's does not for one in ten, which changes the last digit of some start
//! angles. It is therefore computed here in double-double arithmetic (Dekker, "A floating-point
//! technique for extending the available precision", 1971).

use core::f64::consts::{FRAC_1_SQRT_2, LN_2};
use libm::fma;

/// ln 2 minus its nearest double.
const LN_2_REST: f64 = 2.319_046_813_846_299_6e-17;
/// Terms of the series in [`ln`]: the first one left out is below 2^-70 of the sum.
const TERMS: u32 = 14;

/// Double-double number: the sum of two doubles that do not overlap.
#[derive(Clone, Copy)]
struct DoubleDouble {
    high: f64,
    low: f64,
}

impl DoubleDouble {
    fn sum(a: f64, b: f64) -> Self {
        let high = a + b;
        let b_seen = high - a;
        Self {
            high,
            low: (a - (high - b_seen)) + (b - b_seen),
        }
    }

    fn product(a: f64, b: f64) -> Self {
        let high = a * b;
        Self {
            high,
            low: fma(a, b, -high),
        }
    }

    fn quotient(a: f64, b: Self) -> Self {
        let high = a / b.high;
        let rest = fma(-high, b.high, a) - high * b.low;
        Self::sum(high, rest / b.high)
    }

    fn plus(self, other: Self) -> Self {
        let sum = Self::sum(self.high, other.high);
        Self::sum(sum.high, sum.low + (self.low + other.low))
    }

    fn times(self, other: Self) -> Self {
        let product = Self::product(self.high, other.high);
        let cross = self.high * other.low + self.low * other.high;
        Self::sum(product.high, product.low + cross)
    }
}

/// ln x of a positive normal number x = 2^k m with m near 1:
/// `ln x = k ln 2 + 2 (s + s^3/3 + s^5/5 + ..)`, `s = (m - 1) / (m + 1)`.
pub(super) fn ln(x: f64) -> f64 {
    let (mut m, mut k) = libm::frexp(x);
    if m < FRAC_1_SQRT_2 {
        (m, k) = (2.0 * m, k - 1);
    }
    let s = DoubleDouble::quotient(m - 1.0, DoubleDouble::sum(m, 1.0));
    let s_squared = s.times(s);
    let reciprocal = |n: u32| DoubleDouble::quotient(1.0, DoubleDouble::sum(f64::from(n), 0.0));
    let series = (0..TERMS).rev().fold(reciprocal(2 * TERMS + 1), |sum, i| {
        sum.times(s_squared).plus(reciprocal(2 * i + 1))
    });
    let k = f64::from(k);
    let ln_m = s.times(series);
    let ln_2_k = DoubleDouble::product(k, LN_2).plus(DoubleDouble::product(k, LN_2_REST));
    let ln_x = ln_2_k.plus(DoubleDouble::sum(2.0 * ln_m.high, 2.0 * ln_m.low));
    ln_x.high + ln_x.low
}

#[cfg(test)]
mod tests {
    use super::ln;

    #[test]
    fn logarithms_are_the_nearest_doubles() {
        // From mpmath 1.3.0 with 200 bits.
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(ln(0.5), -core::f64::consts::LN_2);
        assert_eq!(ln(0.1), -2.302_585_092_994_045_5);
        assert_eq!(ln(0.999_999), -1.000_000_500_029_089e-6);
        assert_eq!(ln(1e-30), -69.077_552_789_821_37);
    }
}
