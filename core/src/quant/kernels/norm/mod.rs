//! GroupNorm (Wu and He 2018, arXiv 1803.08494), Mish and an epilogue, in integers.
//!
//! With `n` values `x` in a group, `d = n x - sum x` and `V = n sum x^2 - (sum x)^2 + eps'`, the
//! normalised value is `d / sqrt(V)`. Nothing is divided by `n`, and the scale of `x` cancels,
//! except in `eps' = eps (n / scale)^2`, which the model file has.
//!
//! A kernel sums the values of a group, computes from that the factors of its channels, and then
//! its values. [`mod@reference`] does the same one value after the other, and in more bits.

pub(crate) mod activate;
pub(crate) mod epilogue;
pub(crate) mod factors;
pub(crate) mod group;
pub(crate) mod kernel;
pub(crate) mod portable;
pub(crate) mod reference;

pub(crate) use activate::Memory;
pub(crate) use epilogue::{Epilogue, Modulation};

use super::rounding::MAX_SHIFT;
use super::rsqrt::Rsqrt;
use super::{mish, read};
use kernel::{LEAST_GAMMA_EXPONENT, MAX_KERNEL_GROUP_LEN};

/// Most values in a group.
pub const MAX_GROUP_LEN: usize = 1 << 17;
/// Largest `eps'`.
pub const MAX_EPS: u64 = 1 << 56;
/// Most binary places of `gamma`.
pub const MAX_GAMMA_EXPONENT: u32 = 30;
/// Largest mantissa of `gamma`.
pub const MAX_GAMMA: i32 = 0x7fff;

/// Binary places of a channel's gain, `gamma` times the mantissa of `1 / sqrt(V)`, that are rounded
/// away for it to fit 32 bits.
pub(crate) const DROPPED_BITS: u32 = 15;
const _: () = assert!((MAX_GAMMA as u64) << 31 >> DROPPED_BITS < 1 << 31);
// `Norm::shift` for exponents of `1 / sqrt(V)` from 31 to 63: 0 to the largest shift.
const _: () = assert!(31 - DROPPED_BITS == 16);
const _: () = assert!(MAX_GAMMA_EXPONENT + 63 - DROPPED_BITS - 16 == MAX_SHIFT);
// `|d| < 2^16 n`, the factor that `multiply_shift_wide` takes.
const _: () = assert!((MAX_GROUP_LEN as u64) << 16 <= 1 << 34);

/// With so much headroom a normalised value lies within the table of Mish.
const HEADROOM_OF_MISH: u32 = 15 - mish::RANGE.ilog2();

/// A normalisation's parameters in the model file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Norm<'a> {
    /// `gamma` as a mantissa of at most [`MAX_GAMMA`], then `beta` in Q16 (`i32` both), of each
    /// channel.
    pub(crate) parameters: &'a [u8],
    /// Number of groups that the channels form.
    n_groups: u16,
    /// Binary places of `gamma`.
    gamma_exponent: u8,
    /// Whether 32 bits suffice for kernels, and every normalised value lies within the table of
    /// Mish.
    pub(crate) is_for_kernels: bool,
    /// `eps'`, the lower half first.
    pub(crate) eps: [u32; 2],
}

/// `gamma` and `beta` of a channel in the model file.
pub(crate) type Parameters = [u8; Norm::PARAMETERS_SIZE];

impl<'a> Norm<'a> {
    /// Bytes of a channel's parameters in the model file.
    pub(crate) const PARAMETERS_SIZE: usize = 8;

    /// For groups of `group_len` values; nothing if a `gamma` is larger than [`MAX_GAMMA`].
    pub(crate) fn new(
        parameters: &'a [u8],
        n_groups: usize,
        gamma_exponent: u32,
        eps: u64,
        group_len: usize,
    ) -> Option<Self> {
        let mut gammas = parameters
            .chunks_exact(Self::PARAMETERS_SIZE)
            .map(|p| read::i32_at(p, 0));
        let fit = gammas.all(|gamma| gamma.unsigned_abs() <= MAX_GAMMA as u32);
        if !fit {
            return None;
        }
        let headroom = Self::headroom_of(parameters, gamma_exponent, group_len);
        let is_for_kernels = headroom >= HEADROOM_OF_MISH
            && gamma_exponent >= LEAST_GAMMA_EXPONENT
            && group_len <= MAX_KERNEL_GROUP_LEN;
        Some(Self {
            parameters,
            n_groups: u16::try_from(n_groups).ok()?,
            gamma_exponent: u8::try_from(gamma_exponent).ok()?,
            is_for_kernels,
            eps: [eps as u32, (eps >> 32) as u32],
        })
    }

    /// Number of groups that the channels form.
    #[inline(always)]
    pub(crate) fn n_groups(self) -> usize {
        self.n_groups.into()
    }

    /// Binary places of `gamma`.
    #[inline(always)]
    pub(crate) fn gamma_exponent(self) -> u32 {
        self.gamma_exponent.into()
    }

    /// `eps'`.
    #[inline(always)]
    pub(crate) fn eps(self) -> u64 {
        let [low, high] = self.eps;
        u64::from(high) << 32 | u64::from(low)
    }

    /// Binary places of a gain times `d`, beyond those of Q16, with `scale` as `1 / sqrt(V)`.
    #[inline(always)]
    pub(crate) fn shift(self, scale: Rsqrt) -> u32 {
        self.gamma_exponent() + scale.exponent - DROPPED_BITS - 16
    }

    /// Number of channels.
    pub(crate) fn n_channels(self) -> usize {
        self.parameters.len() / Self::PARAMETERS_SIZE
    }

    /// By how many bits a normalised value in Q16 may be shifted to the left without overflow of 32
    /// bits. From the largest one, `|gamma| sqrt(n) + |beta|`, as `|x - mean| <= sqrt((n -
    /// 1) variance)`. `mish` is never below -0.31.
    fn headroom_of(parameters: &[u8], gamma_exponent: u32, group_len: usize) -> u32 {
        const MISH_LEAST_Q16: u64 = 1 << 15;
        let root = (group_len as u64).isqrt() + 1;
        let bounds = parameters.chunks_exact(Self::PARAMETERS_SIZE).map(|p| {
            let (gamma, beta) = (read::i32_at(p, 0), read::i32_at(p, 4));
            let product = ((u64::from(gamma.unsigned_abs()) * root) << 16) >> gamma_exponent;
            // The reciprocal root is off by 1e-7, and two roundings are less than 2.
            product + (product >> 20) + u64::from(beta.unsigned_abs()) + 2
        });
        let bound = bounds.max().unwrap_or_default().max(MISH_LEAST_Q16);
        // Below 2^(31 - headroom).
        bound.leading_zeros().saturating_sub(33)
    }
}

#[cfg(test)]
mod tests;
