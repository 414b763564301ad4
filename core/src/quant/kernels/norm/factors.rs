//! What a kernel needs to know of each channel, out of the model file and a group's sums.

use super::super::slices;
use super::Parameters;
use super::finish::Shares;
#[cfg(not(armv6m))]
use super::gain_and_beta;
#[cfg(armv6m)]
use super::gain_and_beta_by_halves as gain_and_beta;
use super::kernel::Channel;

/// What a group's channels share.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Scaled {
    /// Its `n` and what is added to `n x`, shifted to the left until the product of `d` with a gain is 2^32 times a Q16 number.
    pub(crate) n: i32,
    pub(crate) minus_sum: i32,
    /// Of `1 / sqrt(V)`.
    pub(crate) mantissa: i32,
}

/// What the factors of some channels are made of.
pub(crate) struct Factors<'m> {
    /// Of each channel; whole groups, or a part of one.
    pub(crate) parameters: &'m [Parameters],
    pub(crate) groups: &'m [Scaled],
    pub(crate) group_size: usize,
    pub(crate) film: Option<Shares<'m>>,
}

impl Factors<'_> {
    /// For a kernel that takes one channel after the other.
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
                (channel.gain, channel.beta_q16) = gain_and_beta(parameters, group.mantissa);
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
            channel.bias = bias + self.half;
        }
    }

    /// Without scales.
    #[inline(always)]
    pub(crate) fn write_biases(&self, channels: &mut [Channel]) {
        for (channel, bias) in channels.iter_mut().zip(sums(self.biases)) {
            channel.scale_q15 = self.one_q15;
            channel.bias = bias + self.half;
        }
    }
}

#[inline(always)]
fn sums<'m>((step, observation): (&'m [[u8; 2]], &'m [i16])) -> impl Iterator<Item = i32> {
    let both = step.iter().zip(observation);
    both.map(|(step, observation)| i32::from(i16::from_le_bytes(*step)) + i32::from(*observation))
}
