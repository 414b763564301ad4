//! The linear product by `SMLAD`: two MACs per instruction.
#![allow(unsafe_code)]

mod nibbles;

use crate::quant::arch::cortex_m::armv7m_rows::{begin, begin_row, end_row, end_sums, scale};
use crate::quant::arch::cortex_m::assembler::{assembler_cpu, lines};
use crate::quant::arch::cortex_m::linear::{Job, Microkernel, Tiles};
use crate::quant::kernels::linear::weights::WeightBits;
use crate::quant::kernels::linear::{LANES, Windows};
use crate::quant::kernels::slices::from;
use core::arch::naked_asm;

/// The product by `SMLAD`.
pub(crate) struct Smlad;

// SAFETY: the routines read the panel as `fill` lays it out, to the end of its last chunk, and the
// rest as `Routine` says.
unsafe impl Microkernel for Smlad {
    /// For each two weights, two inputs of the first position, then of the second, ..
    type Input = i16;
    const BYTES: Tiles = Tiles {
        of_4: rows_times_4,
        of_2: rows_times_2,
        of_1: rows_times_1,
    };
    const NIBBLES: Tiles = nibbles::TILES;

    #[inline(always)]
    unsafe fn fill<const P: usize>(
        panel: &mut [i16],
        windows: Windows<'_>,
        window: usize,
        _: WeightBits,
    ) {
        let is_aligned = windows.values.as_ptr().cast::<u32>().is_aligned();
        if P == 4 && is_aligned && windows.step.is_multiple_of(2) {
            // SAFETY: the caller's: there are four windows, and the panel has room for them.
            unsafe {
                copy_4(
                    panel.as_mut_ptr(),
                    windows.values.as_ptr(),
                    window / LANES,
                    2 * windows.step,
                )
            }
            return;
        }
        let pairs: [_; P] = core::array::from_fn(|position| {
            let values = from(windows.values, position * windows.step);
            values.as_chunks::<2>().0
        });
        let places = panel.as_chunks_mut::<2>().0.chunks_exact_mut(P);
        let mut pairs = pairs.map(|pairs| pairs.iter());
        for places in places.take(window / 2) {
            for (place, pairs) in places.iter_mut().zip(&mut pairs) {
                if let Some(pair) = pairs.next() {
                    *place = *pair;
                }
            }
        }
    }
}

/// Two pairs of inputs of each of four windows (r1, r4, r3, r5): 6 instructions for 16 inputs.
macro_rules! copy_pairs {
    () => {
        lines!(
            "ldrd r6, r10, [r1], #8",
            "ldrd r7, r11, [r4], #8",
            "ldrd r8, r12, [r3], #8",
            "ldrd r9, lr, [r5], #8",
            "stm r0!, {{r6-r9}}",
            "stm r0!, {{r10-r12, lr}}",
        )
    };
}

/// `n_chunks` (one at least) of eight inputs of each of four windows, `step_bytes` apart and
/// aligned for words.
#[unsafe(naked)]
unsafe extern "C" fn copy_4(
    panel: *mut i16,
    windows: *const i16,
    n_chunks: usize,
    step_bytes: usize,
) {
    naked_asm!(
        assembler_cpu!(),
        "push {{r4-r11, lr}}",
        "add r4, r1, r3",
        "add r5, r4, r3, lsl #1",
        "add r3, r1, r3, lsl #1",
        "2:",
        copy_pairs!(),
        copy_pairs!(),
        "subs r2, r2, #1",
        "bne 2b",
        "pop {{r4-r11, pc}}",
    )
}

/// Two inputs of each of four positions (r6 to r9) times two weights (r12) added to the sums (r2 to
/// r5).
macro_rules! pair_times_4 {
    ($widen:expr) => {
        lines!(
            $widen,
            "ldm r1!, {{r6-r9}}",
            "smlad r2, r12, r6, r2",
            "smlad r3, r12, r7, r3",
            "smlad r4, r12, r8, r4",
            "smlad r5, r12, r9, r5",
        )
    };
}
use pair_times_4;

/// Eight weights, four positions: 25 instructions for 32 products.
macro_rules! chunk_times_4 {
    () => {
        lines!(
            "ldm r0!, {{r10, r11}}",
            pair_times_4!("sxtb16 r12, r10"),
            pair_times_4!("sxtb16 r12, r10, ror #8"),
            pair_times_4!("sxtb16 r12, r11"),
            pair_times_4!("sxtb16 r12, r11, ror #8"),
        )
    };
}

/// Four positions, two chunks per iteration; an odd number of chunks enters the loop in its middle.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_4(_: &Job) {
    naked_asm!(
        begin!(),
        "1:",
        begin_row!(),
        "mov r3, r2",
        "mov r4, r2",
        "mov r5, r2",
        "lsrs lr, lr, #1",
        "bcs 3f",
        "subs lr, lr, #1",
        "2:",
        chunk_times_4!(),
        "3:",
        chunk_times_4!(),
        "subs lr, lr, #1",
        "bpl 2b",
        end_sums!(),
        "add r10, r9, r9, lsl #1",
        scale!("r2"),
        scale!("r3"),
        scale!("r4"),
        scale!("r5"),
        "strh r2, [r8]",
        "strh r3, [r8, r9]",
        "strh r4, [r8, r9, lsl #1]",
        "strh r5, [r8, r10]",
        end_row!(),
    )
}

/// Four weights (`$four`) times four inputs of each of two positions (r4 to r7) added to the sums
/// (r2, r3).
macro_rules! four_times_2 {
    ($four:literal) => {
        lines!(
            concat!("sxtb16 r12, ", $four),
            "ldm r1!, {{r4-r7}}",
            "smlad r2, r12, r4, r2",
            "smlad r3, r12, r5, r3",
            concat!("sxtb16 r12, ", $four, ", ror #8"),
            "smlad r2, r12, r6, r2",
            "smlad r3, r12, r7, r3",
        )
    };
}
use four_times_2;

/// Sixteen weights, two positions: 29 instructions for 32 products.
macro_rules! two_chunks_times_2 {
    () => {
        lines!(
            "ldm r0!, {{r8-r11}}",
            four_times_2!("r8"),
            four_times_2!("r9"),
            four_times_2!("r10"),
            four_times_2!("r11"),
        )
    };
}

/// Two positions: an odd chunk first, then four chunks per iteration, entering the loop in its
/// middle if two are left over.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_2(_: &Job) {
    naked_asm!(
        begin!(),
        "1:",
        begin_row!(),
        "mov r3, r2",
        "lsrs lr, lr, #1",
        "bcc 2f",
        "ldm r0!, {{r8, r9}}",
        four_times_2!("r8"),
        four_times_2!("r9"),
        "2:",
        "lsrs lr, lr, #1",
        "bcs 4f",
        "subs lr, lr, #1",
        "bmi 5f",
        "3:",
        two_chunks_times_2!(),
        "4:",
        two_chunks_times_2!(),
        "subs lr, lr, #1",
        "bpl 3b",
        "5:",
        end_sums!(),
        scale!("r2"),
        scale!("r3"),
        "strh r2, [r8]",
        "strh r3, [r8, r9]",
        end_row!(),
    )
}

/// Four weights (`$four`) times two pairs of inputs added to the sum (r2).
macro_rules! four_times_1 {
    ($four:literal, $low:literal, $high:literal) => {
        lines!(
            concat!("sxtb16 r12, ", $four),
            concat!("smlad r2, r12, ", $low, ", r2"),
            concat!("sxtb16 r12, ", $four, ", ror #8"),
            concat!("smlad r2, r12, ", $high, ", r2"),
        )
    };
}
use four_times_1;

/// One position: 10 instructions for 8 products.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_1(_: &Job) {
    naked_asm!(
        begin!(),
        "1:",
        begin_row!(),
        "2:",
        "ldm r0!, {{r8, r9}}",
        "ldm r1!, {{r4-r7}}",
        four_times_1!("r8", "r4", "r5"),
        four_times_1!("r9", "r6", "r7"),
        "subs lr, lr, #1",
        "bne 2b",
        end_sums!(),
        scale!("r2"),
        "strh r2, [r8]",
        end_row!(),
    )
}
