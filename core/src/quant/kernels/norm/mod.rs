//! GroupNorm (Wu and He 2018, arXiv 1803.08494), Mish, and what follows them, in integers.
//!
//! With `n` values `x` in a group, `d = n x - sum x` and `V = n sum x^2 - (sum x)^2 + eps'`, the normalised
//! value is `d / sqrt(V)`: the mean and the variance are never divided, and the scale of `x` cancels except in
//! `eps' = eps (n / scale)^2`, which the model file gives.
//!
//! A group is looked at once for its sums; then its channels' factors are worked out, and its values go through a kernel.
//! [`whole`] is the definition; what a kernel has no room for goes through it.

pub(crate) mod factors;
pub(crate) mod finish;
pub(crate) mod kernel;
#[cfg(any(armv6m, mve, smlad))]
pub(crate) mod routines;
mod whole;

#[cfg(armv6m)]
use crate::quant::arch::armv6m::norm as assembled;
#[cfg(smlad)]
use crate::quant::arch::armv7em::norm as assembled;
#[cfg(mve)]
use crate::quant::arch::armv81m::norm as assembled;
#[cfg(target_arch = "x86_64")]
use crate::quant::arch::x86_64::norm as tuned;
#[cfg(not(any(armv6m, mve, smlad, target_arch = "x86_64")))]
use kernel as tuned;
#[cfg(any(armv6m, mve, smlad))]
use routines as tuned;

pub(crate) use finish::{Finish, Modulation};

use super::mish;
use super::panel::{Panel, view};
use super::rounding::{product, rounding_shift_right};
use super::rsqrt::{Rsqrt, rsqrt};
use super::{read, slices};
use factors::{Factors, Scaled};
use kernel::{Channel, Sums};

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

/// Most channels and groups whose factors are worked out at once.
pub(crate) const MOST_CHANNELS: usize = 64;
const MOST_GROUPS: usize = 8;

/// Where factors are worked out: a [`Panel`], cut up.
pub(crate) struct Memory<'p> {
    channels: &'p mut [Channel],
    groups: &'p mut [Scaled],
    sums: &'p mut [Sums],
}

impl<'p> Memory<'p> {
    const CHANNELS_LEN: usize = MOST_CHANNELS * size_of::<Channel>() / size_of::<u64>();
    const GROUPS_LEN: usize = MOST_GROUPS * size_of::<Scaled>() / size_of::<u64>();
    const SUMS_LEN: usize = MOST_GROUPS * size_of::<Sums>() / size_of::<u64>();
    /// Words of a panel that it needs.
    pub(crate) const LEN: usize = Self::CHANNELS_LEN + Self::GROUPS_LEN + Self::SUMS_LEN;

    /// Nothing if the panel is shorter than [`LEN`](Self::LEN).
    #[inline(always)]
    fn of(panel: &'p mut Panel) -> Option<Self> {
        let (channels, rest) = panel.split_at_mut_checked(Self::CHANNELS_LEN)?;
        let (groups, rest) = rest.split_at_mut_checked(Self::GROUPS_LEN)?;
        let (sums, _) = rest.split_at_mut_checked(Self::SUMS_LEN)?;
        Some(Self {
            channels: view(channels),
            groups: view(groups),
            sums: view(sums),
        })
    }
}

/// With so much headroom a normalised value lies within the table of Mish.
const HEADROOM_OF_MISH: u32 = 15 - mish::RANGE.ilog2();

/// A normalisation's parameters in the model file: `gamma` and `beta` (`i32`) of each channel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Norm<'a> {
    /// `gamma` as mantissa, at most [`MAX_GAMMA`]; `beta` in Q16.
    pub(crate) parameters: &'a [u8],
    /// Groups that the channels form.
    pub(crate) n_groups: usize,
    /// Binary places of `gamma`.
    pub(crate) gamma_exponent: u32,
    /// `eps'` above.
    pub(crate) eps: u64,
    /// A normalised value in Q16 fits 32 bits shifted to the left by so much.
    pub(crate) headroom: u32,
}

/// How many groups, and how many of their channels, are worked out at once: several groups, or a part of one.
#[inline(always)]
fn at_once(group_size: usize) -> (usize, usize) {
    let group_size = group_size.max(1);
    let n_groups = (MOST_CHANNELS / group_size).clamp(1, MOST_GROUPS);
    let mut n_channels = n_groups * group_size;
    while n_channels > MOST_CHANNELS && n_channels.is_multiple_of(2) {
        n_channels /= 2;
    }
    (n_groups, n_channels)
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
    pub(crate) fn activate(
        self,
        x: &[i16],
        out: &mut [i16],
        finish: &Finish<'_>,
        panel: &mut Panel,
    ) {
        let n_channels = self.n_channels();
        let group_size = n_channels / self.n_groups.max(1);
        let (n_groups, n_at_once) = at_once(group_size);
        let is_for_kernel = self.headroom >= HEADROOM_OF_MISH && n_at_once <= MOST_CHANNELS;
        let (Some(last), true) = (finish.last(), is_for_kernel) else {
            return self.activate_reference(x, out, finish);
        };
        let Some(memory) = Memory::of(panel) else {
            return self.activate_reference(x, out, finish);
        };
        let Some(mut kernel) = tuned::Kernel::new(x, out, n_channels, last) else {
            return self.activate_reference(x, out, finish);
        };
        let len = kernel.n_positions() * group_size;
        let (mut first, mut n_left) = (0, self.n_groups);
        let mut parameters: &[Parameters] = self.parameters.as_chunks().0;
        while n_left > 0 {
            let n_groups = n_groups.min(n_left);
            n_left -= n_groups;
            let sums = slices::part_mut(memory.sums, 0, n_groups);
            let groups = slices::part_mut(memory.groups, 0, n_groups);
            kernel.sums(first, group_size, sums);
            if !self.scale(len, sums, groups) {
                for _ in 0..n_groups {
                    let (of_group, others) = slices::split(parameters, group_size);
                    let (x, out) = kernel.tensors();
                    self.activate_group(first, of_group, x, out, finish);
                    (first, parameters) = (first + group_size, others);
                }
                continue;
            }
            let end = first + n_groups * group_size;
            while first < end {
                let size = n_at_once.min(end - first);
                let (at_once, others) = slices::split(parameters, size);
                let factors = Factors {
                    parameters: at_once,
                    groups,
                    group_size,
                    film: finish.shares(first, size),
                };
                let channels = slices::part_mut(memory.channels, 0, size);
                kernel.write_factors(&factors, channels);
                kernel.activate(first, channels);
                (first, parameters) = (first + size, others);
            }
        }
    }

    /// The same by the definition.
    pub(crate) fn activate_reference(self, x: &[i16], out: &mut [i16], finish: &Finish<'_>) {
        let n_channels = self.n_channels();
        let size = n_channels / self.n_groups.max(1);
        let groups = slices::rows(self.parameters.as_chunks().0, size);
        for (index, parameters) in groups.enumerate() {
            self.activate_group(index * size, parameters, x, out, finish);
        }
    }

    /// One group by the definition.
    #[inline(never)]
    fn activate_group(
        self,
        first: usize,
        parameters: &[Parameters],
        x: &[i16],
        out: &mut [i16],
        finish: &Finish<'_>,
    ) {
        let n_channels = self.n_channels();
        let sums = Sums::of(slices::from(x, first), n_channels, parameters.len());
        let len = x.len() / n_channels.max(1) * parameters.len();
        let group = Group::of(self, len, sums);
        whole::activate(&group, self, first, parameters, x, out, finish);
    }

    /// What a kernel wants to know of groups of `len` values; whether it has room for all of them.
    #[inline(always)]
    fn scale(self, len: usize, sums: &[Sums], groups: &mut [Scaled]) -> bool {
        #[cfg(mve)]
        if let Some(has_room) = crate::quant::arch::armv81m::norm::scale(self, len, sums, groups) {
            return has_room;
        }
        let mut has_room = true;
        for (sums, place) in sums.iter().zip(groups) {
            match Group::of(self, len, *sums).scaled() {
                Some(scaled) => *place = scaled,
                None => has_room = false,
            }
        }
        has_room
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

/// A gain's binary places that are rounded away, so that it fits 32 bits: `MAX_GAMMA * 2^31 / 2^15` does.
pub(crate) const DROPPED_BITS: u32 = 15;

/// `gamma / sqrt(V)`, for a product with `d`, and `beta` in Q16.
#[inline(always)]
pub(crate) fn gain_and_beta(parameters: &Parameters, mantissa: impl Into<i64>) -> (i32, i32) {
    let (gamma, beta_q16) = (read::i32_at(parameters, 0), read::i32_at(parameters, 4));
    let gain = i64::from(gamma) * mantissa.into();
    (rounding_shift_right(gain, DROPPED_BITS) as i32, beta_q16)
}

/// The same for a mantissa below 2^31, out of its halves: a Cortex-M0 has no product of 64 bits.
#[cfg(any(test, armv6m))]
#[inline(always)]
pub(crate) fn gain_and_beta_by_halves(parameters: &Parameters, mantissa: i32) -> (i32, i32) {
    let (gamma, beta_q16) = (read::i32_at(parameters, 0), read::i32_at(parameters, 4));
    let (high, low) = (mantissa >> 16, mantissa & 0xffff);
    let lower = (gamma * low + (1 << DROPPED_BITS >> 1)) >> DROPPED_BITS;
    (((gamma * high) << (16 - DROPPED_BITS)) + lower, beta_q16)
}

impl Group {
    /// Of `len` values with this sum, and that of their squares.
    #[inline(always)]
    fn of(norm: Norm<'_>, len: usize, sums: Sums) -> Self {
        let (n, sum) = (len as u32, sums.sum);
        // Not negative, by Cauchy and Schwarz.
        let [low, high] = sums.squares;
        let n_squares = product(n, low) + (u64::from(n * high) << 32);
        let variance = n_squares - product(sum.unsigned_abs(), sum.unsigned_abs());
        let scale = rsqrt(variance + norm.eps);
        Self {
            n: n as i32,
            sum,
            scale,
            shift: norm.gamma_exponent + scale.exponent - DROPPED_BITS - 16,
        }
    }

    /// Nothing if `d` has no room for it.
    #[inline(always)]
    fn scaled(&self) -> Option<Scaled> {
        // |d| < 2^16 n.
        const LARGEST_N: i32 = 1 << 15;
        let up = 32_u32.checked_sub(self.shift)?;
        let has_room = up <= 15 && self.n << up <= LARGEST_N;
        has_room.then(|| Scaled {
            n: self.n << up,
            minus_sum: -(self.sum << up),
            mantissa: self.scale.mantissa as i32,
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
        norm.activate(x, &mut high, &finish, &mut [0; Memory::LEN]);
        let mut low: Vec<i16> = high.iter().map(|value| -value).collect();
        let finish = Finish::Add { up: DOWN, down: 0 };
        norm.activate(x, &mut low, &finish, &mut [0; Memory::LEN]);
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
    fn halves_make_the_same_gain() {
        for gamma in [-MAX_GAMMA, -12_345, -1, 0, 1, 777, MAX_GAMMA] {
            let mut parameters = [0; Norm::PARAMETERS_SIZE];
            parameters[..4].copy_from_slice(&gamma.to_le_bytes());
            for mantissa in (1 << 30..=i32::MAX).step_by(99_991).chain([i32::MAX]) {
                let expected = gain_and_beta(&parameters, mantissa);
                assert_eq!(gain_and_beta_by_halves(&parameters, mantissa), expected);
            }
        }
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
