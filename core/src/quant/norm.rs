//! GroupNorm (Wu and He 2018, arXiv 1803.08494) and Mish in integers.
//!
//! With `n` values `x` in a group, `d = n x - sum x` and `V = n sum x^2 - (sum x)^2 + eps'`, the normalised
//! value is `d / sqrt(V)`: the mean and the variance are never divided, and the scale of `x` cancels except in
//! `eps' = eps (n / scale)^2`, which the model file gives.

use super::mish::mish_q16;
use super::read;
use super::rounding::{multiply_shift, rounding_shift_right, saturate_i32};
use super::rsqrt::{Rsqrt, rsqrt};

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
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// `gamma` as mantissa, at most [`MAX_GAMMA`]; `beta` in Q16.
    pub(super) parameters: &'a [u8],
    /// Groups that the channels form.
    pub(super) n_groups: usize,
    /// Binary places of `gamma`.
    pub(super) gamma_exponent: u32,
    /// `eps'` above.
    pub(super) eps: u64,
}

impl Norm<'_> {
    /// Bytes of a channel's parameters in the model file.
    pub(super) const PARAMETERS_SIZE: usize = 8;

    /// `out = finish(prepare(c), y, out)` with `y = mish(gamma[c] * (x - mean) / sqrt(variance + eps) + beta[c])` in
    /// Q16, for all of `x` and `out` (`[L][C]`).
    #[inline(always)]
    pub(super) fn activate<P>(
        self,
        x: &[i16],
        out: &mut [i16],
        prepare: impl Fn(usize) -> P,
        finish: impl Fn(&P, i32, i16) -> i16,
    ) {
        let n_channels = self.parameters.len() / Self::PARAMETERS_SIZE;
        let group_size = n_channels / self.n_groups;
        for first in (0..n_channels).step_by(group_size) {
            let group = Group::of(x, n_channels, first, group_size, self.eps);
            for channel in first..first + group_size {
                let (gain, shift) = self.gain(channel, group.scale);
                let beta_q16 = read::i32_at(self.parameters, channel * 8 + 4);
                let prepared = prepare(channel);
                let inputs = x[channel..].iter().step_by(n_channels);
                let outputs = out[channel..].iter_mut().step_by(n_channels);
                for (x, out) in inputs.zip(outputs) {
                    let d = group.n * i32::from(*x) - group.sum;
                    let y_q16 = beta_q16.saturating_add(multiply_shift(d, gain, shift));
                    *out = finish(&prepared, mish_q16(y_q16), *out);
                }
            }
        }
    }

    /// `gamma / sqrt(V)` as a factor for `d` that leads to Q16: (mantissa, binary places).
    #[inline(always)]
    fn gain(self, channel: usize, scale: Rsqrt) -> (i32, u32) {
        const DROPPED_BITS: u32 = 15;
        let gamma = i64::from(read::i32_at(self.parameters, channel * 8));
        let gain = rounding_shift_right(gamma * i64::from(scale.mantissa), DROPPED_BITS);
        (
            saturate_i32(gain),
            self.gamma_exponent + scale.exponent - DROPPED_BITS - 16,
        )
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
        let (mut sum, mut square_sum) = (0_i32, 0_u64);
        for row in x.chunks_exact(n_channels) {
            for value in &row[first..first + size] {
                let value = i32::from(*value);
                sum += value;
                square_sum += u64::from((value * value) as u32);
            }
        }
        let n = (x.len() / n_channels * size) as i32;
        // Not negative, by Cauchy and Schwarz.
        let variance = n as u64 * square_sum - u64::from(sum.unsigned_abs()).pow(2);
        Self {
            n,
            sum,
            scale: rsqrt(variance + eps),
        }
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
        };
        let got: Vec<_> = (0..x.len()).map(|_| Cell::new(0)).collect();
        let index = Cell::new(0);
        norm.activate(
            x,
            &mut std::vec![0; x.len()],
            |channel| index.set(channel),
            |_, y, _| {
                got[index.get()].set(y);
                index.set(index.get() + 8);
                0
            },
        );
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
