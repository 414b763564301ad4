//! GroupNorm (Wu and He 2018, arXiv 1803.08494), Mish, and what follows them, in integers.
//!
//! With `n` values `x` in a group, `d = n x - sum x` and `V = n sum x^2 - (sum x)^2 + eps'`, the normalised
//! value is `d / sqrt(V)`: the mean and the variance are never divided, and the scale of `x` cancels except in
//! `eps' = eps (n / scale)^2`, which the model file gives.
//!
//! A group is looked at once for its sums; then its channels' factors are worked out, and its values go through a kernel.
//! [`whole`] is the definition; what a kernel has no room for goes through it.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod finish;
mod kernel;
#[cfg(mve)]
mod mve;
#[cfg(any(mve, smlad))]
mod routines;
#[cfg(smlad)]
mod smlad;
mod whole;

#[cfg(target_arch = "x86_64")]
use avx2 as tuned;
#[cfg(not(any(mve, smlad, target_arch = "x86_64")))]
use kernel as tuned;
#[cfg(mve)]
use mve as assembled;
#[cfg(any(mve, smlad))]
use routines as tuned;
#[cfg(smlad)]
use smlad as assembled;

pub(super) use finish::{Finish, Modulation};

use super::mish;
use super::rounding::rounding_shift_right;
use super::rsqrt::{Rsqrt, rsqrt};
use super::{read, slices};
use kernel::Channel;

/// Most values in a group; with them no sum below leaves its type.
pub const MAX_GROUP_LEN: usize = 1 << 12;
/// Largest `eps'`.
pub const MAX_EPS: u64 = 1 << 56;
/// Most binary places of `gamma`.
pub const MAX_GAMMA_EXPONENT: u32 = 30;
/// Largest mantissa of `gamma`.
pub const MAX_GAMMA: i32 = 0x7fff;

// |d| <= 2^28, V <= 2^54 + MAX_EPS, |gain| <= 2^31, so |d * gain| <= 2^59.
const _: () = assert!(MAX_GROUP_LEN * (1 << 16) == 1 << 28);

/// Most channels whose factors are worked out at once.
const MOST_AT_ONCE: usize = 16;
/// With so much headroom a normalised value lies within the table of Mish.
const HEADROOM_OF_MISH: u32 = 15 - mish::RANGE.ilog2();

/// A normalisation's parameters in the model file: `gamma` and `beta` (`i32`) of each channel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Norm<'a> {
    /// `gamma` as mantissa, at most [`MAX_GAMMA`]; `beta` in Q16.
    pub(super) parameters: &'a [u8],
    /// Groups that the channels form.
    pub(super) n_groups: usize,
    /// Binary places of `gamma`.
    pub(super) gamma_exponent: u32,
    /// `eps'` above.
    pub(super) eps: u64,
    /// A normalised value in Q16 fits 32 bits shifted to the left by so much.
    pub(super) headroom: u32,
}

/// A group's channels, or as large a part of them as there is room for.
fn at_once(group_size: usize) -> usize {
    let mut size = group_size.max(1);
    while size > MOST_AT_ONCE && size.is_multiple_of(2) {
        size /= 2;
    }
    size
}

/// `gamma` and `beta` of a channel in the model file.
type Parameters = [u8; Norm::PARAMETERS_SIZE];

impl<'a> Norm<'a> {
    /// Bytes of a channel's parameters in the model file.
    pub(super) const PARAMETERS_SIZE: usize = 8;

    /// For groups of `group_len` values; nothing if a `gamma` is larger than [`MAX_GAMMA`].
    pub(super) fn new(
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
        fit.then(|| Self {
            parameters,
            n_groups,
            gamma_exponent,
            eps,
            headroom: Self::headroom_of(parameters, gamma_exponent, group_len),
        })
    }

    /// `out = finish(mish(gamma[c] * (x - mean) / sqrt(variance + eps) + beta[c]), out)` for all of `x` and `out` (`[L][C]`).
    #[inline(never)]
    pub(super) fn activate(self, x: &[i16], out: &mut [i16], finish: &Finish<'_>) {
        let n_channels = self.n_channels();
        let group_size = n_channels / self.n_groups.max(1);
        let n_at_once = at_once(group_size);
        let is_for_kernel = self.headroom >= HEADROOM_OF_MISH && n_at_once <= MOST_AT_ONCE;
        let (Some(last), true) = (finish.last(), is_for_kernel) else {
            return self.activate_reference(x, out, finish);
        };
        let mut kernel = tuned::Kernel::new(x, out, n_channels, last);
        let mut channels = [Channel::default(); MOST_AT_ONCE];
        let channels = slices::part_mut(&mut channels, 0, n_at_once);
        let mut film = finish.shares(n_at_once);
        let mut group = Group::default();
        let (mut first, mut next_group) = (0, 0);
        for parameters in slices::rows(self.parameters.as_chunks().0, n_at_once) {
            if first == next_group {
                next_group += group_size;
                let len = kernel.n_positions() * group_size;
                group = Group::of(self, len, kernel.sums(first, group_size));
            }
            for (channel, parameters) in channels.iter_mut().zip(parameters) {
                (channel.gain, channel.beta_q16) =
                    gain_and_beta(parameters, group.scale.mantissa as i32);
            }
            if let Some(film) = &mut film {
                film.write_next(channels);
            }
            match group.scaled() {
                Some(scaled) => kernel.activate(first, channels, scaled),
                None => {
                    let (x, out) = kernel.tensors();
                    whole::activate(&group, self, first, parameters, x, out, finish);
                }
            }
            first += n_at_once;
        }
    }

    /// The same by the definition.
    pub(super) fn activate_reference(self, x: &[i16], out: &mut [i16], finish: &Finish<'_>) {
        let n_channels = self.n_channels();
        let size = n_channels / self.n_groups.max(1);
        let groups = slices::rows(self.parameters.as_chunks().0, size);
        for (index, parameters) in groups.enumerate() {
            let first = index * size;
            let sums = kernel::sums(slices::from(x, first), n_channels, size);
            let len = x.len() / n_channels.max(1) * size;
            let group = Group::of(self, len, sums);
            whole::activate(&group, self, first, parameters, x, out, finish);
        }
    }

    fn n_channels(self) -> usize {
        self.parameters.len() / Self::PARAMETERS_SIZE
    }

    /// How far a normalised value in Q16 may be shifted to the left in 32 bits: as `|x - mean| <= sqrt((n - 1) variance)`, it is
    /// at most `|gamma| sqrt(n) + |beta|`; and `mish` is never below -0.31.
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

/// What all values of a group share.
#[derive(Default)]
struct Group {
    n: i32,
    sum: i32,
    /// `1 / sqrt(V)`.
    scale: Rsqrt,
    /// Binary places of a channel's gain times `d`, less the 16 that are wanted.
    shift: u32,
}

/// A group's `n` and sum, shifted to the left until the product of `d` with a gain is 2^32 times a Q16 number.
#[derive(Clone, Copy)]
struct Scaled {
    n: i32,
    sum: i32,
}

/// A gain's binary places that are rounded away, so that it fits 32 bits: `MAX_GAMMA * 2^31 / 2^15` does.
const DROPPED_BITS: u32 = 15;

/// `gamma / sqrt(V)`, for a product with `d`, and `beta` in Q16.
#[inline(always)]
fn gain_and_beta(parameters: &Parameters, mantissa: impl Into<i64>) -> (i32, i32) {
    let (gamma, beta_q16) = (read::i32_at(parameters, 0), read::i32_at(parameters, 4));
    let gain = i64::from(gamma) * mantissa.into();
    (rounding_shift_right(gain, DROPPED_BITS) as i32, beta_q16)
}

impl Group {
    /// Of `len` values with this sum, and that of their squares.
    #[inline(always)]
    fn of(norm: Norm<'_>, len: usize, (sum, square_sum): (i32, u64)) -> Self {
        let n = len as u32;
        // Not negative, by Cauchy and Schwarz.
        let variance = u64::from(n) * square_sum - u64::from(sum.unsigned_abs()).pow(2);
        let scale = rsqrt(variance + norm.eps);
        Self {
            n: n as i32,
            sum,
            scale,
            shift: norm.gamma_exponent + scale.exponent - DROPPED_BITS - 16,
        }
    }

    /// Nothing if `d` has no room for it, or the mantissa takes the sign's place.
    #[inline(always)]
    fn scaled(&self) -> Option<Scaled> {
        // |d| < 2^16 n.
        const LARGEST_N: i32 = 1 << 15;
        let up = 32_u32.checked_sub(self.shift)?;
        let has_room =
            up <= 15 && self.n << up <= LARGEST_N && self.scale.mantissa <= i32::MAX as u32;
        has_room.then(|| Scaled {
            n: self.n << up,
            sum: self.sum << up,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::vec;
    use std::vec::Vec;

    const EPS: f64 = 1e-5;

    fn mish(x: f64) -> f64 {
        x * libm::tanh(libm::log1p(libm::exp(x)))
    }

    /// The activations in Q16: what 16 bits lose of them first, is found by taking it away from them.
    fn activations_q16(norm: Norm<'_>, x: &[i16]) -> Vec<i32> {
        const DOWN: u32 = 10;
        let mut high = vec![0; x.len()];
        let finish = Finish::Add { up: 0, down: DOWN };
        norm.activate(x, &mut high, &finish);
        let mut low: Vec<i16> = high.iter().map(|value| -value).collect();
        let finish = Finish::Add { up: DOWN, down: 0 };
        norm.activate(x, &mut low, &finish);
        let both = high.iter().zip(low);
        both.map(|(high, low)| (i32::from(*high) << DOWN) + i32::from(low))
            .collect()
    }

    /// Largest error of the integer layer against f64, for `x / 2^exponent` in `[L][C]` and 2 groups of 4 channels.
    fn largest_error(x: &[i16], exponent: u32, gamma: f64, beta: f64) -> f64 {
        let n = x.len() / 2;
        let parameters: Vec<u8> = (0..8)
            .flat_map(|_| [(gamma * 4096.0) as i32, (beta * 65536.0) as i32])
            .flat_map(i32::to_le_bytes)
            .collect();
        let eps = (EPS * libm::exp2(2.0 * f64::from(exponent)) * (n * n) as f64) as u64;
        let norm = Norm::new(&parameters, 2, 12, eps, n).unwrap();
        let got = activations_q16(norm, x);
        let mut largest = 0.0_f64;
        for group in 0..2 {
            let of_group = |i: &usize| i % 8 / 4 == group;
            let value = |i: usize| f64::from(x[i]) * libm::exp2(-f64::from(exponent));
            let members: Vec<usize> = (0..x.len()).filter(of_group).collect();
            let mean = members.iter().map(|i| value(*i)).sum::<f64>() / n as f64;
            let variance = members
                .iter()
                .map(|i| (value(*i) - mean).powi(2))
                .sum::<f64>()
                / n as f64;
            for i in members {
                let expected = mish(gamma * (value(i) - mean) / libm::sqrt(variance + EPS) + beta);
                largest = largest.max((f64::from(got[i]) / 65536.0 - expected).abs());
            }
        }
        largest
    }

    #[test]
    fn agrees_with_the_formula() {
        let wave = |scale: f64| -> Vec<i16> {
            (0..8 * 16)
                .map(|i| (scale * libm::sin(f64::from(i * i))) as i16)
                .collect()
        };
        for (scale, exponent) in [(32_000.0, 12), (300.0, 10), (20.0, 10), (0.0, 8)] {
            for (gamma, beta) in [(1.0, 0.0), (-2.5, 1.5), (0.125, -3.0)] {
                let error = largest_error(&wave(scale), exponent, gamma, beta);
                assert!(
                    error < 3e-4,
                    "scale {scale}, gamma {gamma}, beta {beta}: off by {error}"
                );
            }
        }
    }

    #[test]
    fn the_largest_group_of_extremes_does_not_overflow() {
        let mut x = vec![i16::MIN; 2 * MAX_GROUP_LEN];
        assert!(largest_error(&x, 0, 7.0, 0.0) < 3e-4);
        x[1] = i16::MAX;
        // The odd one out is sqrt(n - 1) deviations away, and 7 times 64 is still far from the end of Q16.
        assert!(largest_error(&x, 0, 7.0, 0.0) < 2e-3);
    }
}
