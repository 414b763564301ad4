//! Working memory of a plan.

use crate::quant::format::model::{MAX_ACTIVATION_EXPONENT, Sizes};
use crate::quant::kernels::dispatch::panel_len;
use crate::quant::kernels::linear::LANES;
use crate::quant::kernels::panel::Panel;
use crate::quant::kernels::slices;
use fixed::types::I8F24;

/// Longest horizon (`Tp`) of an integer model.
pub const MAX_HORIZON: usize = 32;
/// Most values of the window of observations, `To` times the size of one, rounded up to [`LANES`].
pub const MAX_CONDITION_LEN: usize = 80;
/// Most `i16` values of activations, skips and FiLM together. The default network (32/64/128 channels, horizon 16)
/// needs 5,888.
pub const ARENA_LEN: usize = if cfg!(feature = "small-scratch") {
    1_024
} else {
    6_144
};

/// Four windows of 3 taps over 128 channels; larger ones are fewer at a time.
const PANEL_LEN: usize = panel_len(3 * 128);

/// Values of an action.
pub(crate) const ACTION_DIM: usize = 2;

/// Memory that a plan works in; the caller owns it, for example as a `static`. 16 KiB at most.
///
/// Aligned for kernels that load two activations at once: every tensor starts at a multiple of eight of them.
#[derive(Debug)]
#[repr(C, align(8))]
pub struct Scratch {
    pub(crate) panel: [u64; PANEL_LEN],
    arena: [i16; ARENA_LEN],
    condition: [i16; MAX_CONDITION_LEN],
    sample: [[I8F24; ACTION_DIM]; MAX_HORIZON],
    output: [[I8F24; ACTION_DIM]; MAX_HORIZON],
}

const _: () = assert!(size_of::<Scratch>() <= 16 * 1024);

impl Scratch {
    /// Zeros; usable in a `static`.
    pub const fn new() -> Self {
        Self {
            panel: [0; _],
            arena: [0; ARENA_LEN],
            condition: [0; MAX_CONDITION_LEN],
            sample: [[I8F24::ZERO; ACTION_DIM]; MAX_HORIZON],
            output: [[I8F24::ZERO; ACTION_DIM]; MAX_HORIZON],
        }
    }

    /// The memory cut into what a network of these sizes needs; [`Sizes::total`] is at most [`ARENA_LEN`].
    pub(crate) fn parts(&mut self, sizes: &Sizes) -> Parts<'_> {
        let (input, rest) = slices::split_mut(&mut self.arena, sizes.input);
        let (hidden, rest) = slices::split_mut(rest, sizes.hidden);
        let (output, rest) = slices::split_mut(rest, sizes.hidden);
        let (skips, rest) = slices::split_mut(rest, sizes.skips);
        Parts {
            activations: Activations {
                input,
                hidden,
                output,
                skips,
                panel: &mut self.panel,
            },
            film: slices::part_mut(rest, 0, sizes.film),
            condition: slices::part_mut(&mut self.condition, 0, sizes.condition),
            sample: slices::part_mut(&mut self.sample, 0, sizes.horizon),
            output: slices::part_mut(&mut self.output, 0, sizes.horizon),
        }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// A [`Scratch`], cut up.
pub(crate) struct Parts<'s> {
    pub(crate) activations: Activations<'s>,
    /// The observation's share of every FiLM projection, in the order of the blocks.
    pub(crate) film: &'s mut [i16],
    /// `mish` of the normalised window of observations.
    pub(crate) condition: &'s mut [i16],
    /// `x_t`.
    pub(crate) sample: &'s mut [[I8F24; ACTION_DIM]],
    /// What the network made of it.
    pub(crate) output: &'s mut [[I8F24; ACTION_DIM]],
}

/// The network's three buffers and its skips.
pub(crate) struct Activations<'s> {
    /// What a block reads, and in the end writes; wide enough for two tensors side by side.
    pub(crate) input: &'s mut [i16],
    /// Between a block's two convolutions; then its residual.
    pub(crate) hidden: &'s mut [i16],
    /// After a block's second convolution.
    pub(crate) output: &'s mut [i16],
    /// One tensor a level, from the second level on.
    pub(crate) skips: &'s mut [i16],
    /// Working memory of the kernels.
    pub(crate) panel: &'s mut Panel,
}

const _: () = assert!(MAX_CONDITION_LEN.is_multiple_of(LANES) && MAX_ACTIVATION_EXPONENT <= 16);
