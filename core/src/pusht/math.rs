//! The operations whose last digit can differ between machines, in one place.
//!
//! By default they come from the `libm` crate, so that every target computes the same bits. The feature
//! `platform-math` takes the platform's instead, as pymunk and NumPy do.

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

/// The smaller value; `b` if they can't be compared (`f64::min` differs on NaN and is slower).
#[inline]
pub(crate) fn min(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

/// The larger value; `b` if they can't be compared.
#[inline]
pub(crate) fn max(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

/// `x` in [0, 1].
#[inline]
pub(crate) fn clamp01(x: f64) -> f64 {
    max(0.0, min(x, 1.0))
}

/// The smallest positive normal number: added to a length, it keeps a division finite and changes nothing else.
pub(crate) const TINY: f64 = f64::MIN_POSITIVE;
