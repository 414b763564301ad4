//! What follows an activation: FiLM (Perez et al. 2018, arXiv 1709.07871), `scale y + bias` for each channel, or the sum with a
//! block's residual.

use super::super::rounding::{round_to_i16, rounding_shift_right, saturate_i16};
use super::super::slices;
use super::kernel::{Last, half};

/// What is done with an activation `y` in Q16.
pub(crate) enum Finish<'m> {
    /// `scale y + bias`.
    Modulate(Modulation<'m>),
    /// `y` and what is there, which is `up` places short of Q16, rounded to `down` places fewer.
    Add {
        /// Places.
        up: u32,
        /// Places.
        down: u32,
    },
}

/// FiLM of one block at one pass: each channel's scale and bias is a sum of two shares, in one binary point.
pub(crate) struct Modulation<'m> {
    /// The diffusion step's share: all scales (if there are any), then all biases.
    pub(crate) step: &'m [[u8; 2]],
    /// The observation's share, the same.
    pub(crate) observation: &'m [i16],
    /// Number of scales; if there are none, all are 1.
    pub(crate) n_scales: usize,
    /// Binary places of both.
    pub(crate) exponent: u32,
    /// From the places of `scale y` to the result's.
    pub(crate) shift: u32,
}

/// Least and largest shift of [`Modulation`] for a kernel: as many as `y` has places, and what the upper word has room for.
const KERNEL_SHIFTS: core::ops::RangeInclusive<u32> = 16..=30;
/// Largest shift of what is there: `2^15 << 13` and `y` within the table of Mish are less than 2^30 together.
const MAX_KERNEL_UP: u32 = 13;

impl Finish<'_> {
    /// By the definition; not inlined, for it would be twice in the loop over a group's values.
    #[inline(never)]
    pub(crate) fn apply(&self, channel: usize, y_q16: i32, old: i16) -> i16 {
        match self {
            Self::Modulate(film) => {
                let (scale, bias) = film.scale_and_bias(channel);
                let value = i64::from(scale) * i64::from(y_q16) + (i64::from(bias) << 16);
                saturate_i16(rounding_shift_right(value, film.shift))
            }
            Self::Add { up, down } => {
                let sum = y_q16.saturating_add(i32::from(old) << up);
                round_to_i16(sum, *down)
            }
        }
    }

    /// The same for a kernel, if it has room for it; what it needs to know of each channel are the [`shares`](Self::shares).
    #[inline(always)]
    pub(crate) fn last(&self) -> Option<Last> {
        match self {
            Self::Modulate(film) => KERNEL_SHIFTS.contains(&film.shift).then(|| Last::Modulate {
                shift: film.shift - *KERNEL_SHIFTS.start(),
            }),
            Self::Add { up, down } => (*up <= MAX_KERNEL_UP).then_some(Last::Add {
                up: *up,
                down: *down,
            }),
        }
    }

    /// FiLM's of `len` channels from `first` on.
    #[inline(always)]
    pub(crate) fn shares(&self, first: usize, len: usize) -> Option<Shares<'_>> {
        match self {
            Self::Modulate(film) => Some(film.shares(first, len)),
            Self::Add { .. } => None,
        }
    }
}

impl Modulation<'_> {
    fn scale_and_bias(&self, channel: usize) -> (i32, i32) {
        let scale = match self.n_scales {
            0 => 1 << self.exponent,
            _ => self.sum(channel),
        };
        (scale, self.sum(self.n_scales + channel))
    }

    fn sum(&self, index: usize) -> i32 {
        let step = self.step.get(index).copied().unwrap_or_default();
        let observation = self.observation.get(index).copied().unwrap_or_default();
        i32::from(i16::from_le_bytes(step)) + i32::from(observation)
    }

    #[inline(always)]
    fn shares(&self, first: usize, len: usize) -> Shares<'_> {
        let both = |first| {
            let step = slices::part(self.step, first, len);
            (step, slices::part(self.observation, first, len))
        };
        Shares {
            scales: (self.n_scales > 0).then(|| both(first)),
            biases: both(self.n_scales + first),
            one_q15: 1 << (15 + self.exponent),
            half: half(self.shift - *KERNEL_SHIFTS.start()),
        }
    }
}

/// Both shares of some channels' scales, if there are any, and biases: the step's and the observation's.
pub(crate) struct Shares<'m> {
    pub(crate) scales: Option<(&'m [[u8; 2]], &'m [i16])>,
    pub(crate) biases: (&'m [[u8; 2]], &'m [i16]),
    /// The scale where there is none.
    pub(crate) one_q15: i32,
    /// What the kernel wants in a bias.
    pub(crate) half: i32,
}

#[cfg(any(armv6m, mve))]
impl Shares<'_> {
    /// Whether they are those of `n_channels` channels, at addresses of half words.
    #[inline(always)]
    pub(crate) fn are_of(&self, n_channels: usize) -> bool {
        let are_there = |(step, observation): (&[[u8; 2]], &[i16])| {
            step.len() >= n_channels
                && observation.len() >= n_channels
                && step.as_ptr().cast::<i16>().is_aligned()
        };
        are_there(self.biases) && self.scales.is_none_or(are_there)
    }
}
