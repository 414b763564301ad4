//! FiLM (Perez et al. 2018, arXiv 1709.07871) behind a normalisation: `scale y + bias` for each channel.

use super::model::{Block, Settings};
use super::norm::{Finish, Norm};
use super::rounding::{rounding_shift_right, saturate_i16};
use super::slices;

/// FiLM of one block at one pass.
pub(super) struct Modulation<'m> {
    /// Binary places of the projection.
    exponent: u32,
    /// The diffusion step's share of this pass.
    step: &'m [[u8; 2]],
    /// The observation's share.
    observation: &'m [i16],
    n_channels: usize,
    has_scale: bool,
    /// From the sum's binary places to the result's.
    shift: u32,
}

/// FiLM of one channel, from a Q16 number.
struct ChannelModulation {
    scale: i32,
    /// Sixteen more binary places than `scale`.
    bias: i64,
    shift: u32,
}

/// The same, but 2^32 times the result, half a unit added: the product's upper word is all that counts.
struct UpperWord {
    /// `scale` and `y` are shifted to the left by 32 places less `shift`, together.
    scale: i32,
    y_up: u32,
    bias: i64,
}

impl<'m> Modulation<'m> {
    /// Of `block` at pass `pass`, with the observation's share of its projection.
    pub(super) fn new(
        settings: &Settings,
        block: &Block<'m>,
        pass: usize,
        observation: &'m [i16],
    ) -> Self {
        let size = 2 * observation.len();
        Self {
            exponent: block.film.exponent,
            step: slices::part(block.film.steps, pass * size, size)
                .as_chunks()
                .0,
            observation,
            n_channels: block.n_channels,
            has_scale: settings.film_has_scale,
            shift: 16 + block.film.exponent - block.hidden_exponent,
        }
    }

    /// `out = scale mish(norm(x)) + bias`.
    pub(super) fn activate(&self, norm: Norm<'_>, x: &[i16], out: &mut [i16]) {
        match UpperWord::ups(self.shift, norm.headroom) {
            Some(ups) => norm.activate(x, out, |channel| {
                UpperWord::of(self.of_channel(channel), ups)
            }),
            None => norm.activate(x, out, |channel| self.of_channel(channel)),
        }
    }

    #[inline(always)]
    fn projection(&self, output: usize) -> i32 {
        let observation = self.observation.get(output).copied().unwrap_or_default();
        let step = self.step.get(output).copied().unwrap_or_default();
        i32::from(i16::from_le_bytes(step)) + i32::from(observation)
    }

    #[inline(always)]
    fn of_channel(&self, channel: usize) -> ChannelModulation {
        let (scale, bias) = if self.has_scale {
            (
                self.projection(channel),
                self.projection(self.n_channels + channel),
            )
        } else {
            (1 << self.exponent, self.projection(channel))
        };
        ChannelModulation {
            scale,
            bias: i64::from(bias) << 16,
            shift: self.shift,
        }
    }
}

impl Finish for ChannelModulation {
    #[inline(always)]
    fn apply(&self, y_q16: i32, _: i16) -> i16 {
        let value = i64::from(self.scale) * i64::from(y_q16) + self.bias;
        saturate_i16(rounding_shift_right(value, self.shift))
    }
}

impl UpperWord {
    /// How far `scale` (17 bits) and `y` (as much as `headroom` says) go up for a shift of 32 in all, if there is the room.
    fn ups(shift: u32, headroom: u32) -> Option<(u32, u32)> {
        // The bias, of 17 bits and 16 places, has room for 30.
        const MAX_UP: u32 = 30;
        let up = 32_u32.checked_sub(shift)?;
        let scale_up = up.min(15);
        let y_up = up - scale_up;
        (up <= MAX_UP && y_up <= headroom).then_some((scale_up, y_up))
    }

    #[inline(always)]
    fn of(channel: ChannelModulation, (scale_up, y_up): (u32, u32)) -> Self {
        let half = 1 << 31;
        Self {
            scale: channel.scale << scale_up,
            y_up,
            bias: (channel.bias << (scale_up + y_up)) + half,
        }
    }
}

impl Finish for UpperWord {
    #[inline(always)]
    fn apply(&self, y_q16: i32, _: i16) -> i16 {
        let product = i64::from(self.scale) * i64::from(y_q16 << self.y_up);
        let value = ((product + self.bias) >> 32) as i32;
        value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_word_is_the_rounded_and_saturated_sum() {
        for shift in 2..=31 {
            for headroom in [1, 4, 11, 15] {
                let Some(ups) = UpperWord::ups(shift, headroom) else {
                    continue;
                };
                let largest_y = (i32::MAX >> headroom) - 1;
                for scale in [-65_536, -65_535, -4097, -1, 0, 1, 3, 4096, 65_534] {
                    for bias in [-65_536_i64, -1, 0, 7, 65_534] {
                        for y in [0, 1, -1, 32_767, 32_768, -98_304, largest_y, -largest_y] {
                            if y.abs() > largest_y {
                                continue;
                            }
                            let channel = || ChannelModulation {
                                scale,
                                bias: bias << 16,
                                shift,
                            };
                            let expected = channel().apply(y, 0);
                            let got = UpperWord::of(channel(), ups).apply(y, 0);
                            assert_eq!(got, expected, "{scale} {y} {bias} {shift} {ups:?}");
                        }
                    }
                }
            }
        }
    }
}
