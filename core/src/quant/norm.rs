//! GroupNorm (Wu and He 2018, arXiv 1803.08494) and Mish in integers.
//!
//! With `n` values `x` in a group, `d = n x - sum x` and `V = n sum x^2 - (sum x)^2 + eps'`, the normalised
//! value is `d / sqrt(V)`: the mean and the variance are never divided, and the scale of `x` cancels except in
//! `eps' = eps (n / scale)^2`, which the model file gives.

#[cfg(target_arch = "x86_64")]
mod avx2;

use super::mish::mish_q16;
use super::rounding::{multiply_shift, rounding_shift_right};
use super::rsqrt::{Rsqrt, rsqrt};
use super::{read, slices};

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

impl Norm<'_> {
    /// Bytes of a channel's parameters in the model file.
    pub(super) const PARAMETERS_SIZE: usize = 8;

    /// `out = finish(c).apply(y, out)` with `y = mish(gamma[c] * (x - mean) / sqrt(variance + eps) + beta[c])` in
    /// Q16, for all of `x` and `out` (`[L][C]`).
    #[inline(never)]
    pub(super) fn activate<F: Finish>(
        self,
        x: &[i16],
        out: &mut [i16],
        finish: impl Fn(usize) -> F,
    ) {
        let parameters = self.parameters.as_chunks::<{ Norm::PARAMETERS_SIZE }>().0;
        let n_channels = parameters.len();
        let group_size = n_channels / self.n_groups.max(1);
        #[cfg(target_arch = "x86_64")]
        if super::x86_64::has_avx2() && avx2::can_take(n_channels, group_size) {
            // SAFETY: there is AVX2.
            #[allow(unsafe_code, reason = "instructions that not every x86-64 has")]
            return unsafe { avx2::activate(self, x, out, &finish) };
        }
        let mut channel = 0;
        for parameters in slices::rows(parameters, group_size) {
            let group = Group::of(x, n_channels, channel, group_size, self.eps);
            for parameters in parameters {
                let finish = finish(channel);
                let (x, out) = (slices::from(x, channel), slices::from_mut(out, channel));
                match group.normalize(self, parameters) {
                    Normalize::UpperWord(normalize) => {
                        activate_channel(&normalize, &finish, x, out, n_channels);
                    }
                    // Rare: one function for every way to finish.
                    Normalize::Whole(normalize) => {
                        let finish: &dyn Finish = &finish;
                        activate_channel(&normalize, finish, x, out, n_channels);
                    }
                }
                channel += 1;
            }
        }
    }

    /// How far a normalised value in Q16 may be shifted to the left in 32 bits: as `|x - mean| <= sqrt((n - 1) variance)`, it is
    /// at most `|gamma| sqrt(n) + |beta|`; and `mish` is never below -0.31.
    pub(super) fn headroom_of(parameters: &[u8], gamma_exponent: u32, group_len: usize) -> u32 {
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

/// What is done with an activation.
pub(super) trait Finish {
    /// From the activation (Q16) and what lies at its place to what shall lie there.
    fn apply(&self, y_q16: i32, old: i16) -> i16;
}

/// Every `n_channels`th value from the first on.
#[inline(always)]
fn activate_channel(
    normalize: &impl ToQ16,
    finish: &(impl Finish + ?Sized),
    x: &[i16],
    out: &mut [i16],
    n_channels: usize,
) {
    let mut at = 0;
    while let (Some(x), Some(out)) = (x.get(at), out.get_mut(at)) {
        *out = finish.apply(mish_q16(normalize.to_q16(*x)), *out);
        at += n_channels.max(1);
    }
}

/// From `x` to `gamma (x - mean) / sqrt(variance + eps) + beta` in Q16.
trait ToQ16 {
    fn to_q16(&self, x: i16) -> i32;
}

/// A channel's normalisation; both give the same bits.
enum Normalize {
    UpperWord(UpperWord),
    Whole(Whole),
}

/// From `d` on as the formula has it.
struct Whole {
    n: i32,
    sum: i32,
    gain: i32,
    shift: u32,
    beta_q16: i32,
}

/// `d` shifted to the left until the product with `gain` is wanted from its upper word on.
struct UpperWord {
    n: i32,
    sum: i32,
    gain: i32,
    half: i32,
    /// Of the upper word.
    shift: u32,
    beta_q16: i32,
}

impl ToQ16 for Whole {
    #[inline(always)]
    fn to_q16(&self, x: i16) -> i32 {
        let d = self.n * i32::from(x) - self.sum;
        let scaled = multiply_shift(d, self.gain, self.shift);
        self.beta_q16.saturating_add(scaled)
    }
}

impl ToQ16 for UpperWord {
    #[inline(always)]
    fn to_q16(&self, x: i16) -> i32 {
        let d = self.n * i32::from(x) - self.sum;
        let product = i64::from(d) * i64::from(self.gain);
        let scaled = ((product >> 32) as i32 + self.half) >> self.shift;
        // No overflow: there is headroom.
        self.beta_q16.wrapping_add(scaled)
    }
}

/// What all values of a group share.
struct Group {
    n: i32,
    sum: i32,
    /// `1 / sqrt(V)`.
    scale: Rsqrt,
}

impl Group {
    /// The group of channels `first..first + size` of `x` (`[L][C]`).
    #[inline(always)]
    fn of(x: &[i16], n_channels: usize, first: usize, size: usize, eps: u64) -> Self {
        let (mut sum, mut square_sum) = (0_i32, 0_i64);
        for row in slices::rows(x, n_channels) {
            for value in slices::part(row, first, size) {
                let value = i32::from(*value);
                sum += value;
                square_sum += i64::from(value) * i64::from(value);
            }
        }
        let n = (x.len() / n_channels.max(1) * size) as i32;
        // Not negative, by Cauchy and Schwarz.
        let variance = n as u64 * square_sum as u64 - u64::from(sum.unsigned_abs()).pow(2);
        Self {
            n,
            sum,
            scale: rsqrt(variance + eps),
        }
    }

    #[inline(always)]
    fn normalize(&self, norm: Norm<'_>, parameters: &[u8; Norm::PARAMETERS_SIZE]) -> Normalize {
        const DROPPED_BITS: u32 = 15;
        let (gamma, beta_q16) = (read::i32_at(parameters, 0), read::i32_at(parameters, 4));
        // gamma / sqrt(V), for a product with d that is Q16. Below 2^31, as MAX_GAMMA * 2^31 / 2^15 is.
        let gain = i64::from(gamma) * i64::from(self.scale.mantissa);
        let gain = rounding_shift_right(gain, DROPPED_BITS) as i32;
        let shift = norm.gamma_exponent + self.scale.exponent - DROPPED_BITS - 16;
        // |d| < 2^16 n: with n so much larger it still fits 32 bits.
        let up = 33_u32.saturating_sub(shift);
        if up > 15 || self.n << up > 1 << 15 || norm.headroom == 0 {
            return Normalize::Whole(Whole {
                n: self.n,
                sum: self.sum,
                gain,
                shift,
                beta_q16,
            });
        }
        let shift = shift + up - 32;
        Normalize::UpperWord(UpperWord {
            n: self.n << up,
            sum: self.sum << up,
            gain,
            half: (1 << shift) >> 1,
            shift,
            beta_q16,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use core::cell::Cell;
    use std::vec::Vec;

    const EPS: f64 = 1e-5;

    fn mish(x: f64) -> f64 {
        x * libm::tanh(libm::log1p(libm::exp(x)))
    }

    /// Notes the activations of a channel.
    struct Note<'g> {
        got: &'g [Cell<i32>],
        at: Cell<usize>,
    }

    impl Finish for Note<'_> {
        fn apply(&self, y_q16: i32, _: i16) -> i16 {
            self.got[self.at.get()].set(y_q16);
            self.at.set(self.at.get() + 8);
            0
        }
    }

    /// Largest error of the integer layer against f64, for `x / 2^exponent` in `[L][C]` and 2 groups of 4 channels.
    fn largest_error(x: &[i16], exponent: u32, gamma: f64, beta: f64) -> f64 {
        let n = x.len() / 2;
        let parameters: Vec<u8> = (0..8)
            .flat_map(|_| [(gamma * 4096.0) as i32, (beta * 65536.0) as i32])
            .flat_map(i32::to_le_bytes)
            .collect();
        let norm = Norm {
            parameters: &parameters,
            n_groups: 2,
            gamma_exponent: 12,
            eps: (EPS * libm::exp2(2.0 * f64::from(exponent)) * (n * n) as f64) as u64,
            headroom: Norm::headroom_of(&parameters, 12, n),
        };
        let got: Vec<_> = (0..x.len()).map(|_| Cell::new(0)).collect();
        norm.activate(x, &mut std::vec![0; x.len()], |channel| Note {
            got: &got,
            at: Cell::new(channel),
        });
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
                largest = largest.max((f64::from(got[i].get()) / 65536.0 - expected).abs());
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
        let mut x = std::vec![i16::MIN; 2 * MAX_GROUP_LEN];
        assert!(largest_error(&x, 0, 7.0, 0.0) < 3e-4);
        x[1] = i16::MAX;
        // The odd one out is sqrt(n - 1) deviations away, and 7 times 64 is still far from the end of Q16.
        assert!(largest_error(&x, 0, 7.0, 0.0) < 2e-3);
    }
}
