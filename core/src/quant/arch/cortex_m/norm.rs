//! Normalisation on a Cortex-M: checks and arguments of the assembler routines.
#![allow(unsafe_code)]

use crate::quant::kernels::mish;
use crate::quant::kernels::norm::epilogue::{EpilogueShifts, half};
use crate::quant::kernels::norm::factors::{Channel, Factors};
use crate::quant::kernels::norm::group::Sums;
use crate::quant::kernels::norm::kernel::NormKernel;
use crate::quant::kernels::norm::portable::Portable;
use core::marker::PhantomData;
use core::ptr::null;

/// What a routine is told: `n_iterations` times, for every channel, [`Routines::POSITIONS`] values
/// `step_bytes` apart.
#[repr(C)]
pub(crate) struct Job {
    /// From a value to its place in the output, bytes.
    to_out: usize,
    step_bytes: usize,
    x: *const i16,
    channels: *const Channel,
    channels_end: *const Channel,
    segments: *const mish::Segment,
    n_iterations: usize,
    /// From the end of a row's channels to the first channel of the next iteration, bytes.
    to_next_iteration: usize,
    /// The old value is multiplied by it before it is added.
    old_factor: i32,
    /// What rounds the shift by `down`, where the bias does not.
    half: i32,
    /// By how much the result is shifted to the right.
    down: u32,
    n_channels: usize,
    /// By how much an activation is shifted to the left before FiLM.
    up: u32,
}

/// An assembler routine: normalisation, Mish and epilogue of some channels.
///
/// # Safety
/// The job must have one channel at least, their values in `n_iterations * POSITIONS` rows
/// `step_bytes` apart, one iteration at least, and as many places for outputs.
pub(crate) type Routine = unsafe extern "C" fn(&Job);

/// What an instruction set adds: the routines. They make a [`NormKernel`], [`Kernel`].
///
/// # Safety
/// Given what [`Routine`] demands, the routines read and write nothing else.
pub(crate) unsafe trait Routines {
    /// Positions that a routine takes at a time.
    const POSITIONS: usize;
    /// FiLM, for shifts to the right of 0, 1, 2, and all larger ones.
    const MODULATE: [Routine; 4];
    /// FiLM, for a shift to the left and one of 1 to the right.
    const MODULATE_UP: Routine;
    /// The sum with a residual.
    const ADD: Routine;

    /// [`NormKernel::sums`] from the first group's first value on; false, and nothing done, for
    /// sizes that it does not take.
    ///
    /// # Safety
    /// From `x` on there must be `n_rows` rows (a multiple of `POSITIONS`, at least one) of
    /// `n_channels` values, and in each all of these groups, at least one.
    unsafe fn sums(
        x: *const i16,
        n_channels: usize,
        n_rows: usize,
        size: usize,
        sums: &mut [Sums],
    ) -> bool;

    /// [`NormKernel::write_factors`]; false, and nothing done, where it does not take the factors'
    /// number or alignment.
    fn write_factors(factors: &Factors<'_>, channels: &mut [Channel]) -> bool;
}

/// The kernel of these routines.
pub(crate) struct Kernel<R> {
    /// For what there is no routine for.
    portable: Portable,
    n_positions: usize,
    /// Values of a tensor.
    len: usize,
    routine: Routine,
    job: Job,
    routines: PhantomData<R>,
}

impl<R> Kernel<R> {
    /// Whether a tensor of so many values has all rows, and those these channels, one at least.
    #[inline(always)]
    fn has(&self, n_values: usize, first: usize, n_channels: usize) -> bool {
        n_channels > 0 && first + n_channels <= self.portable.n_channels && n_values >= self.len
    }
}

impl<R: Routines> NormKernel for Kernel<R> {
    #[inline(always)]
    fn new(n_positions: usize, n_channels: usize, epilogue: EpilogueShifts) -> Option<Self> {
        if n_positions == 0 || !n_positions.is_multiple_of(R::POSITIONS) {
            return None;
        }
        let (routine, up, down) = match epilogue {
            EpilogueShifts::Modulate { up: 0, shift } => {
                let [.., any_shift] = R::MODULATE;
                let routine = R::MODULATE.get(shift as usize);
                (routine.copied().unwrap_or(any_shift), 0, shift)
            }
            EpilogueShifts::Modulate { up, shift } => (R::MODULATE_UP, up, shift),
            EpilogueShifts::Add { up, down } => (R::ADD, up, down),
        };
        let job = Job {
            to_out: 0,
            step_bytes: 2 * n_channels,
            x: null(),
            channels: null(),
            channels_end: null(),
            segments: mish::SEGMENTS.as_ptr(),
            n_iterations: n_positions / R::POSITIONS,
            to_next_iteration: 0,
            old_factor: 1 << up,
            half: half(down),
            down,
            n_channels: 0,
            up,
        };
        Some(Self {
            portable: Portable::new(n_positions, n_channels, epilogue)?,
            n_positions,
            len: n_positions * n_channels,
            routine,
            job,
            routines: PhantomData,
        })
    }

    #[inline(always)]
    fn sums(&self, x: &[i16], first: usize, size: usize, sums: &mut [Sums]) {
        let is_there = self.has(x.len(), first, sums.len() * size);
        let from = x.as_ptr().wrapping_add(first);
        // SAFETY: `is_there`: the rows, and in each the channels of these groups, which are at
        // least one. `new` has checked that the rows are a multiple of `POSITIONS`.
        let is_done = is_there
            && unsafe { R::sums(from, self.portable.n_channels, self.n_positions, size, sums) };
        if !is_done {
            self.portable.sums(x, first, size, sums);
        }
    }

    #[inline(always)]
    fn write_factors(&mut self, factors: &Factors<'_>, channels: &mut [Channel]) {
        if !R::write_factors(factors, channels) {
            self.portable.write_factors(factors, channels);
        }
    }

    #[inline(always)]
    fn activate(&mut self, x: &[i16], out: &mut [i16], first: usize, channels: &[Channel]) {
        let is_there = self.has(x.len().min(out.len()), first, channels.len());
        debug_assert!(is_there);
        if !is_there {
            return;
        }
        let job = &mut self.job;
        let (x, out) = (x.as_ptr(), out.as_mut_ptr());
        job.to_out = (out as usize).wrapping_sub(x as usize);
        job.x = x.wrapping_add(first);
        job.channels = channels.as_ptr();
        job.channels_end = channels.as_ptr_range().end;
        job.n_channels = channels.len();
        job.to_next_iteration = 2 * (R::POSITIONS * self.portable.n_channels - channels.len());
        // SAFETY: `is_there`: the rows of both tensors, and in each these channels, at least one.
        // `new` has checked that there are rows, a multiple of `POSITIONS`. An index into the table
        // of Mish has `INDEX_BITS` bits, whatever the value.
        unsafe { (self.routine)(job) };
    }
}
