//! The product on ARMv6-M (Cortex-M0, M0+): eight low registers, `MULS`, no `SMULL`.
#![allow(unsafe_code)]

use crate::quant::arch::assembler::{lines, restore_registers, save_registers};
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
/// step, `[sp, 16]` the rows' end, `[sp, 20]` a row's size.
macro_rules! begin {
    () => {
        lines!(
            save_registers!(),
            "ldm r0!, {{r1-r7}}",
            "push {{r1-r7}}",
            "mov r0, r7",
        )
    };
}

/// Bias to r4, panel to r1, the address behind the row's weights to r12.
macro_rules! begin_row {
    () => {
        lines!(
            "ldr r4, [r0]",
            "ldr r1, [sp]",
            "ldr r2, [sp, #20]",
            "adds r2, r0, r2",
            "mov r12, r2",
            "adds r0, r0, #12",
        )
    };
}

/// Four weights in the order of their bytes, each handed to `$weight` in r3; the word is r2.
macro_rules! four_weights {
    ($weight:ident) => {
        lines!(
            "ldm r0!, {{r2}}",
            "sxtb r3, r2",
            $weight!(first),
            "lsls r3, r2, #16",
            "asrs r3, r3, #24",
            $weight!(second),
            "lsls r3, r2, #8",
            "asrs r3, r3, #24",
            $weight!(first),
            "asrs r3, r2, #24",
            $weight!(second),
        )
    };
}

/// An input in `$input` times the weight (r3) onto `$sum`.
macro_rules! product {
    ($input:literal, $sum:literal) => {
        lines!(
            concat!("muls ", $input, ", r3, ", $input),
            concat!("add ", $sum, ", ", $input),
        )
    };
}

/// The weight times the inputs of four positions (r4 to r7) onto the sums (r8 to r11).
macro_rules! weight_times_4 {
    ($_:ident) => {
        lines!(
            "ldm r1!, {{r4-r7}}",
            product!("r4", "r8"),
            product!("r5", "r9"),
            product!("r6", "r10"),
            product!("r7", "r11"),
        )
    };
}

/// `$sum` (a high register) times the factor (r2 lower half, r3 upper half of the multiplier; r12 the shift less 32), saturated, to the
/// address r1, which then goes on by the step in lr.
///
/// The product's upper word out of halves: with `a = 2^16 ah + al`, `m = 2^16 mh + ml` it is
/// `ah mh + (t >> 16) + (((t & 0xffff) + al mh) >> 16)`, `t = ah ml + ((al ml) >> 16)`; no term leaves 32 bits as `m < 2^31`.
macro_rules! scale_and_store {
    ($sum:literal, $label:literal) => {
        lines!(
            concat!("mov r4, ", $sum),
            "uxth r5, r4",
            "asrs r4, r4, #16",
            "mov r6, r5",
            "muls r6, r2, r6",
            "lsrs r6, r6, #16",
            "mov r7, r4",
            "muls r7, r2, r7",
            "adds r6, r6, r7",
            "muls r5, r3, r5",
            "muls r4, r3, r4",
            "uxth r7, r6",
            "adds r5, r5, r7",
            "lsrs r5, r5, #16",
            "asrs r6, r6, #16",
            "adds r4, r4, r5",
            "adds r4, r4, r6",
            // The carry is the last bit shifted out, a half.
            "movs r5, #0",
            "mov r7, r12",
            "asrs r4, r7",
            "adcs r4, r5",
            // The nearest of 16 bits.
            "sxth r5, r4",
            "cmp r5, r4",
            concat!("beq ", $label, "f"),
            "asrs r4, r4, #31",
            "ldr r5, =0x7fff",
            "eors r4, r5",
            concat!($label, ":"),
            "strh r4, [r1]",
            "add r1, lr",
        )
    };
}

/// The factor and where the outputs go, to the registers that `scale_and_store` wants; the outputs' address on to the next row's.
macro_rules! end_sums {
    () => {
        lines!(
            "ldr r1, [sp, #20]",
            "subs r1, r0, r1",
            "ldr r4, [r1, #8]",
            "subs r4, #32",
            "mov r12, r4",
            "ldr r3, [r1, #4]",
            "uxth r2, r3",
            "lsrs r3, r3, #16",
            "ldr r4, [sp, #12]",
            "mov lr, r4",
            "ldr r1, [sp, #8]",
            "adds r4, r1, #2",
            "str r4, [sp, #8]",
        )
    };
}

/// Back to label 1 if there is a row left.
macro_rules! end_row {
    () => {
        lines!(
            "ldr r4, [sp, #16]",
            "cmp r0, r4",
            "beq 9f",
            "b 1b",
            "9:",
            "add sp, #28",
            restore_registers!(),
            ".p2align 2",
            ".ltorg",
        )
    };
}

/// Four positions: 88 instructions for 32 products.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_4(_: &Job) {
    naked_asm!(
        begin!(),
        "1:",
        begin_row!(),
        "mov r8, r4",
        "mov r9, r4",
        "mov r10, r4",
        "mov r11, r4",
        "2:",
        four_weights!(weight_times_4),
        four_weights!(weight_times_4),
        "cmp r0, r12",
        "bne 2b",
        end_sums!(),
        scale_and_store!("r8", "3"),
        scale_and_store!("r9", "3"),
        scale_and_store!("r10", "3"),
        scale_and_store!("r11", "3"),
        end_row!(),
    )
}

/// The weight times the inputs of two positions onto the sums (r8, r9); every second time four inputs are loaded.
macro_rules! weight_times_2 {
    (first) => {
        lines!(
            "ldm r1!, {{r4-r7}}",
            product!("r4", "r8"),
            product!("r5", "r9"),
        )
    };
    (second) => {
        lines!(product!("r6", "r8"), product!("r7", "r9"))
    };
}

/// Two positions: 52 instructions for 16 products.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_2(_: &Job) {
    naked_asm!(
        begin!(),
        "1:",
        begin_row!(),
        "mov r8, r4",
        "mov r9, r4",
        "2:",
        four_weights!(weight_times_2),
        four_weights!(weight_times_2),
        "cmp r0, r12",
        "bne 2b",
        end_sums!(),
        scale_and_store!("r8", "3"),
        scale_and_store!("r9", "3"),
        end_row!(),
    )
}

/// The weight times the input of one position onto the sum (r8); every second time two inputs are loaded.
macro_rules! weight_times_1 {
    (first) => {
        lines!("ldm r1!, {{r4, r5}}", product!("r4", "r8"))
    };
    (second) => {
        product!("r5", "r8")
    };
}

/// One position: 34 instructions for 8 products.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_1(_: &Job) {
    naked_asm!(
        begin!(),
        "1:",
        begin_row!(),
        "mov r8, r4",
        "2:",
        four_weights!(weight_times_1),
        four_weights!(weight_times_1),
        "cmp r0, r12",
        "bne 2b",
        end_sums!(),
        scale_and_store!("r8", "3"),
        end_row!(),
    )
}
