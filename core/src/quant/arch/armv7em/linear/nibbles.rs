//! The routines for weights of 4 bits. In a word of eight weights, a shift and a mask leave four
//! times two bytes as for weights of 8 bits: first those of the lower halves, then of the upper.

use super::{four_times_1, four_times_2, pair_times_4};
use crate::quant::arch::cortex_m::armv7m_rows::{begin, begin_row, end_row, end_sums, scale};
use crate::quant::arch::cortex_m::assembler::{assembler_cpu, lines};
use crate::quant::arch::cortex_m::linear::{Job, Tiles};
use core::arch::naked_asm;

pub(super) const TILES: Tiles = Tiles {
    of_4: rows_times_4,
    of_2: rows_times_2,
    of_1: rows_times_1,
};

/// Eight weights, four positions: 28 instructions for 32 products.
macro_rules! chunk_times_4 {
    () => {
        lines!(
            "ldr r10, [r0], #4",
            "and r11, r10, #0xf0f0f0f0",
            "lsl r10, r10, #4",
            "and r10, r10, #0xf0f0f0f0",
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

/// Eight weights (`$word`), two positions, with the mask in r11: 16 instructions for 16 products.
macro_rules! chunk_times_2 {
    ($word:literal) => {
        lines!(
            concat!("and r10, r11, ", $word, ", lsl #4"),
            concat!("and ", $word, ", ", $word, ", r11"),
            four_times_2!("r10"),
            four_times_2!($word),
        )
    };
}

/// Sixteen weights, two positions: 33 instructions for 32 products.
macro_rules! two_chunks_times_2 {
    () => {
        lines!(
            "ldm r0!, {{r8, r9}}",
            chunk_times_2!("r8"),
            chunk_times_2!("r9"),
        )
    };
}

/// Two positions: an odd chunk first, then four chunks per iteration, entering the loop in its
/// middle if two are left over.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_2(_: &Job) {
    naked_asm!(
        begin!(),
        "mov r11, #0xf0f0f0f0",
        "1:",
        begin_row!(),
        "mov r3, r2",
        "lsrs lr, lr, #1",
        "bcc 2f",
        "ldr r8, [r0], #4",
        chunk_times_2!("r8"),
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

/// One position: 14 instructions for 8 products.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_1(_: &Job) {
    naked_asm!(
        begin!(),
        "mov r11, #0xf0f0f0f0",
        "1:",
        begin_row!(),
        "2:",
        "ldr r8, [r0], #4",
        "ldm r1!, {{r4-r7}}",
        "and r9, r11, r8, lsl #4",
        "and r8, r8, r11",
        four_times_1!("r9", "r4", "r5"),
        four_times_1!("r8", "r6", "r7"),
        "subs lr, lr, #1",
        "bne 2b",
        end_sums!(),
        scale!("r2"),
        "strh r2, [r8]",
        end_row!(),
    )
}
