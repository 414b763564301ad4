//! What a tuned kernel does, for any machine: 32 bits suffice but for two products, of which the upper word counts.

use super::super::mish::mish_in_range;
use super::super::slices;
use super::Scaled;

/// A channel's factors.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct Channel {
    /// Times `d`, it is 2^32 times a Q16 number.
    pub(super) gain: i32,
    pub(super) beta_q16: i32,
    /// For [`Last::Modulate`]: FiLM's scale, 2^15 times itself, and its bias.
    pub(super) scale_q15: i32,
    pub(super) bias: i32,
}

/// What is done with an activation `y` in Q16.
#[derive(Clone, Copy, Debug)]
pub(super) enum Last {
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
pub(super) struct Kernel<'v> {
    /// `[L][C]`.
    pub(super) x: &'v [i16],
    /// The same.
    out: &'v mut [i16],
    pub(super) n_channels: usize,
    n_positions: usize,
    pub(super) last: Last,
}

impl<'v> Kernel<'v> {
    /// From `x` to `out`, both `[L][C]`.
    #[inline(always)]
    pub(super) fn new(x: &'v [i16], out: &'v mut [i16], n_channels: usize, last: Last) -> Self {
        let n_positions = x.len() / n_channels.max(1);
        Self {
            x,
            out,
            n_channels,
            n_positions,
            last,
        }
    }

    pub(super) fn n_positions(&self) -> usize {
        self.n_positions
    }

    /// What it is made of.
    pub(super) fn tensors(&mut self) -> (&[i16], &mut [i16]) {
        (self.x, self.out)
    }

    /// The sum of the values of `size` channels from `first` on, and that of their squares.
    #[inline(always)]
    pub(super) fn sums(&self, first: usize, size: usize) -> (i32, u64) {
        sums(slices::from(self.x, first), self.n_channels, size)
    }

    /// The values of channels of one group, from `first` on: normalised, through Mish, and through what comes last.
    #[inline(always)]
    pub(super) fn activate(&mut self, first: usize, channels: &[Channel], scaled: Scaled) {
        match self.last {
            Last::Modulate { shift: 0 } => {
                self.for_each(first, channels, scaled, 0, |channel, y_q16, _| {
                    upper_word(channel.scale_q15, y_q16 << 1, true) + channel.bias
                });
            }
            Last::Modulate { shift } => {
                self.for_each(first, channels, scaled, 0, |channel, y_q16, _| {
                    (upper_word(channel.scale_q15, y_q16 << 1, false) + channel.bias) >> shift
                });
            }
            Last::Add { up, down } => {
                self.for_each(first, channels, scaled, half(down), |_, y_q16, old| {
                    (y_q16 + (old << up)) >> down
                });
            }
        }
    }

    /// `last(channel, mish + more, old)`, saturated, for every value.
    #[inline(always)]
    fn for_each(
        &mut self,
        first: usize,
        channels: &[Channel],
        Scaled { n, sum }: Scaled,
        more: i32,
        last: impl Fn(&Channel, i32, i32) -> i32,
    ) {
        for (index, channel) in (first..).zip(channels) {
            let x = slices::from(self.x, index);
            let out = slices::from_mut(self.out, index);
            let mut at = 0;
            while let (Some(x), Some(out)) = (x.get(at), out.get_mut(at)) {
                let d = n * i32::from(*x) - sum;
                let y_q16 = channel.beta_q16 + upper_word(d, channel.gain, true);
                let value = last(channel, mish_in_range(y_q16, more), i32::from(*out));
                *out = value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
                at += self.n_channels.max(1);
            }
        }
    }
}

/// The sum of the values of the first `size` channels of `x` (`[L][n_channels]`), and that of their squares.
#[inline(always)]
pub(super) fn sums(x: &[i16], n_channels: usize, size: usize) -> (i32, u64) {
    let (mut sum, mut square_sum) = (0_i32, 0_i64);
    for row in x.chunks(n_channels.max(1)) {
        for value in slices::part(row, 0, size) {
            let value = i32::from(*value);
            sum += value;
            square_sum += i64::from(value) * i64::from(value);
        }
    }
    (sum, square_sum as u64)
}

/// Half a unit that is shifted by `shift`.
pub(super) fn half(shift: u32) -> i32 {
    (1 << shift) >> 1
}

/// `a b / 2^32`, rounded down, or to nearest.
#[cfg(not(armv6m))]
#[inline(always)]
fn upper_word(a: i32, b: i32, is_rounded: bool) -> i32 {
    let half = i64::from(is_rounded) << 31;
    ((i64::from(a) * i64::from(b) + half) >> 32) as i32
}

#[cfg(armv6m)]
use upper_word_by_halves as upper_word;

/// The same where a product has 32 bits (Cortex-M0): out of four, `a` and `b` being `2^16 high + low`.
#[cfg(any(test, armv6m))]
#[inline(always)]
fn upper_word_by_halves(a: i32, b: i32, is_rounded: bool) -> i32 {
    let (a_high, a_low) = (a >> 16, a & 0xffff);
    let (b_high, b_low) = (b >> 16, b & 0xffff);
    let lowest = (a_low as u32 * b_low as u32) >> 16;
    let middle = a_high * b_low + lowest as i32;
    let other_middle = a_low * b_high + (middle & 0xffff);
    let carry = ((other_middle >> 15) + i32::from(is_rounded)) >> 1;
    a_high * b_high + (middle >> 16) + carry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_make_the_same_upper_word() {
        let ends = [i32::MIN, -1 << 16, -1, 0, 1, 0xffff, 1 << 16, i32::MAX];
        let around = ends.map(|end| [-1, 0, 1, 0x7fff, 0x8000].map(|d| end.wrapping_add(d)));
        let values = around.as_flattened();
        for (a, b) in values
            .iter()
            .flat_map(|a| values.iter().map(move |b| (*a, *b)))
        {
            for is_rounded in [false, true] {
                let expected = upper_word(a, b, is_rounded);
                assert_eq!(upper_word_by_halves(a, b, is_rounded), expected, "{a} {b}");
            }
        }
    }
}
