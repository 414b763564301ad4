//! What the assembler routines of normalisation share: the work is checked and handed over.
#![allow(unsafe_code)]

use super::super::mish;
use super::kernel::{self, Channel, Last, half};
use super::{Scaled, assembled};
use core::ptr::null;

/// As [`kernel::Kernel`].
pub(super) struct Kernel<'v> {
    /// For what there is no routine for.
    portable: kernel::Kernel<'v>,
    n_channels: usize,
    routine: Option<Routine>,
    job: Job,
}

impl<'v> Kernel<'v> {
    /// As [`kernel::Kernel::new`].
    #[inline(always)]
    pub(super) fn new(x: &'v [i16], out: &'v mut [i16], n_channels: usize, last: Last) -> Self {
        let len = x.len().min(out.len());
        let portable = kernel::Kernel::new(x, out, n_channels, last);
        let n_positions = portable.n_positions();
        let fits = n_positions > 0
            && n_positions.is_multiple_of(assembled::POSITIONS)
            && len >= n_positions * n_channels;
        let (routine, up, down) = match last {
            Last::Modulate { shift } => (assembled::MODULATE.get(shift as usize).copied(), 0, 0),
            Last::Add { up, down } => (Some(assembled::ADD), up, down),
        };
        let job = Job {
            to_out: 0,
            step_bytes: 2 * n_channels,
            x: null(),
            n: 0,
            minus_sum: 0,
            channels: null(),
            channels_end: null(),
            segments: mish::SEGMENTS.as_ptr(),
            rounding: mish::rounding(half(down)),
            n_rounds: n_positions / assembled::POSITIONS,
            to_next_round: 0,
            old_factor: 1 << up,
            down,
        };
        Self {
            portable,
            n_channels,
            routine: routine.filter(|_| fits),
            job,
        }
    }

    pub(super) fn n_positions(&self) -> usize {
        self.portable.n_positions()
    }

    /// As [`kernel::Kernel::tensors`].
    pub(super) fn tensors(&mut self) -> (&[i16], &mut [i16]) {
        self.portable.tensors()
    }

    /// As [`kernel::Kernel::sums`].
    #[inline(always)]
    pub(super) fn sums(&self, first: usize, size: usize) -> (i32, u64) {
        let is_there = self.routine.is_some() && size > 0 && first + size <= self.n_channels;
        if !is_there || !size.is_multiple_of(assembled::SUMMED) {
            return self.portable.sums(first, size);
        }
        let rows = Rows {
            x: self.portable.x.as_ptr().wrapping_add(first),
            n_summed: size / assembled::SUMMED,
            skip_bytes: 2 * (self.n_channels - size),
            n_rows: self.portable.n_positions(),
        };
        let mut sums = Sums::default();
        // SAFETY: `is_there`: there are rows (`new` has looked), and in each these channels, a whole number of times what is summed at once.
        unsafe { assembled::sum_rows(&rows, &mut sums) };
        (
            sums.sum,
            u64::from(sums.squares[1]) << 32 | u64::from(sums.squares[0]),
        )
    }

    /// As [`kernel::Kernel::activate`].
    #[inline(always)]
    pub(super) fn activate(&mut self, first: usize, channels: &[Channel], scaled: Scaled) {
        let is_there = !channels.is_empty() && first + channels.len() <= self.n_channels;
        let (Some(routine), true) = (self.routine, is_there) else {
            return self.portable.activate(first, channels, scaled);
        };
        let job = &mut self.job;
        let (x, out) = self.portable.tensors();
        let (x, out) = (x.as_ptr(), out.as_mut_ptr());
        job.to_out = (out as usize).wrapping_sub(x as usize);
        job.x = x.wrapping_add(first);
        job.n = scaled.n;
        job.minus_sum = scaled.sum.wrapping_neg();
        job.channels = channels.as_ptr();
        job.channels_end = channels.as_ptr_range().end;
        job.to_next_round = 2 * (assembled::POSITIONS * self.n_channels - channels.len());
        // SAFETY: `is_there`: there are rows, a whole number of rounds of them (`new` has looked), and in each these channels, one at least,
        // in both tensors. What is read of the table lies in it, whatever the value: the index has `INDEX_BITS` bits.
        unsafe { routine(job) };
    }
}

/// Rows of values that are summed.
#[repr(C)]
pub(super) struct Rows {
    x: *const i16,
    /// [`assembled::SUMMED`] values each.
    n_summed: usize,
    /// From behind a row's last value to the next one's first.
    skip_bytes: usize,
    n_rows: usize,
}

/// Of values, and of their squares (the lower word first).
#[derive(Default)]
#[repr(C)]
pub(super) struct Sums {
    sum: i32,
    squares: [u32; 2],
}

/// What a routine is told: `n_rounds` times, for each channel, [`assembled::POSITIONS`] values `step_bytes` apart.
#[repr(C)]
pub(super) struct Job {
    /// From a value to its place in the output, bytes.
    to_out: usize,
    step_bytes: usize,
    x: *const i16,
    n: i32,
    minus_sum: i32,
    channels: *const Channel,
    channels_end: *const Channel,
    segments: *const u32,
    rounding: i32,
    n_rounds: usize,
    /// From behind a row's last channel to the next round's first, bytes.
    to_next_round: usize,
    /// What is there is multiplied by it before it is added.
    old_factor: i32,
    down: u32,
}

pub(super) type Routine = unsafe extern "C" fn(&Job);
