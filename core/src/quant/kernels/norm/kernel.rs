//! The seam between normalisation and the tuned kernels.

use super::epilogue::{Epilogue, EpilogueShifts};
use super::factors::{Channel, Factors};
use super::group::Sums;
use super::{Memory, Norm};

/// Most channels in a call of [`write_factors`](NormKernel::write_factors) and
/// [`activate`](NormKernel::activate).
pub(crate) const MOST_CHANNELS: usize = 64;
/// Most groups in a call of [`sums`](NormKernel::sums).
pub(crate) const MOST_GROUPS: usize = 8;
/// Most values in a group: no sum then overflows. Larger groups go to the reference implementation.
pub(crate) const MAX_KERNEL_GROUP_LEN: usize = 1 << 12;
/// Least binary places of `gamma`: the shifted `d` of a group ([`Scaled`](super::group::Scaled)) then fits 32 bits.
pub(crate) const LEAST_GAMMA_EXPONENT: u32 = 9;
const _: () = assert!(
    MAX_KERNEL_GROUP_LEN.isqrt() << (33 - LEAST_GAMMA_EXPONENT) <= 1 << 30
        && MAX_KERNEL_GROUP_LEN.isqrt().pow(2) == MAX_KERNEL_GROUP_LEN
);

/// Normalisation, Mish and epilogue of a tensor `[L][C]` for one instruction set. Its results are
/// those of [`reference`](super::reference), bit for bit.
///
/// [`Norm::activate_with`] calls `activate_all`. Where that has no routine for the tensor, it makes
/// a kernel and calls, for some groups after the other:
/// `sums`, and for all or some of their channels `write_factors` and `activate`. A kernel
/// without instructions of its own for a step calls that of
/// [`Portable`](super::portable::Portable).
pub(crate) trait NormKernel: Sized {
    /// For tensors of this shape; none for a shape or an epilogue that the kernel does not take.
    fn new(n_positions: usize, n_channels: usize, epilogue: EpilogueShifts) -> Option<Self>;

    /// The whole tensor; false, and nothing done, where there is no routine for it.
    #[inline(always)]
    fn activate_all(
        _: Norm<'_>,
        _: &[i16],
        _: &mut [i16],
        _: (&Epilogue<'_>, EpilogueShifts),
        _: &mut Memory<'_>,
    ) -> bool {
        false
    }

    /// Sums of adjacent groups of `size` channels, the first of which begins at channel `first`.
    fn sums(&self, x: &[i16], first: usize, size: usize, sums: &mut [Sums]);

    /// The factors of channels, in whatever layout [`activate`](Self::activate) reads.
    fn write_factors(&mut self, factors: &Factors<'_>, channels: &mut [Channel]);

    /// Normalises the values of these channels, the first of which is `first`, from `x` to `out`,
    /// through Mish and the epilogue.
    fn activate(&mut self, x: &[i16], out: &mut [i16], first: usize, channels: &[Channel]);
}
