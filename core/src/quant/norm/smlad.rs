//! Normalisation, Mish and what follows with the DSP extension (Cortex-M4, M7, and M33 where it has it): two positions a round, 14
//! instructions a value besides the round's 7.
#![allow(unsafe_code)]

use super::super::assembler::{assembler_cpu, lines};
use super::super::mish;
use super::routines::{Job, Routine, Rows, Sums};
use core::arch::naked_asm;

/// Positions of a round.
pub(super) const POSITIONS: usize = 2;
/// Values that are summed at once.
pub(super) const SUMMED: usize = 2;
/// By how much FiLM shifts.
pub(super) const MODULATE: [Routine; 3] = [modulate_0, modulate_1, modulate_2];
pub(super) const ADD: Routine = add;

/// Sums of all rows (one at least, of a pair at least).
#[unsafe(naked)]
pub(super) unsafe extern "C" fn sum_rows(rows: &Rows, sums: &mut Sums) {
    naked_asm!(
        assembler_cpu!(),
        "push {{r4-r8, lr}}",
        "ldm r0, {{r2-r5}}",
        "mov r6, #0",
        "mov r7, #0",
        "mov r8, #0",
        "mov r12, #0x00010001",
        "1:",
        "mov lr, r3",
        "2:",
        "ldr r0, [r2], #4",
        "smlad r6, r0, r12, r6",
        "smlald r7, r8, r0, r0",
        "subs lr, lr, #1",
        "bne 2b",
        "add r2, r2, r4",
        "subs r5, r5, #1",
        "bne 1b",
        "stm r1, {{r6-r8}}",
        "pop {{r4-r8, pc}}",
    )
}

/// The job to registers: r0 the value's address, r1 from there to its output, r2 the step, r4 and r5 `n` and the sum, r8 and r9 the
/// table and the rounding; to the stack: `[sp]` the next channel and the end of them, `[sp, 8]` rounds to come and the way to the
/// next one, `[sp, 16]` the first channel.
macro_rules! begin {
    () => {
        lines!(
            assembler_cpu!(),
            "push {{r4-r11, lr}}",
            "mov r12, r0",
            "ldm r0, {{r1-r11}}",
            "mov r0, r3",
            "push {{r6}}",
            "push {{r6, r7, r10, r11}}",
        )
    };
}

/// The value at `$x` to r12: normalised and through Mish, in Q16.
macro_rules! activation {
    ($x:literal) => {
        lines!(
            concat!("ldrsh r12, ", $x),
            "mla r12, r4, r12, r5",
            "smmlar r12, r12, r6, r7",
            "ubfx lr, r12, #{fraction_bits}, #{index_bits}",
            "ubfx r3, r12, #0, #{fraction_bits}",
            "ldr lr, [r8, lr, lsl #2]",
            "bic r12, r12, r12, asr #31",
            "smlabb r3, lr, r3, r9",
            "add r12, r12, lr, asr #16",
            "add r12, r12, r3, asr #{fraction_bits}",
        )
    };
}

/// r0 to the next channel, if there is one: the flags say so since its factors were loaded; else to the next round's first.
macro_rules! end {
    () => {
        lines!(
            "add r0, r0, #2",
            "bne 1b",
            "ldrd r3, r12, [sp, #8]",
            "ldr lr, [sp, #16]",
            "add r0, r0, r12",
            "str lr, [sp]",
            "subs r3, r3, #1",
            "str r3, [sp, #8]",
            "bne 1b",
            "add sp, #20",
            "pop {{r4-r11, pc}}",
        )
    };
}

/// FiLM, the scale in r10 and the bias in r11.
macro_rules! modulation {
    ($multiply:literal, $shift:literal) => {
        lines!(
            "lsl r12, r12, #1",
            concat!($multiply, " r12, r12, r10, r11"),
            concat!("ssat r12, #16, r12", $shift),
        )
    };
}

/// A routine with FiLM.
macro_rules! modulate {
    ($name:ident, $multiply:literal, $shift:literal) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name(_: &Job) {
            naked_asm!(
                begin!(),
                "1:",
                "ldrd r3, r12, [sp]",
                "ldm r3!, {{r6, r7, r10, r11}}",
                "cmp r3, r12",
                "str r3, [sp]",
                activation!("[r0]"),
                modulation!($multiply, $shift),
                "strh r12, [r0, r1]",
                activation!("[r0, r2]"),
                modulation!($multiply, $shift),
                "add lr, r1, r2",
                "strh r12, [r0, lr]",
                end!(),
                fraction_bits = const mish::FRACTION_BITS,
                index_bits = const mish::INDEX_BITS,
            )
        }
    };
}

// Without a shift, half a unit lies in the lower word; with one, in the bias.
modulate!(modulate_0, "smmlar", "");
modulate!(modulate_1, "smmla", ", asr #1");
modulate!(modulate_2, "smmla", ", asr #2");

/// A routine that adds to what is there, by the factor in r10 and the shift in r11.
#[unsafe(naked)]
unsafe extern "C" fn add(_: &Job) {
    naked_asm!(
        begin!(),
        "ldrd r10, r11, [r12, #44]",
        "1:",
        "ldrd r3, r12, [sp]",
        "ldrd r6, r7, [r3], #16",
        "cmp r3, r12",
        "str r3, [sp]",
        activation!("[r0]"),
        "ldrsh lr, [r0, r1]",
        "mla r12, lr, r10, r12",
        "asr r12, r12, r11",
        "ssat r12, #16, r12",
        "strh r12, [r0, r1]",
        activation!("[r0, r2]"),
        "add r3, r1, r2",
        "ldrsh lr, [r0, r3]",
        "mla r12, lr, r10, r12",
        "asr r12, r12, r11",
        "ssat r12, #16, r12",
        "strh r12, [r0, r3]",
        end!(),
        fraction_bits = const mish::FRACTION_BITS,
        index_bits = const mish::INDEX_BITS,
    )
}
