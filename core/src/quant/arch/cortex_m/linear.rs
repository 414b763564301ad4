//! The linear product on a Cortex-M: im2col of a tile of positions into the panel, then an
//! assembler routine over all rows.
//!
//! A tile is four positions (two, or one, for the rest and for windows too large for the panel).
//! The panel interleaves their windows so that one instruction loads the operands of several
//! multiplications and one pointer walks through all of them, which leaves registers for the sums.
#![allow(unsafe_code)]

use crate::quant::kernels::linear::weights::WeightBits;
use crate::quant::kernels::linear::{
    LANES, Linear, LinearKernel, Outputs, Product, Windows, reference,
};
use crate::quant::kernels::panel::{Panel, view};
#[cfg(any(kernels = "armv6m", kernels = "armv7m"))]
use crate::quant::kernels::{linear::PACKING, slices::from};
use bytemuck::Pod;

/// What a routine is told. A routine copies it to its stack, as room for what it has no register
/// for.
#[repr(C)]
pub(crate) struct Job {
    panel: *const u8,
    n_chunks: usize,
    output: *mut i16,
    output_step_bytes: usize,
    rows_end: *const u8,
    row_size: usize,
    rows: *const u8,
}

/// An assembler routine: all rows times the `P` windows in the panel.
///
/// # Safety
/// The job must have `n_chunks * 8` inputs (one chunk at least) of each of `P` windows in the
/// panel, rows with as many weights, of the routine's bits, from `rows` to `rows_end` (one row at
/// least; aligned to words; shifts above 32), and places for row `c`'s outputs at `output + 2 c`, `output_step_bytes` apart.
pub(crate) type Routine = unsafe extern "C" fn(&Job);

/// The routines for tiles of four, two and one positions.
#[derive(Clone, Copy)]
pub(crate) struct Tiles {
    pub(crate) of_4: Routine,
    pub(crate) of_2: Routine,
    pub(crate) of_1: Routine,
}

/// What an instruction set adds: the panel's layout and the routines. It makes a [`LinearKernel`].
///
/// # Safety
/// Given what [`Routine`] demands, the routines read and write nothing else, for rows that
/// [`can_take`](Self::can_take) allows.
pub(crate) unsafe trait Microkernel {
    /// An input in the panel.
    type Input: Pod;
    /// The routines for weights of 8 bits.
    const BYTES: Tiles;
    /// The routines for weights of 4 bits.
    const NIBBLES: Tiles;

    /// Whether the routines take these rows.
    fn can_take(_: Linear<'_>) -> bool {
        true
    }

    /// Lays the first `P` windows, of `window` inputs, in the panel, for weights of `bits` bits.
    ///
    /// # Safety
    /// `window` must be a multiple of [`LANES`], at least one, the panel must have room for `P`
    /// windows, and `windows` must have as many.
    unsafe fn fill<const P: usize>(
        panel: &mut [Self::Input],
        windows: Windows<'_>,
        window: usize,
        bits: WeightBits,
    );
}

impl<M: Microkernel> LinearKernel for M {
    const INPUT_SIZE: usize = size_of::<M::Input>();

    #[inline(always)]
    fn apply(linear: Linear<'_>, products: &mut [Product<'_>]) {
        for product in products {
            let outputs = product.outputs.reborrow();
            apply::<M>(linear, product.windows, product.panel, outputs);
        }
    }
}

/// The product of one environment.
#[inline(always)]
fn apply<M: Microkernel>(
    linear: Linear<'_>,
    windows: Windows<'_>,
    panel: &mut Panel,
    outputs: Outputs<'_>,
) {
    let is_for_routines = linear.is_upper_word_enough
        && linear.rows.as_ptr().cast::<u32>().is_aligned()
        && linear.rows.len() >= linear.own_row_size()
        && linear.window() >= LANES
        && M::can_take(linear);
    if !is_for_routines {
        return reference::multiply(linear, windows, outputs);
    }
    let tiles = match linear.bits {
        WeightBits::Four => M::NIBBLES,
        WeightBits::Eight => M::BYTES,
    };
    let panel = view::<M::Input>(panel);
    let mut position = 0;
    while position < windows.n_positions {
        let rest = windows.skip_positions(position);
        let places = outputs.values.get_mut(position * outputs.step..);
        let mut places = Outputs {
            values: places.unwrap_or_default(),
            step: outputs.step,
        };
        let fits = |n: usize| rest.n_positions >= n && n * linear.window() <= panel.len();
        let (n_positions, is_done) = if fits(4) {
            (
                4,
                tile::<M, 4>(tiles.of_4, linear, rest, panel, &mut places),
            )
        } else if fits(2) {
            (
                2,
                tile::<M, 2>(tiles.of_2, linear, rest, panel, &mut places),
            )
        } else {
            (
                1,
                tile::<M, 1>(tiles.of_1, linear, rest, panel, &mut places),
            )
        };
        if !is_done {
            let first = Windows {
                n_positions,
                ..rest
            };
            reference::multiply(linear, first, places);
        }
        position += n_positions;
    }
}

/// The first `P` positions, by the routine for as many; false, and nothing done, if panel, windows
/// or outputs are too short.
#[inline(always)]
fn tile<M: Microkernel, const P: usize>(
    routine: Routine,
    linear: Linear<'_>,
    windows: Windows<'_>,
    panel: &mut [M::Input],
    outputs: &mut Outputs<'_>,
) -> bool {
    let row_size = linear.own_row_size();
    let n_rows = linear.n_rows();
    let fits = P * linear.window() <= panel.len()
        && windows.values.len() >= (P - 1) * windows.step + linear.window()
        && outputs.values.len() >= (P - 1) * outputs.step + n_rows;
    if !fits {
        return false;
    }
    // SAFETY: `fits`; `apply` has checked that a row has a chunk, and a window is whole chunks.
    unsafe { M::fill::<P>(panel, windows, linear.window(), linear.bits) };
    let rows = linear.rows.as_ptr();
    let job = Job {
        panel: panel.as_ptr().cast(),
        n_chunks: linear.window() / LANES,
        output: outputs.values.as_mut_ptr(),
        output_step_bytes: 2 * outputs.step,
        rows_end: rows.wrapping_add(n_rows * row_size),
        row_size,
        rows,
    };
    // SAFETY: `fits`: the panel has P windows, filled above, and there are places for P outputs of
    // each row. `apply` has checked the rows' alignment and shifts, that there is one, and that it
    // has a chunk.
    unsafe { routine(&job) };
    true
}

/// [`Microkernel::fill`] of a panel of words: for each weight, in the file's order, the inputs of
/// the `P` windows.
///
/// # Safety
/// That of [`Microkernel::fill`].
#[cfg(any(kernels = "armv6m", kernels = "armv7m"))]
#[inline(always)]
pub(crate) unsafe fn fill_words<const P: usize>(
    panel: &mut [i32],
    windows: Windows<'_>,
    window: usize,
) {
    let quads: [_; P] = core::array::from_fn(|position| {
        let values = from(windows.values, position * windows.step);
        values.as_chunks::<4>().0
    });
    let mut quads = quads.map(|quads| quads.iter());
    let places = panel.as_chunks_mut::<P>().0.as_chunks_mut::<4>().0;
    for places in places.iter_mut().take(window / 4) {
        for (position, quads) in quads.iter_mut().enumerate() {
            // SAFETY: the caller's: each of the `P` windows has `window` inputs.
            let quad = unsafe { quads.next().unwrap_unchecked() };
            for (input, place) in quad.iter().zip(PACKING) {
                let place = places.get_mut(place);
                if let Some(place) = place.and_then(|place| place.get_mut(position)) {
                    *place = i32::from(*input);
                }
            }
        }
    }
}
