//! What the assembler routines of normalisation share: the work is checked and handed over.
#![allow(unsafe_code)]

use super::super::mish;
use super::assembled::{self, POSITIONS};
use super::factors::Factors;
use super::kernel::{self, Channel, Last, Sums, half};
use core::ptr::null;

/// As [`kernel::Kernel`].
pub(crate) struct Kernel<'v> {
    /// For what there is no routine for.
    portable: kernel::Kernel<'v>,
    n_channels: usize,
    /// Nothing where factors are for [`Self::portable`].
    routine: Option<Routine>,
    job: Job,
}

impl<'v> Kernel<'v> {
    /// As [`kernel::Kernel::new`].
    #[inline(always)]
    pub(crate) fn new(
        x: &'v [i16],
        out: &'v mut [i16],
        n_channels: usize,
        last: Last,
    ) -> Option<Self> {
        let len = x.len().min(out.len());
        let portable = kernel::Kernel::new(x, out, n_channels, last)?;
        let n_positions = portable.n_positions();
        let fits = n_positions > 0
            && n_positions.is_multiple_of(POSITIONS)
            && len >= n_positions * n_channels;
        let (routine, up, down) = match last {
            Last::Modulate { shift } => (*assembled::MODULATE.get(shift as usize)?, 0, 0),
            Last::Add { up, down } => (assembled::ADD, up, down),
        };
        if !fits {
            return None;
        }
        let job = Job {
            to_out: 0,
            step_bytes: 2 * n_channels,
            x: null(),
            channels: null(),
            channels_end: null(),
            segments: mish::SEGMENTS.as_ptr(),
            n_rounds: n_positions / POSITIONS,
            to_next_round: 0,
            old_factor: 1 << up,
            half: half(down),
            down,
            n_channels: 0,
        };
        Some(Self {
            portable,
            n_channels,
            routine: Some(routine),
            job,
        })
    }

    pub(crate) fn n_positions(&self) -> usize {
        self.portable.n_positions()
    }

    /// As [`kernel::Kernel::tensors`].
    pub(crate) fn tensors(&mut self) -> (&[i16], &mut [i16]) {
        self.portable.tensors()
    }

    /// As [`kernel::Kernel::sums`].
    #[inline(always)]
    pub(crate) fn sums(&self, first: usize, size: usize, sums: &mut [Sums]) {
        let are_there =
            size > 0 && !sums.is_empty() && first + sums.len() * size <= self.n_channels;
        let x = self.portable.x.as_ptr().wrapping_add(first);
        // SAFETY: `are_there`: there are rows, a multiple of `POSITIONS` (`new` has looked), and in each these channels.
        let done = are_there
            && unsafe { assembled::sum(x, self.n_channels, self.n_positions(), size, sums) };
        if !done {
            self.portable.sums(first, size, sums);
        }
    }

    /// As [`kernel::Kernel::write_factors`].
    #[inline(always)]
    pub(crate) fn write_factors(&mut self, factors: &Factors<'_>, channels: &mut [Channel]) {
        let is_written = self.routine.is_some() && assembled::write_factors(factors, channels);
        if !is_written {
            if !assembled::TAKES_CHANNELS {
                self.routine = None;
            }
            self.portable.write_factors(factors, channels);
        }
    }

    /// As [`kernel::Kernel::activate`].
    #[inline(always)]
    pub(crate) fn activate(&mut self, first: usize, channels: &[Channel]) {
        let is_there = !channels.is_empty() && first + channels.len() <= self.n_channels;
        debug_assert!(is_there);
        let (Some(routine), true) = (self.routine, is_there) else {
            if !assembled::TAKES_CHANNELS {
                self.portable.activate(first, channels);
            }
            return;
        };
        let job = &mut self.job;
        let (x, out) = self.portable.tensors();
        let (x, out) = (x.as_ptr(), out.as_mut_ptr());
        job.to_out = (out as usize).wrapping_sub(x as usize);
        job.x = x.wrapping_add(first);
        job.channels = channels.as_ptr();
        job.channels_end = channels.as_ptr_range().end;
        job.n_channels = channels.len();
        job.to_next_round = 2 * (POSITIONS * self.n_channels - channels.len());
        // SAFETY: `is_there`: there are rows, a multiple of `POSITIONS` (`new` has looked), and in each these channels, one at least, in both
        // tensors. What is read of the table lies in it, whatever the value: the index has `INDEX_BITS` bits.
        unsafe { routine(job) };
    }
}

/// What a routine is told: `n_rounds` times, for each channel, [`POSITIONS`] values `step_bytes` apart.
#[repr(C)]
pub(crate) struct Job {
    /// From a value to its place in the output, bytes.
    to_out: usize,
    step_bytes: usize,
    x: *const i16,
    channels: *const Channel,
    channels_end: *const Channel,
    segments: *const mish::Segment,
    n_rounds: usize,
    /// From behind a row's last channel to the next round's first, bytes.
    to_next_round: usize,
    /// What is there is multiplied by it before it is added.
    old_factor: i32,
    /// Of a unit that is shifted by `down`.
    half: i32,
    down: u32,
    n_channels: usize,
}

pub(crate) type Routine = unsafe extern "C" fn(&Job);
