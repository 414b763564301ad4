//! What a tuned kernel does, for any machine: 32 bits suffice but for two products, of which the upper word counts.

use super::super::mish::mish_in_range;
use super::super::rounding::upper_word;
use super::super::slices;
use super::factors::Factors;

/// A channel's factors.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Channel {
    /// Its group's, shifted to the left as far as [`Self::gain`] wants: `d = n x + minus_sum`.
    pub(crate) n: i32,
    pub(crate) minus_sum: i32,
    /// Times `d`, it is 2^32 times a Q16 number.
    pub(crate) gain: i32,
    pub(crate) beta_q16: i32,
    /// For [`Last::Modulate`]: FiLM's scale, 2^15 times itself, and its bias.
    pub(crate) scale_q15: i32,
    pub(crate) bias: i32,
}

/// What is done with an activation `y` in Q16.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Last {
    /// `saturate(round((scale y / 2^16 + bias) / 2^shift))`; if there is a shift, the bias has half a unit in it.
    Modulate {
        /// Binary places to lose.
        shift: u32,
    },
    /// `saturate(round((y + 2^up old) / 2^down))`.
    Add {
        /// From the binary places of what is there to Q16.
        up: u32,
        /// From Q16 to the result's.
        down: u32,
    },
}

/// A tensor that is normalised.
pub(crate) struct Kernel<'v> {
    /// `[L][C]`.
    pub(crate) x: &'v [i16],
    /// The same.
    out: &'v mut [i16],
    pub(crate) n_channels: usize,
    n_positions: usize,
    pub(crate) last: Last,
}

impl<'v> Kernel<'v> {
    /// From `x` to `out`, both `[L][C]`; a kernel that cannot take them is none.
    #[inline(always)]
    pub(crate) fn new(
        x: &'v [i16],
        out: &'v mut [i16],
        n_channels: usize,
        last: Last,
    ) -> Option<Self> {
        let n_positions = x.len() / n_channels.max(1);
        Some(Self {
            x,
            out,
            n_channels,
            n_positions,
            last,
        })
    }

    pub(crate) fn n_positions(&self) -> usize {
        self.n_positions
    }

    /// What it is made of.
    pub(crate) fn tensors(&mut self) -> (&[i16], &mut [i16]) {
        (self.x, self.out)
    }

    /// The sums of groups of `size` channels, the first of which begins at channel `first`.
    #[inline(always)]
    pub(crate) fn sums(&self, first: usize, size: usize, sums: &mut [Sums]) {
        let mut first = first;
        for place in sums {
            *place = Sums::of(slices::from(self.x, first), self.n_channels, size);
            first += size;
        }
    }

    /// Each channel's factors.
    #[inline(always)]
    pub(crate) fn write_factors(&mut self, factors: &Factors<'_>, channels: &mut [Channel]) {
        factors.write(channels);
    }

    /// The values of channels, from `first` on: normalised, through Mish, and through what comes last.
    #[inline(always)]
    pub(crate) fn activate(&mut self, first: usize, channels: &[Channel]) {
        match self.last {
            Last::Modulate { shift: 0 } => {
                self.for_each(first, channels, |channel, y_q16, _| {
                    upper_word(channel.scale_q15, y_q16 << 1, true) + channel.bias
                });
            }
            Last::Modulate { shift } => {
                self.for_each(first, channels, |channel, y_q16, _| {
                    (upper_word(channel.scale_q15, y_q16 << 1, false) + channel.bias) >> shift
                });
            }
            Last::Add { up, down } => {
                let half = half(down);
                self.for_each(first, channels, |_, y_q16, old| {
                    (y_q16 + ((old << up) + half)) >> down
                });
            }
        }
    }

    /// `last(channel, mish, old)`, saturated, for every value.
    #[inline(always)]
    fn for_each(
        &mut self,
        first: usize,
        channels: &[Channel],
        last: impl Fn(&Channel, i32, i32) -> i32,
    ) {
        let (n, step) = (channels.len(), self.n_channels.max(1));
        let mut x = slices::from(self.x, first);
        let mut out = slices::from_mut(&mut *self.out, first);
        while let (Some(row), Some(places)) = (x.get(..n), out.get_mut(..n)) {
            for ((x, out), channel) in row.iter().zip(places).zip(channels) {
                let d = channel.n * i32::from(*x) + channel.minus_sum;
                let y_q16 = channel.beta_q16 + upper_word(d, channel.gain, true);
                let value = last(channel, mish_in_range(y_q16), i32::from(*out));
                *out = value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
            }
            let (Some(next_x), Some(next_out)) = (x.get(step..), out.get_mut(step..)) else {
                return;
            };
            (x, out) = (next_x, next_out);
        }
    }
}

/// Of a group's values, and of their squares (the lower word first).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Sums {
    pub(crate) sum: i32,
    pub(crate) squares: [u32; 2],
}

impl Sums {
    /// Of the first `size` channels of `x` (`[L][n_channels]`).
    #[cfg_attr(any(armv6m, mve, smlad), inline(never))]
    #[cfg_attr(not(any(armv6m, mve, smlad)), inline(always))]
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

/// Of a 16-bit number: a machine with products of 64 bits adds it to a sum in the same instruction.
#[inline(always)]
fn square(value: i32) -> u64 {
    if cfg!(armv6m) {
        u64::from((value * value) as u32)
    } else {
        (i64::from(value) * i64::from(value)) as u64
    }
}

/// Half a unit that is shifted by `shift`.
pub(crate) fn half(shift: u32) -> i32 {
    (1 << shift) >> 1
}
