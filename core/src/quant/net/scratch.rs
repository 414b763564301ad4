//! Working memory of a plan: the caller's slice, divided by the model's sizes.

use crate::quant::format::model::Sizes;
use crate::quant::kernels::dispatch::panel_len;
use crate::quant::kernels::panel::Panel;
use crate::quant::kernels::slices;
use bytemuck::Pod;
use fixed::types::I8F24;

/// Values of type `T` per word of 8 bytes.
const fn per_word<T>() -> usize {
    size_of::<u64>() / size_of::<T>()
}

impl Sizes {
    /// Length of the kernels' panel, in words of 8 bytes.
    pub const fn panel_len(&self) -> usize {
        panel_len(self.largest_window)
    }

    /// Length of a plan's working memory, in words of 8 bytes.
    pub const fn scratch_len(&self) -> usize {
        self.panel_len()
            + self.n_activations().div_ceil(per_word::<i16>())
            + self.n_numbers().div_ceil(per_word::<i32>())
    }

    /// Number of 16-bit values; a multiple of eight.
    const fn n_activations(&self) -> usize {
        self.input + 2 * self.hidden + self.skips + self.film + self.condition
    }

    /// Number of 32-bit values.
    const fn n_numbers(&self) -> usize {
        self.window + 2 * self.trajectory
    }
}

/// Working memory of a plan, with tensors aligned to eight values for kernels with vector loads.
pub(crate) struct Parts<'s> {
    pub(crate) activations: Activations<'s>,
    /// Projections of the observations by FiLM, in the order of the blocks; zeros when
    /// inpainting.
    pub(crate) film: &'s mut [i16],
    /// `mish` of the normalised window of observations.
    pub(crate) condition: &'s mut [i16],
    /// Window of observations, `[To][Do]`, in the fixed-point format of each value.
    pub(crate) window: &'s mut [i32],
    /// `x_t`, a trajectory: `[Tp][Da]`, or `[Tp][Da + Do]` when inpainting.
    pub(crate) sample: &'s mut [I8F24],
    /// Output of the network for `x_t`, of the same shape.
    pub(crate) output: &'s mut [I8F24],
}

/// Three buffers and the skips of the network.
pub(crate) struct Activations<'s> {
    /// Input and final output of a block; room for two concatenated tensors.
    pub(crate) input: &'s mut [i16],
    /// Tensor between a block's two convolutions; then its residual.
    pub(crate) hidden: &'s mut [i16],
    /// Output of a convolution before normalisation.
    pub(crate) output: &'s mut [i16],
    /// One tensor per level, from the second level on.
    pub(crate) skips: &'s mut [i16],
    /// Working memory of the kernels.
    pub(crate) panel: &'s mut Panel,
}

impl<'s> Parts<'s> {
    /// Divides `memory`, which has [`Sizes::scratch_len`] words.
    pub(crate) fn of(memory: &'s mut [u64], sizes: &Sizes) -> Self {
        let (panel, rest) = slices::split_mut(memory, sizes.panel_len());
        let n_words = sizes.n_activations().div_ceil(per_word::<i16>());
        let (activations, numbers) = slices::split_mut(rest, n_words);
        let (input, rest) = slices::split_mut(view(activations), sizes.input);
        let (hidden, rest) = slices::split_mut(rest, sizes.hidden);
        let (output, rest) = slices::split_mut(rest, sizes.hidden);
        let (skips, rest) = slices::split_mut(rest, sizes.skips);
        let (film, rest) = slices::split_mut(rest, sizes.film);
        let (window, numbers) = slices::split_mut(view(numbers), sizes.window);
        let (sample, numbers) = slices::split_mut(numbers, sizes.trajectory);
        Self {
            activations: Activations {
                input,
                hidden,
                output,
                skips,
                panel,
            },
            film,
            condition: slices::part_mut(rest, 0, sizes.condition),
            window,
            sample: view(sample),
            output: view(slices::part_mut(numbers, 0, sizes.trajectory)),
        }
    }
}

/// Reinterprets words as values of a type with at most their alignment.
fn view<T: Pod>(words: &mut [impl Pod]) -> &mut [T] {
    bytemuck::try_cast_slice_mut(words).unwrap_or_default()
}
