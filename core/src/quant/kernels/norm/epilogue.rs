//! What follows an activation: FiLM (Perez et al. 2018, arXiv 1709.07871), `scale y + bias` for
//! each channel, or the sum with a block's residual.

use crate::quant::kernels::rounding::{round_to_i16, rounding_shift_right, saturate_i16};
use crate::quant::kernels::slices;

/// What is done with an activation `y` in Q16.
pub(crate) enum Epilogue<'m> {
    /// `scale y + bias`.
    Modulate(Modulation<'m>),
    /// The sum of `y` and the old value in the output's place.
    Add {
        /// Binary places that the old value has fewer than Q16.
        up: u32,
        /// Binary places that the result has fewer than Q16.
        down: u32,
    },
}

/// An [`Epilogue`] as kernels compute it, in 32 bits: its shifts. Scale and bias are a
/// [`Channel`](super::factors::Channel)'s.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EpilogueShifts {
    /// `saturate(round((2^up scale y / 2^16 + bias) / 2^shift))`, where the bias includes `2^up`, and
    /// for a shift of at least 1 the half to round by.
    Modulate {
        /// Binary places that are added first: not 0 where the result has more than scale and bias.
        up: u32,
        /// Binary places that are rounded away: then one of those.
        shift: u32,
    },
    /// `saturate(round((y + 2^up old) / 2^down))`.
    Add {
        /// From the binary places of `old` to Q16.
        up: u32,
        /// From Q16 to the binary places of the result.
        down: u32,
    },
}

/// What rounds a shift to the right by `shift` to nearest: half a unit of the result.
pub(crate) fn half(shift: u32) -> i32 {
    (1 << shift) >> 1
}

/// FiLM of one block at one pass. Each scale and each bias is a sum of two shares with the same
/// binary places.
pub(crate) struct Modulation<'m> {
    /// The diffusion step's share: the scales of all channels (if there are any), then their
    /// biases.
    pub(crate) step: &'m [[u8; 2]],
    /// The observation's share, in the same order.
    pub(crate) observation: &'m [i16],
    /// Number of scales: that of channels, or 0 for scales of 1.
    pub(crate) n_scales: usize,
    /// Binary places of both.
    pub(crate) exponent: u32,
    /// Binary places that the result has fewer than `scale y`.
    pub(crate) shift: u32,
}

/// Shifts of [`Modulation`] that kernels take, about the 16 binary places of `y`: to what the upper
/// word of a product has room for, and from what `2 y`, shifted to the left, has.
const KERNEL_SHIFTS: core::ops::RangeInclusive<u32> = 8..=30;
const _: () = assert!(1 << 20 << (1 + 17 - *KERNEL_SHIFTS.start()) <= 1 << 30);
/// Largest `up` that kernels take: `2^15 << 13` plus a `y` within the table of Mish is below 2^30.
const MAX_KERNEL_UP: u32 = 13;
const _: () = assert!((1 << 15 << MAX_KERNEL_UP) + (1 << 20) < 1 << 30);

impl Epilogue<'_> {
    /// The reference implementation. Not inlined: it would be twice in the loop over a group's
    /// values.
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

    /// For a kernel, if 32 bits suffice.
    #[inline(always)]
    pub(crate) fn shifts(&self) -> Option<EpilogueShifts> {
        match self {
            Self::Modulate(film) => {
                let (up, shift) = film.up_and_down();
                (KERNEL_SHIFTS.contains(&film.shift))
                    .then_some(EpilogueShifts::Modulate { up, shift })
            }
            Self::Add { up, down } => (*up <= MAX_KERNEL_UP).then_some(EpilogueShifts::Add {
                up: *up,
                down: *down,
            }),
        }
    }

    /// FiLM's shares for `len` channels from `first` on.
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
        debug_assert!(index < self.step.len().min(self.observation.len()));
        let step = self.step.get(index).copied().unwrap_or_default();
        let observation = self.observation.get(index).copied().unwrap_or_default();
        i32::from(i16::from_le_bytes(step)) + i32::from(observation)
    }

    /// The shifts of [`EpilogueShifts::Modulate`].
    #[inline(always)]
    fn up_and_down(&self) -> (u32, u32) {
        match self.shift.checked_sub(16) {
            Some(shift) => (0, shift),
            None => (17 - self.shift, 1),
        }
    }

    #[inline(always)]
    fn shares(&self, first: usize, len: usize) -> Shares<'_> {
        let (up, shift) = self.up_and_down();
        let both = |first| {
            let step = slices::part(self.step, first, len);
            (step, slices::part(self.observation, first, len))
        };
        Shares {
            scales: (self.n_scales > 0).then(|| both(first)),
            biases: both(self.n_scales + first),
            one_q15: 1 << (15 + self.exponent),
            up,
            half: half(shift),
        }
    }
}

/// FiLM's shares for some channels: the step's and the observation's.
pub(crate) struct Shares<'m> {
    pub(crate) scales: Option<(&'m [[u8; 2]], &'m [i16])>,
    pub(crate) biases: (&'m [[u8; 2]], &'m [i16]),
    /// The scale of channels without one.
    pub(crate) one_q15: i32,
    /// Binary places that are added to each bias.
    pub(crate) up: u32,
    /// Included in each bias, to round by.
    pub(crate) half: i32,
}

#[cfg(kernels = "armv6m")]
impl Shares<'_> {
    /// Whether there is a share for each of `n_channels` channels, aligned for half words, and
    /// biases are taken as they are.
    #[inline(always)]
    pub(crate) fn are_of(&self, n_channels: usize) -> bool {
        let are_there = |(step, observation): (&[[u8; 2]], &[i16])| {
            step.len() >= n_channels
                && observation.len() >= n_channels
                && step.as_ptr().cast::<i16>().is_aligned()
        };
        self.up == 0 && are_there(self.biases) && self.scales.is_none_or(are_there)
    }
}
