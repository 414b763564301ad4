//! What a kernel needs to know of each channel, from the model file and the groups' sums.

use super::epilogue::Shares;
use super::group::Scaled;
use super::{DROPPED_BITS, Parameters};
use crate::quant::kernels::rounding::rounding_shift_right;
use crate::quant::kernels::{read, slices};
#[cfg(not(kernels = "armv6m"))]
use gain_and_beta as channel_gain;
#[cfg(kernels = "armv6m")]
use gain_and_beta_by_halves as channel_gain;

/// What a kernel needs to know of a channel.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Channel {
    /// Those of its group: `d = n x + minus_sum`.
    pub(crate) n: i32,
    pub(crate) minus_sum: i32,
    /// The upper word of its product with `d` is the normalised value in Q16, less `beta`.
    pub(crate) gain: i32,
    pub(crate) beta_q16: i32,
    /// FiLM's scale, in Q15 of its own binary places, and bias, for
    /// [`EpilogueShifts::Modulate`](super::epilogue::EpilogueShifts::Modulate).
    pub(crate) scale_q15: i32,
    pub(crate) bias: i32,
}

/// `gamma / sqrt(V)`, for a product with `d`, and `beta` in Q16.
#[inline(always)]
pub(crate) fn gain_and_beta(parameters: &Parameters, mantissa: impl Into<i64>) -> (i32, i32) {
    let (gamma, beta_q16) = (read::i32_at(parameters, 0), read::i32_at(parameters, 4));
    let gain = i64::from(gamma) * mantissa.into();
    (rounding_shift_right(gain, DROPPED_BITS) as i32, beta_q16)
}

/// The same for a mantissa below 2^31, out of its halves: a Cortex-M0 has no product of 64 bits.
#[cfg(any(test, kernels = "armv6m"))]
#[inline(always)]
pub(crate) fn gain_and_beta_by_halves(parameters: &Parameters, mantissa: i32) -> (i32, i32) {
    let (gamma, beta_q16) = (read::i32_at(parameters, 0), read::i32_at(parameters, 4));
    let (high, low) = (mantissa >> 16, mantissa & 0xffff);
    let lower = (gamma * low + (1 << DROPPED_BITS >> 1)) >> DROPPED_BITS;
    (((gamma * high) << (16 - DROPPED_BITS)) + lower, beta_q16)
}

/// What the factors of some channels are computed from.
pub(crate) struct Factors<'m> {
    /// Of each channel: those of whole groups, or of a part of one.
    pub(crate) parameters: &'m [Parameters],
    pub(crate) groups: &'m [Scaled],
    pub(crate) group_size: usize,
    pub(crate) film: Option<Shares<'m>>,
}

impl Factors<'_> {
    /// Writes them channel by channel.
    #[inline(always)]
    pub(crate) fn write(&self, channels: &mut [Channel]) {
        let (mut rest, mut parameters) = (&mut *channels, self.parameters);
        for group in self.groups {
            let size = self.group_size.min(parameters.len());
            let (of_group, others) = slices::split_mut(rest, size);
            let (parameters_of_group, other_parameters) = slices::split(parameters, size);
            for (channel, parameters) in of_group.iter_mut().zip(parameters_of_group) {
                channel.n = group.n;
                channel.minus_sum = group.minus_sum;
                (channel.gain, channel.beta_q16) = channel_gain(parameters, group.mantissa);
            }
            (rest, parameters) = (others, other_parameters);
        }
        if let Some(film) = &self.film {
            film.write(channels);
        }
    }
}

impl Shares<'_> {
    #[inline(always)]
    fn write(&self, channels: &mut [Channel]) {
        let Some(scales) = self.scales else {
            return self.write_biases(channels);
        };
        let both = sums(scales).zip(sums(self.biases));
        for (channel, (scale, bias)) in channels.iter_mut().zip(both) {
            // A sum of two 16-bit numbers has 17.
            channel.scale_q15 = scale << 15;
            channel.bias = (bias << self.up) + self.half;
        }
    }

    /// Writes biases, beside scales of 1.
    #[inline(always)]
    pub(crate) fn write_biases(&self, channels: &mut [Channel]) {
        for (channel, bias) in channels.iter_mut().zip(sums(self.biases)) {
            channel.scale_q15 = self.one_q15;
            channel.bias = (bias << self.up) + self.half;
        }
    }
}

#[inline(always)]
fn sums<'m>((step, observation): (&'m [[u8; 2]], &'m [i16])) -> impl Iterator<Item = i32> {
    let both = step.iter().zip(observation);
    both.map(|(step, observation)| i32::from(i16::from_le_bytes(*step)) + i32::from(*observation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::kernels::norm::MAX_GAMMA;

    #[test]
    fn halves_make_the_same_gain() {
        for gamma in [-MAX_GAMMA, -12_345, -1, 0, 1, 777, MAX_GAMMA] {
            let mut parameters: Parameters = [0; _];
            parameters[..4].copy_from_slice(&gamma.to_le_bytes());
            for mantissa in (1 << 30..=i32::MAX).step_by(99_991).chain([i32::MAX]) {
                let expected = gain_and_beta(&parameters, mantissa);
                assert_eq!(gain_and_beta_by_halves(&parameters, mantissa), expected);
            }
        }
    }
}
