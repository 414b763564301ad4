//! Normalisation by a kernel: some groups after the other.

use super::epilogue::{Epilogue, EpilogueShifts};
use super::factors::{Channel, Factors};
use super::group::{Scaled, Sums};
use super::kernel::{MOST_CHANNELS, MOST_GROUPS, NormKernel};
use super::{Norm, Parameters};
use crate::quant::kernels::panel::{Panel, view};
use crate::quant::kernels::slices;

/// A [`Panel`], cut up.
pub(crate) struct Memory<'p> {
    pub(crate) channels: &'p mut [Channel],
    pub(crate) groups: &'p mut [Scaled],
    pub(crate) sums: &'p mut [Sums],
}

impl<'p> Memory<'p> {
    const CHANNELS_LEN: usize = MOST_CHANNELS * size_of::<Channel>() / size_of::<u64>();
    const GROUPS_LEN: usize = MOST_GROUPS * size_of::<Scaled>() / size_of::<u64>();
    const SUMS_LEN: usize = MOST_GROUPS * size_of::<Sums>() / size_of::<u64>();
    /// Words of a panel that it needs.
    pub(crate) const LEN: usize = Self::CHANNELS_LEN + Self::GROUPS_LEN + Self::SUMS_LEN;

    /// Nothing if the panel is shorter than [`LEN`](Self::LEN).
    #[inline(always)]
    fn of(panel: &'p mut Panel) -> Option<Self> {
        let (channels, rest) = panel.get_mut(..Self::LEN)?.split_at_mut(Self::CHANNELS_LEN);
        let (groups, sums) = rest.split_at_mut(Self::GROUPS_LEN);
        Some(Self {
            channels: view(channels),
            groups: view(groups),
            sums: view(sums),
        })
    }
}

/// How many groups are summed together, and how many of their channels are then computed together:
/// several groups, or a part of one.
#[inline(always)]
fn tile_shape(group_size: usize) -> (usize, usize) {
    let group_size = group_size.max(1);
    let n_groups = (MOST_CHANNELS / group_size).clamp(1, MOST_GROUPS);
    (n_groups, (n_groups * group_size).min(MOST_CHANNELS))
}

impl Norm<'_> {
    /// [`activate`](Self::activate) by kernel `K`; what `K` does not take, and groups whose variance
    /// is too large for it, by the reference implementation.
    #[inline(always)]
    pub(crate) fn activate_with<K: NormKernel>(
        self,
        x: &[i16],
        out: &mut [i16],
        epilogue: &Epilogue<'_>,
        panel: &mut Panel,
    ) {
        let (true, Some(shifts), Some(mut memory)) =
            (self.is_for_kernels, epilogue.shifts(), Memory::of(panel))
        else {
            return self.activate_reference(x, out, epilogue);
        };
        if !K::activate_all(self, x, out, (epilogue, shifts), &mut memory) {
            self.activate_tiles::<K>(x, out, (epilogue, shifts), memory);
        }
    }

    /// By the kernel's steps, for some groups after the other.
    #[cfg_attr(kernels = "armv81m", inline(never))]
    #[cfg_attr(not(kernels = "armv81m"), inline(always))]
    fn activate_tiles<K: NormKernel>(
        self,
        x: &[i16],
        out: &mut [i16],
        (epilogue, shifts): (&Epilogue<'_>, EpilogueShifts),
        memory: Memory<'_>,
    ) {
        let n_channels = self.n_channels();
        let n_positions = x.len() / n_channels.max(1);
        let group_size = n_channels / self.n_groups().max(1);
        let len = n_positions * group_size;
        let Some(mut kernel) = K::new(n_positions, n_channels, shifts) else {
            return self.activate_reference(x, out, epilogue);
        };
        let (n_groups, tile_size) = tile_shape(group_size);
        let (mut first, mut n_left) = (0, self.n_groups());
        let mut parameters: &[Parameters] = self.parameters.as_chunks().0;
        while n_left > 0 {
            let n_groups = n_groups.min(n_left);
            n_left -= n_groups;
            let sums = slices::part_mut(memory.sums, 0, n_groups);
            let groups = slices::part_mut(memory.groups, 0, n_groups);
            kernel.sums(x, first, group_size, sums);
            if !Scaled::of_all(self, len, sums, groups) {
                let end = first + n_groups * group_size;
                self.activate_groups(first..end, x, out, epilogue);
                parameters = slices::from(parameters, end - first);
                first = end;
                continue;
            }
            let end = first + n_groups * group_size;
            while first < end {
                let size = tile_size.min(end - first);
                let (of_tile, others) = slices::split(parameters, size);
                let factors = Factors {
                    parameters: of_tile,
                    groups,
                    group_size,
                    film: epilogue.shares(first, size),
                };
                let channels = slices::part_mut(memory.channels, 0, size);
                kernel.write_factors(&factors, channels);
                kernel.activate(x, out, first, channels);
                (first, parameters) = (first + size, others);
            }
        }
    }
}
