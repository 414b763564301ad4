//! The linear product by `MULS`. Most instructions reach only eight registers, and there is no
//! `SMULL`.
#![allow(unsafe_code)]

mod nibbles;

use crate::quant::arch::cortex_m::assembler::{lines, restore_registers, save_registers};
use crate::quant::arch::cortex_m::linear::{Job, Microkernel, Tiles, fill_words};
use crate::quant::kernels::linear::Windows;
use crate::quant::kernels::linear::weights::WeightBits;
use core::arch::naked_asm;

/// The product by `MULS`.
pub(crate) struct Muls;

// SAFETY: the routines read the panel as `fill` lays it out, to the end of its last chunk, and the
// rest as `Routine` says.
unsafe impl Microkernel for Muls {
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

/// Copies the job to the stack, the rows' address to r0. From here on `[sp]` has panel and number
/// of chunks, `[sp, 8]` the outputs' address and step, `[sp, 16]` the rows' end, `[sp, 20]` a row's
/// size.
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
use begin;

/// Begins a row: bias to r4, panel to r1, the end of the row's weights to r12.
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
use begin_row;

/// Loads four weights to r2 and calls `$weight` for each, in the order of the bytes, with the
/// weight in r3.
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

/// The input in `$input` times the weight in r3, added to `$sum`.
macro_rules! product {
    ($input:literal, $sum:literal) => {
        lines!(
            concat!("muls ", $input, ", r3, ", $input),
            concat!("add ", $sum, ", ", $input),
        )
    };
}
use product;

/// The weight times the inputs of four positions (r4 to r7) added to the sums (r8 to r11).
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
use weight_times_4;

/// Multiplies `$sum` (a high register) by the factor (halves of the multiplier in r2 and r3, lower
/// first, shift less 32 in r12), rounds, saturates, stores it at r1, and adds the step in lr to r1.
///
/// The product's upper word, from halves: with `a = 2^16 ah + al`, `m = 2^16 mh + ml` it is `ah mh
/// + (t >> 16) + (((t & 0xffff) + al mh) >> 16)`, `t = ah ml + ((al ml) >> 16)`; no term overflows
/// 32 bits, as `m < 2^31`.
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
use scale_and_store;

/// Loads what `scale_and_store` needs, and moves the outputs' address to the next row's.
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
use end_sums;

/// Goes back to label 1 if a row is left; else returns.
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
use end_row;

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

/// The weight times the inputs of two positions added to the sums (r8, r9); every second time four
/// inputs are loaded.
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
use weight_times_2;

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

/// The weight times the input of one position added to the sum (r8); every second time two inputs
/// are loaded.
macro_rules! weight_times_1 {
    (first) => {
        lines!("ldm r1!, {{r4, r5}}", product!("r4", "r8"))
    };
    (second) => {
        product!("r5", "r8")
    };
}
use weight_times_1;

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
