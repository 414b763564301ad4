//! Normalisation, Mish and what follows with the vector extension (Cortex-M55): four channels of one position at once, the last ones
//! of a group by tail predication.
#![allow(unsafe_code)]

use super::super::assembler::lines;
use super::super::mish;
use super::routines::{Job, Routine, Rows, Sums};
use core::arch::naked_asm;

/// Positions of a round.
pub(super) const POSITIONS: usize = 1;
/// Values that are summed at once: as many as there are.
pub(super) const SUMMED: usize = 1;
/// By how much FiLM shifts.
pub(super) const MODULATE: [Routine; 3] = [modulate_0, modulate_1, modulate_2];
pub(super) const ADD: Routine = add;

/// Sums of all rows (one at least, of a value at least).
#[unsafe(naked)]
pub(super) unsafe extern "C" fn sum_rows(rows: &Rows, sums: &mut Sums) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r9, lr}}",
        "ldm r0, {{r2-r5}}",
        "mov r6, #0",
        "mov r8, #0",
        "mov r9, #0",
        "add r4, r4, r3, lsl #1",
        "1:",
        "mov r0, r2",
        "dlstp.16 lr, r3",
        "2:",
        "vldrh.u16 q0, [r0], #16",
        "vaddva.s16 r6, q0",
        "vmlalva.s16 r8, r9, q0, q0",
        "letp lr, 2b",
        "add r2, r2, r4",
        "subs r5, r5, #1",
        "bne 1b",
        "stm r1, {{r6, r8, r9}}",
        "pop {{r4-r9, pc}}",
    )
}

/// The job to registers: r3 a row's first value, r1 from a value to its output, r2 the step, r4 and r5 `n` and the sum, r7 the number
/// of channels, r8 and r9 the table and the rounding, r10 the rows, r12 the job itself; q4 the addresses of four channels, less the size of
/// as many, q5 zeros, q6 a fraction's mask.
macro_rules! begin {
    () => {
        lines!(
            ".cpu cortex-m55",
            "push {{r4-r11, lr}}",
            "vpush {{d8-d15}}",
            "mov r12, r0",
            "ldm r0, {{r1-r10}}",
            "subs r7, r7, r6",
            "lsrs r7, r7, #4",
            "subs r6, r6, #64",
            "movs r0, #0",
            "vidup.u32 q4, r0, #8",
            "vshl.i32 q4, q4, #1",
            "vadd.i32 q4, q4, r6",
            "vmov.i32 q5, #0",
            "movw r0, #{fraction_mask}",
            "vdup.32 q6, r0",
        )
    };
}

/// A row begins: r0 its next value, r6 where that goes, q7 the channels.
macro_rules! begin_row {
    () => {
        lines!(
            "1:",
            "mov r0, r3",
            "add r6, r3, r1",
            "vmov q7, q4",
            "dlstp.32 lr, r7",
            "2:",
        )
    };
}

/// The next four channels' values to q0: normalised and through Mish, in Q16.
macro_rules! activations {
    () => {
        lines!(
            "vldrh.s32 q0, [r0], #8",
            "vldrw.u32 q1, [q7, #64]!",
            "vmul.i32 q0, q0, r4",
            "vadd.i32 q0, q0, r5",
            "vldrw.u32 q2, [q7, #4]",
            "vrmulh.s32 q0, q0, q1",
            "vadd.i32 q0, q0, q2",
            "vshl.i32 q1, q0, #{above_index}",
            "vshr.u32 q1, q1, #{above_index_and_fraction}",
            "vand q2, q0, q6",
            "vldrw.u32 q3, [r8, q1, uxtw #2]",
            "vmovlb.s16 q1, q3",
            "vmul.i32 q2, q2, q1",
            "vadd.i32 q2, q2, r9",
            "vshr.s32 q2, q2, #{fraction_bits}",
            "vmax.s32 q0, q0, q5",
            "vshr.s32 q3, q3, #16",
            "vadd.i32 q0, q0, q3",
            "vadd.i32 q0, q0, q2",
        )
    };
}

/// Saturates and stores q0; then the next channels or the next row.
macro_rules! end {
    () => {
        lines!(
            "vqmovnb.s32 q0, q0",
            "vstrh.32 q0, [r6], #8",
            "letp lr, 2b",
            "add r3, r3, r2",
            "subs r10, r10, #1",
            "bne 1b",
            "vpop {{d8-d15}}",
            "pop {{r4-r11, pc}}",
        )
    };
}

/// Bits above a segment's index.
const ABOVE_INDEX: u32 = 32 - mish::INDEX_BITS - mish::FRACTION_BITS;

/// A routine with FiLM.
macro_rules! modulate {
    ($name:ident, $multiply:literal, $shift:literal) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name(_: &Job) {
            naked_asm!(
                begin!(),
                begin_row!(),
                activations!(),
                "vldrw.u32 q1, [q7, #8]",
                "vldrw.u32 q2, [q7, #12]",
                "vshl.i32 q0, q0, #1",
                concat!($multiply, " q0, q0, q1"),
                "vadd.i32 q0, q0, q2",
                $shift,
                end!(),
                fraction_bits = const mish::FRACTION_BITS,
                fraction_mask = const (1 << mish::FRACTION_BITS) - 1,
                above_index = const ABOVE_INDEX,
                above_index_and_fraction = const ABOVE_INDEX + mish::FRACTION_BITS,
            )
        }
    };
}

// Without a shift, half a unit lies in the lower word; with one, in the bias.
modulate!(modulate_0, "vrmulh.s32", "");
modulate!(modulate_1, "vmulh.s32", "vshr.s32 q0, q0, #1");
modulate!(modulate_2, "vmulh.s32", "vshr.s32 q0, q0, #2");

/// A routine that adds to what is there, by the factor in r11 and the shift (to the left) in r12.
#[unsafe(naked)]
unsafe extern "C" fn add(_: &Job) {
    naked_asm!(
        begin!(),
        "ldrd r11, r12, [r12, #44]",
        "rsb r12, r12, #0",
        begin_row!(),
        activations!(),
        "vldrh.s32 q1, [r6]",
        "vmla.s32 q0, q1, r11",
        "vshl.s32 q0, r12",
        end!(),
        fraction_bits = const mish::FRACTION_BITS,
        fraction_mask = const (1 << mish::FRACTION_BITS) - 1,
        above_index = const ABOVE_INDEX,
        above_index_and_fraction = const ABOVE_INDEX + mish::FRACTION_BITS,
    )
}
