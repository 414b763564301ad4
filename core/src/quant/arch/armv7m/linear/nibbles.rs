//! The routines for weights of 4 bits: `SBFX` takes one out of a word of eight. It is a sixteenth of
//! the weight, so that the sums without the bias are shifted at the end.

use crate::quant::arch::cortex_m::armv7m_rows::{begin, begin_row, end_row, end_sums, scale};
use crate::quant::arch::cortex_m::assembler::{assembler_cpu, lines};
use crate::quant::arch::cortex_m::linear::{Job, Tiles};
use core::arch::naked_asm;

pub(super) const TILES: Tiles = Tiles {
    of_4: rows_times_4,
    of_2: rows_times_2,
    of_1: rows_times_1,
};

/// Moves the bias to r11 and begins the first sum, r2.
macro_rules! keep_bias {
    () => {
        lines!("mov r11, r2", "movs r2, #0")
    };
}

/// The bias plus sixteen times a sum.
macro_rules! add_bias {
    ($sum:literal) => {
        lines!(concat!("add ", $sum, ", r11, ", $sum, ", lsl #4"))
    };
}

/// The weight at a bit of the word (r10) times the inputs of four positions (r6 to r9) added to the
/// sums (r2 to r5): 6 instructions.
macro_rules! weight_times_4 {
    ($bit:literal) => {
        lines!(
            concat!("sbfx r12, r10, #", $bit, ", #4"),
            "ldm r1!, {{r6-r9}}",
            "mla r2, r12, r6, r2",
            "mla r3, r12, r7, r3",
            "mla r4, r12, r8, r4",
            "mla r5, r12, r9, r5",
        )
    };
}

/// Four positions, a chunk per iteration: 51 instructions for 32 products.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_4(_: &Job) {
    naked_asm!(
        begin!(),
        "1:",
        begin_row!(),
        keep_bias!(),
        "mov r3, r2",
        "mov r4, r2",
        "mov r5, r2",
        "2:",
        "ldr r10, [r0], #4",
        weight_times_4!("0"),
        weight_times_4!("8"),
        weight_times_4!("16"),
        weight_times_4!("24"),
        weight_times_4!("4"),
        weight_times_4!("12"),
        weight_times_4!("20"),
        weight_times_4!("28"),
        "subs lr, lr, #1",
        "bne 2b",
        add_bias!("r2"),
        add_bias!("r3"),
        add_bias!("r4"),
        add_bias!("r5"),
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

/// The weights at two bits of the word (r10) times the inputs of two positions (r4 to r7) added to
/// the sums (r2, r3): 7 instructions.
macro_rules! two_weights_times_2 {
    ($bit:literal, $next_bit:literal) => {
        lines!(
            "ldm r1!, {{r4-r7}}",
            concat!("sbfx r12, r10, #", $bit, ", #4"),
            "mla r2, r12, r4, r2",
            "mla r3, r12, r5, r3",
            concat!("sbfx r12, r10, #", $next_bit, ", #4"),
            "mla r2, r12, r6, r2",
            "mla r3, r12, r7, r3",
        )
    };
}

/// Two positions: 31 instructions for 16 products.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_2(_: &Job) {
    naked_asm!(
        begin!(),
        "1:",
        begin_row!(),
        keep_bias!(),
        "mov r3, r2",
        "2:",
        "ldr r10, [r0], #4",
        two_weights_times_2!("0", "8"),
        two_weights_times_2!("16", "24"),
        two_weights_times_2!("4", "12"),
        two_weights_times_2!("20", "28"),
        "subs lr, lr, #1",
        "bne 2b",
        add_bias!("r2"),
        add_bias!("r3"),
        end_sums!(),
        scale!("r2"),
        scale!("r3"),
        "strh r2, [r8]",
        "strh r3, [r8, r9]",
        end_row!(),
    )
}

/// The weight at a bit of the word (r10) times an input added to the sum (r2).
macro_rules! weight_times_1 {
    ($bit:literal, $input:literal) => {
        lines!(
            concat!("sbfx r12, r10, #", $bit, ", #4"),
            concat!("mla r2, r12, ", $input, ", r2"),
        )
    };
}

/// One position: 21 instructions for 8 products.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_1(_: &Job) {
    naked_asm!(
        begin!(),
        "1:",
        begin_row!(),
        keep_bias!(),
        "2:",
        "ldr r10, [r0], #4",
        "ldm r1!, {{r4-r7}}",
        weight_times_1!("0", "r4"),
        weight_times_1!("8", "r5"),
        weight_times_1!("16", "r6"),
        weight_times_1!("24", "r7"),
        "ldm r1!, {{r4-r7}}",
        weight_times_1!("4", "r4"),
        weight_times_1!("12", "r5"),
        weight_times_1!("20", "r6"),
        weight_times_1!("28", "r7"),
        "subs lr, lr, #1",
        "bne 2b",
        add_bias!("r2"),
        end_sums!(),
        scale!("r2"),
        "strh r2, [r8]",
        end_row!(),
    )
}
