//! Functions whose last digit can differ between machines.
//!
//! By default they come from the `libm` crate, so that every target computes the same bits. The
//! feature `platform-math` selects the platform's, as pymunk and NumPy use them.

#[cfg(feature = "platform-math")]
#[expect(
    clippy::disallowed_methods,
    reason = "the platform's functions are what the feature asks for"
)]
mod imp {
    pub(crate) fn sin_cos(x: f64) -> (f64, f64) {
        (x.sin(), x.cos())
    }
    pub(crate) fn sqrt(x: f64) -> f64 {
        x.sqrt()
    }
    pub(crate) fn pow(x: f64, y: f64) -> f64 {
        x.powf(y)
    }
}

#[cfg(not(feature = "platform-math"))]
mod imp {
    pub(crate) use libm::{pow, sincos as sin_cos, sqrt};
}

pub(crate) use imp::{pow, sin_cos, sqrt};

/// The smaller value; `b` if either is NaN (`f64::min` treats NaN differently and is slower).
#[inline]
pub(crate) fn min(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

/// The larger value; `b` if either is NaN.
#[inline]
pub(crate) fn max(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

/// `x` clamped to [0, 1].
#[inline]
pub(crate) fn clamp01(x: f64) -> f64 {
    max(0.0, min(x, 1.0))
}

/// Smallest positive normal number. Added to a divisor, it prevents a division by 0 and otherwise
/// changes nothing (Chipmunk's `CPFLOAT_MIN`).
pub(crate) const TINY: f64 = f64::MIN_POSITIVE;
