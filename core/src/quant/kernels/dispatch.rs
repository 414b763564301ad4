//! Picks the kernels of the target: what the network calls.
//!
//! `build.rs` sets `cfg(kernels = "..")` to the name of a folder of [`arch`](crate::quant::arch),
//! or to `portable`. This is the only choice between kernels. A few lines of arithmetic look at the
//! same `cfg`, each beside its alternative: products of 32-bit numbers and copies on ARMv6-M
//! (`rounding`, `slices`, `norm`), the table of `mish` on ARMv7E-M, and copies on ARMv8.1-M.

#[cfg(kernels = "aarch64")]
use crate::quant::arch::aarch64 as target;
#[cfg(kernels = "armv6m")]
use crate::quant::arch::armv6m as target;
#[cfg(kernels = "armv7em")]
use crate::quant::arch::armv7em as target;
#[cfg(kernels = "armv7m")]
use crate::quant::arch::armv7m as target;
#[cfg(kernels = "armv81m")]
use crate::quant::arch::armv81m as target;
#[cfg(kernels = "wasm32")]
use crate::quant::arch::wasm32 as target;
#[cfg(kernels = "x86_64")]
use crate::quant::arch::x86_64 as target;

use super::linear::{Linear, LinearKernel, Product};
use super::norm::{Epilogue, Memory, Norm};
use super::panel::Panel;

/// Any other target.
#[cfg(kernels = "portable")]
mod target {
    pub(crate) use super::super::linear::reference::Reference as LinearKernel;
    pub(crate) use super::super::norm::portable::Portable as NormKernel;
}

/// Most bytes of a tile of more than one window: four windows of a convolution of 3 taps over 128
/// channels, or two over 256, in 16 bits.
const LARGEST_TILE_SIZE: usize = 3072;

/// Bytes of an input in the kernel that has the widest, so that every machine needs the same memory.
const WIDEST_INPUT_SIZE: usize = 4;
#[allow(
    clippy::absurd_extreme_comparisons,
    reason = "a kernel that reads the input in place has 0"
)]
const _: () = assert!(target::LinearKernel::INPUT_SIZE <= WIDEST_INPUT_SIZE);

/// Words of a kernel's working memory for a model whose largest window has `largest_window` inputs.
///
/// That is room for one window, for four where they fit 3,072 bytes, and for the factors of
/// normalisation.
pub const fn panel_len(largest_window: usize) -> usize {
    let window_size = largest_window * WIDEST_INPUT_SIZE;
    max(
        tile_size(window_size).div_ceil(size_of::<u64>()),
        Memory::LEN,
    )
}

/// Bytes of the largest tile with windows of `window_size` bytes or less.
const fn tile_size(window_size: usize) -> usize {
    max(window_size, min(4 * window_size, LARGEST_TILE_SIZE))
}

const fn min(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// Not generic, and not inlined, so that it is compiled in this crate, with its optimisation.
#[inline(never)]
fn apply(linear: Linear<'_>, products: &mut [Product<'_>]) {
    target::LinearKernel::apply(linear, products);
}

impl Linear<'_> {
    /// The product of every environment; see [`LinearKernel::apply`].
    #[inline(always)]
    pub(crate) fn apply<const B: usize>(self, mut products: [Product<'_>; B]) {
        apply(self, &mut products);
    }
}

impl Norm<'_> {
    /// `out = epilogue(mish(gamma[c] (x - mean) / sqrt(variance + eps) + beta[c]), out)` for `x`
    /// and `out`, both `[L][C]`.
    #[inline(never)]
    pub(crate) fn activate(
        self,
        x: &[i16],
        out: &mut [i16],
        epilogue: &Epilogue<'_>,
        panel: &mut Panel,
    ) {
        self.activate_with::<target::NormKernel>(x, out, epilogue, panel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_fits_and_four_do_within_3_kib() {
        for window_size in (16..10_000).step_by(16) {
            let size = tile_size(window_size);
            assert!(size >= window_size && (window_size > 3072 || size <= 3072));
            assert_eq!(size >= 4 * window_size, 4 * window_size <= 3072);
        }
    }
}
