//! The product with `MLA` (Cortex-M3, and M33 without the DSP extension): one multiplication an instruction.
#![allow(unsafe_code)]

use crate::quant::arch::assembler::lines;
use crate::quant::kernels::linear::Linear;
use crate::quant::kernels::linear::panel_kernel::{Job, Routine};
pub(crate) use crate::quant::kernels::linear::panel_kernel::{apply, fill_words as fill};
use core::arch::naked_asm;

/// What a panel holds: for each weight, in the file's order, the first position's input, then the second's, .., widened so that `LDM` loads operands.
pub(crate) type Input = i32;
pub(crate) const ROUTINE_4: Routine = rows_times_4;
pub(crate) const ROUTINE_2: Routine = rows_times_2;
pub(crate) const ROUTINE_1: Routine = rows_times_1;

/// Every product.
pub(crate) fn can_take(_: Linear<'_>) -> bool {
    true
}

/// The job to the stack, the rows to r0: from here on `[sp]` has panel and number of chunks, `[sp, 8]` the outputs' address and
/// step, `[sp, 16]` the rows' end, `[sp, 24]` room for a factor.
macro_rules! begin {
    () => {
        lines!(
            "push {{r4-r11, lr}}",
            "ldm r0, {{r1-r7}}",
            "push {{r1-r8}}",
            "mov r0, r7",
        )
    };
}

/// Bias to r2, factor to the stack, panel to r1, chunks to lr.
macro_rules! begin_row {
    () => {
        lines!(
            "ldm r0!, {{r2, r6, r7}}",
            "ldrd r1, lr, [sp]",
            "strd r6, r7, [sp, #24]",
        )
    };
}

/// The factor's multiplier to r6, its shift less 32 to r7, the outputs' address to r8 and their step to r9.
macro_rules! end_sums {
    () => {
        lines!(
            "ldrd r6, r7, [sp, #24]",
            "ldrd r8, r9, [sp, #8]",
            "subs r7, #32",
        )
    };
}

/// `$sum` times the factor: the product's upper word, shifted; the carry is the last bit shifted out, a half. Then saturated.
macro_rules! scale {
    ($sum:literal) => {
        lines!(
            concat!("smull r12, ", $sum, ", ", $sum, ", r6"),
            concat!("asrs ", $sum, ", ", $sum, ", r7"),
            concat!("adc ", $sum, ", ", $sum, ", #0"),
            concat!("ssat ", $sum, ", #16, ", $sum),
        )
    };
}

/// The next row's outputs, and back to label 1 if there is such a row.
macro_rules! end_row {
    () => {
        lines!(
            "ldr r6, [sp, #16]",
            "adds r8, r8, #2",
            "str r8, [sp, #8]",
            "cmp r0, r6",
            "bne 1b",
            "add sp, #32",
            "pop {{r4-r11, pc}}",
        )
    };
}

/// The next weight (r12) times the inputs of four positions (r6 to r9) onto the sums (r2 to r5): 6 instructions.
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

/// Four positions, a chunk a round: 50 instructions for 32 products.
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

/// Four weights times the inputs of two positions (r4 to r11) onto the sums (r2, r3): 13 instructions.
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

/// The next weight (r12) times an input onto the sum (r2).
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
