//! What the values of a group share: sums, and from them the reciprocal root of the variance.

use super::kernel::{LEAST_GAMMA_EXPONENT, MAX_KERNEL_GROUP_LEN};
use super::{MAX_EPS, Norm};
use crate::quant::kernels::rounding::product;
use crate::quant::kernels::rsqrt::rsqrt;

/// Sums over the values of a group.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Sums {
    pub(crate) sum: i32,
    /// The sum of squares, 64 bits, lower word first.
    pub(crate) squares: [u32; 2],
}

impl Sums {
    /// Those of the first `size` channels of `x` (`[L][n_channels]`).
    #[cfg_attr(cortex_m_kernels, inline(never))]
    #[cfg_attr(not(cortex_m_kernels), inline(always))]
    pub(crate) fn of(x: &[i16], n_channels: usize, size: usize) -> Self {
        let (mut sum, mut square_sum) = (0_i32, 0_u64);
        let mut rows = x;
        while let Some(row) = rows.get(..size.max(1)) {
            for value in row {
                let value = i32::from(*value);
                sum += value;
                square_sum += square(value);
            }
            rows = rows.get(n_channels.max(1)..).unwrap_or_default();
        }
        Self {
            sum,
            squares: [square_sum as u32, (square_sum >> 32) as u32],
        }
    }
}

/// The square of a 16-bit value. A core with a 64-bit product adds it to a sum in the same
/// instruction.
#[inline(always)]
fn square(value: i32) -> u64 {
    if cfg!(kernels = "armv6m") {
        u64::from((value * value) as u32)
    } else {
        (i64::from(value) * i64::from(value)) as u64
    }
}

/// What a kernel needs to know of a group: `d = n x + minus_sum`, shifted to the left until the
/// upper word of its product with a channel's gain is the normalised value in Q16.
///
/// `n x` and `minus_sum` may leave 32 bits, but their sum, which wraps, does not. As `d^2 <= n V`
/// and `sqrt(V) <= 2^(exponent - 30)`, with the exponent of the reciprocal root, and as the shift
/// is `63 - gamma_exponent - exponent`, the shifted `d` is at most `sqrt(n) 2^(33 -
/// gamma_exponent)`, whatever the values are: [`LEAST_GAMMA_EXPONENT`].
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Scaled {
    pub(crate) n: i32,
    pub(crate) minus_sum: i32,
    /// Mantissa of `1 / sqrt(V)`.
    pub(crate) mantissa: i32,
}

impl Scaled {
    /// For a group of `len` values; nothing if `d` would be shifted to the right.
    #[inline(always)]
    pub(crate) fn of(norm: Norm<'_>, len: usize, sums: Sums) -> Option<Self> {
        let scale = rsqrt(variance(len as u32, sums) + norm.eps());
        let up = 32_u32.checked_sub(norm.shift(scale))?;
        debug_assert!(len <= MAX_KERNEL_GROUP_LEN && norm.gamma_exponent() >= LEAST_GAMMA_EXPONENT);
        Some(Self {
            n: (len as i32) << up,
            minus_sum: sums.sum.wrapping_neg() << up,
            mantissa: scale.mantissa as i32,
        })
    }

    /// The same of groups side by side; whether all of them are there.
    #[inline(always)]
    pub(crate) fn of_all(norm: Norm<'_>, len: usize, sums: &[Sums], places: &mut [Self]) -> bool {
        let mut are_all_there = true;
        for (sums, place) in sums.iter().zip(places) {
            match Self::of(norm, len, *sums) {
                Some(scaled) => *place = scaled,
                None => are_all_there = false,
            }
        }
        are_all_there
    }
}

// Of a kernel's group, `sum x`, `n` times the upper word of `sum x^2`, and the variance with the
// largest `eps` fit what they are computed in.
const _: () = {
    let n = MAX_KERNEL_GROUP_LEN as u64;
    let squares = n << 30;
    assert!(n << 15 < 1 << 31 && n * (squares >> 32) < 1 << 32);
    assert!(n * squares + MAX_EPS < 1 << 63);
};

/// `n sum x^2 - (sum x)^2`: `n^2` times the variance, and not negative, by Cauchy and Schwarz.
#[inline(always)]
fn variance(n: u32, sums: Sums) -> u64 {
    let [low, high] = sums.squares;
    let n_squares = product(n, low) + (u64::from(n * high) << 32);
    n_squares - product(sums.sum.unsigned_abs(), sums.sum.unsigned_abs())
}
