//! The kernel of targets without a tuned one, and of what a tuned one leaves over: 32 bits suffice,
//! but for two products, of which the upper word is wanted.

use super::epilogue::{EpilogueShifts, half};
use super::factors::{Channel, Factors};
use super::group::Sums;
use super::kernel::NormKernel;
use crate::quant::kernels::mish::mish_in_range;
use crate::quant::kernels::rounding::upper_word;
use crate::quant::kernels::slices;

/// For every shape and every epilogue.
pub(crate) struct Portable {
    pub(crate) n_channels: usize,
    pub(crate) epilogue: EpilogueShifts,
}

impl NormKernel for Portable {
    #[inline(always)]
    fn new(_: usize, n_channels: usize, epilogue: EpilogueShifts) -> Option<Self> {
        Some(Self {
            n_channels,
            epilogue,
        })
    }

    #[inline(always)]
    fn sums(&self, x: &[i16], first: usize, size: usize, sums: &mut [Sums]) {
        let mut first = first;
        for place in sums {
            *place = Sums::of(slices::from(x, first), self.n_channels, size);
            first += size;
        }
    }

    #[inline(always)]
    fn write_factors(&mut self, factors: &Factors<'_>, channels: &mut [Channel]) {
        factors.write(channels);
    }

    #[inline(always)]
    fn activate(&mut self, x: &[i16], out: &mut [i16], first: usize, channels: &[Channel]) {
        let tensors = (slices::from(x, first), slices::from_mut(out, first));
        match self.epilogue {
            EpilogueShifts::Modulate { shift: 0, .. } => {
                self.for_each(tensors, channels, |channel, y_q16, _| {
                    upper_word(channel.scale_q15, y_q16 << 1, true) + channel.bias
                });
            }
            EpilogueShifts::Modulate { up: 0, shift } => {
                self.for_each(tensors, channels, |channel, y_q16, _| {
                    (upper_word(channel.scale_q15, y_q16 << 1, false) + channel.bias) >> shift
                });
            }
            // The shift is 1.
            EpilogueShifts::Modulate { up, .. } => {
                self.for_each(tensors, channels, |channel, y_q16, _| {
                    let y = y_q16 << (1 + up);
                    (upper_word(channel.scale_q15, y, false) + channel.bias) >> 1
                });
            }
            EpilogueShifts::Add { up, down } => {
                let half = half(down);
                self.for_each(tensors, channels, |_, y_q16, old| {
                    (y_q16 + ((old << up) + half)) >> down
                });
            }
        }
    }
}

impl Portable {
    /// Writes `epilogue(channel, mish, old)`, saturated, for every value.
    #[inline(always)]
    fn for_each(
        &self,
        (mut x, mut out): (&[i16], &mut [i16]),
        channels: &[Channel],
        epilogue: impl Fn(&Channel, i32, i32) -> i32,
    ) {
        let (n, step) = (channels.len(), self.n_channels.max(1));
        while let (Some(row), Some(places)) = (x.get(..n), out.get_mut(..n)) {
            for ((x, out), channel) in row.iter().zip(places).zip(channels) {
                let n_x = channel.n.wrapping_mul(i32::from(*x));
                let d = n_x.wrapping_add(channel.minus_sum);
                let y_q16 = channel.beta_q16 + upper_word(d, channel.gain, true);
                let value = epilogue(channel, mish_in_range(y_q16), i32::from(*out));
                *out = value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
            }
            let (Some(next_x), Some(next_out)) = (x.get(step..), out.get_mut(step..)) else {
                return;
            };
            (x, out) = (next_x, next_out);
        }
    }
}
