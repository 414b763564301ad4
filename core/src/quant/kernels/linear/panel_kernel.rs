//! What the tuned kernels of Arm cores share: the work is cut into panels, checked, and handed to an assembler routine.
#![allow(unsafe_code)]

use super::kernel::{self, Input};
use super::{LANES, Linear, Outputs, Windows, reference};
use crate::quant::kernels::panel::{Panel, view};

/// What a routine is told. It copies the struct to its stack, and keeps what it has no register for there.
#[repr(C)]
pub(crate) struct Job {
    panel: *const Input,
    n_chunks: usize,
    output: *mut i16,
    output_step_bytes: usize,
    rows_end: *const u8,
    row_size: usize,
    rows: *const u8,
}

/// All rows from `rows` to `rows_end` (one at least, from a whole word's address on; shifts above 32) against the `P` windows of
/// `n_chunks * 8` inputs (one chunk at least) in the panel; row `c`'s outputs go to `output + 2 c`, `output_step_bytes` apart.
pub(crate) type Routine = unsafe extern "C" fn(&Job);

/// As [`Linear::apply`].
pub(crate) fn apply(
    linear: Linear<'_>,
    windows: Windows<'_>,
    panel: &mut Panel,
    outputs: Outputs<'_>,
) {
    let is_for_routines = linear.is_upper_word_enough
        && linear.rows.as_ptr().cast::<u32>().is_aligned()
        && linear.rows.len() >= Linear::row_size(LANES)
        && linear.window >= LANES
        && kernel::can_take(linear);
    if !is_for_routines {
        return reference::multiply(linear, windows, outputs);
    }
    let panel = view::<Input>(panel);
    let mut position = 0;
    while position < windows.n_positions {
        let rest = windows.skip_positions(position);
        let places = outputs.values.get_mut(position * outputs.step..);
        let places = Outputs {
            values: places.unwrap_or_default(),
            step: outputs.step,
        };
        let fits = |n: usize| rest.n_positions >= n && n * linear.window <= panel.len();
        position += if fits(4) {
            some_positions::<4>(kernel::ROUTINE_4, linear, rest, panel, places)
        } else if fits(2) {
            some_positions::<2>(kernel::ROUTINE_2, linear, rest, panel, places)
        } else {
            some_positions::<1>(kernel::ROUTINE_1, linear, rest, panel, places)
        };
    }
}

/// The first `P` positions; `routine` is for as many.
#[inline(always)]
fn some_positions<const P: usize>(
    routine: Routine,
    linear: Linear<'_>,
    windows: Windows<'_>,
    panel: &mut [Input],
    outputs: Outputs<'_>,
) -> usize {
    let row_size = Linear::row_size(linear.window);
    let n_rows = linear.n_rows();
    let fits = P * linear.window <= panel.len()
        && windows.values.len() >= (P - 1) * windows.step + linear.window
        && outputs.values.len() >= (P - 1) * outputs.step + n_rows;
    if !fits {
        let first = Windows {
            n_positions: P,
            ..windows
        };
        reference::multiply(linear, first, outputs);
        return P;
    }
    kernel::fill::<P>(panel, windows, linear.window);
    let rows = linear.rows.as_ptr();
    let job = Job {
        panel: panel.as_ptr(),
        n_chunks: linear.window / LANES,
        output: outputs.values.as_mut_ptr(),
        output_step_bytes: 2 * outputs.step,
        rows_end: rows.wrapping_add(n_rows * row_size),
        row_size,
        rows,
    };
    // SAFETY: `Routine` says what is read and written, and `fits` that it is there: P windows in the panel (filled above), P
    // outputs a row. `apply` has checked the rows' alignment, that there is one, and that it has a chunk.
    unsafe { routine(&job) };
    P
}

/// A panel of whole words: for each weight, in the file's order, the inputs of the first `P` windows.
#[cfg(any(armv6m, mla))]
#[inline(always)]
pub(crate) fn fill_words<const P: usize>(panel: &mut [i32], windows: Windows<'_>, window: usize) {
    let quads: [_; P] = core::array::from_fn(|position| {
        let values = super::from(windows.values, position * windows.step);
        values.as_chunks::<4>().0
    });
    let mut quads = quads.map(|quads| quads.iter());
    for places in panel.chunks_exact_mut(4 * P).take(window / 4) {
        for (position, quads) in quads.iter_mut().enumerate() {
            if let Some(quad) = quads.next() {
                for (input, place) in quad.iter().zip(super::PACKING) {
                    if let Some(place) = places.get_mut(place * P + position) {
                        *place = i32::from(*input);
                    }
                }
            }
        }
    }
}
