//! The linear product by `MLA`: one MAC per instruction.
#![allow(unsafe_code)]

mod nibbles;

use crate::quant::arch::cortex_m::armv7m_rows::{begin, begin_row, end_row, end_sums, scale};
use crate::quant::arch::cortex_m::assembler::{assembler_cpu, lines};
use crate::quant::arch::cortex_m::linear::{Job, Microkernel, Tiles, fill_words};
use crate::quant::kernels::linear::Windows;
use crate::quant::kernels::linear::weights::WeightBits;
use core::arch::naked_asm;

/// The product by `MLA`.
pub(crate) struct Mla;

// SAFETY: the routines read the panel as `fill` lays it out, to the end of its last chunk, and the
// rest as `Routine` says.
unsafe impl Microkernel for Mla {
    /// For each weight, in the file's order, the input of the first position, then of the second,
    /// ..; widened, so that `LDM` loads operands.
    type Input = i32;
    const BYTES: Tiles = Tiles {
        of_4: rows_times_4,
        of_2: rows_times_2,
        of_1: rows_times_1,
    };
    const NIBBLES: Tiles = nibbles::TILES;

    #[inline(always)]
    unsafe fn fill<const P: usize>(
        panel: &mut [i32],
        windows: Windows<'_>,
        window: usize,
        _: WeightBits,
    ) {
        // SAFETY: the caller's.
        unsafe { fill_words::<P>(panel, windows, window) };
    }
}

/// The next weight (r12) times the inputs of four positions (r6 to r9) added to the sums (r2 to
/// r5): 6 instructions.
macro_rules! weight_times_4 {
    () => {
        lines!(
            "ldrsb r12, [r0], #1",
            "ldm r1!, {{r6-r9}}",
            "mla r2, r12, r6, r2",
            "mla r3, r12, r7, r3",
            "mla r4, r12, r8, r4",
            "mla r5, r12, r9, r5",
        )
    };
}

/// Four positions, a chunk per iteration: 50 instructions for 32 products.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_4(_: &Job) {
    naked_asm!(
        begin!(),
        "1:",
        begin_row!(),
        "mov r3, r2",
        "mov r4, r2",
        "mov r5, r2",
        "2:",
        weight_times_4!(),
        weight_times_4!(),
        weight_times_4!(),
        weight_times_4!(),
        weight_times_4!(),
        weight_times_4!(),
        weight_times_4!(),
        weight_times_4!(),
        "subs lr, lr, #1",
        "bne 2b",
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

/// Four weights times the inputs of two positions (r4 to r11) added to the sums (r2, r3): 13
/// instructions.
macro_rules! four_weights_times_2 {
    () => {
        lines!(
            "ldm r1!, {{r4-r11}}",
            "ldrsb r12, [r0], #1",
            "mla r2, r12, r4, r2",
            "mla r3, r12, r5, r3",
            "ldrsb r12, [r0], #1",
            "mla r2, r12, r6, r2",
            "mla r3, r12, r7, r3",
            "ldrsb r12, [r0], #1",
            "mla r2, r12, r8, r2",
            "mla r3, r12, r9, r3",
            "ldrsb r12, [r0], #1",
            "mla r2, r12, r10, r2",
            "mla r3, r12, r11, r3",
        )
    };
}

/// Two positions: 28 instructions for 16 products.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_2(_: &Job) {
    naked_asm!(
        begin!(),
        "1:",
        begin_row!(),
        "mov r3, r2",
        "2:",
        four_weights_times_2!(),
        four_weights_times_2!(),
        "subs lr, lr, #1",
        "bne 2b",
        end_sums!(),
        scale!("r2"),
        scale!("r3"),
        "strh r2, [r8]",
        "strh r3, [r8, r9]",
        end_row!(),
    )
}

/// The next weight (r12) times an input added to the sum (r2).
macro_rules! weight_times_1 {
    ($input:literal) => {
        lines!(
            "ldrsb r12, [r0], #1",
            concat!("mla r2, r12, ", $input, ", r2"),
        )
    };
}

/// One position: 19 instructions for 8 products.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_1(_: &Job) {
    naked_asm!(
        begin!(),
        "1:",
        begin_row!(),
        "2:",
        "ldm r1!, {{r4-r11}}",
        weight_times_1!("r4"),
        weight_times_1!("r5"),
        weight_times_1!("r6"),
        weight_times_1!("r7"),
        weight_times_1!("r8"),
        weight_times_1!("r9"),
        weight_times_1!("r10"),
        weight_times_1!("r11"),
        "subs lr, lr, #1",
        "bne 2b",
        end_sums!(),
        scale!("r2"),
        "strh r2, [r8]",
        end_row!(),
    )
}
