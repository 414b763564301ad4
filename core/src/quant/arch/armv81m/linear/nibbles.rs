//! The routines for weights of 4 bits, sixteen at a time: eight bytes widen to the weights in their
//! lower halves, by a shift and a sign extension, and to those in their upper halves, by a mask. The
//! panel has the inputs in this order: of each sixteen first those of the lower halves. Of an odd
//! number of chunks the first is alone, in the file's order.

use super::{begin_rows, first_factor, scale, second_factor};
use crate::quant::arch::cortex_m::assembler::lines;
use crate::quant::arch::cortex_m::linear::{Job, Tiles};
use core::arch::naked_asm;

pub(super) const TILES: Tiles = Tiles {
    of_4: rows_times_4,
    of_2: rows_times_2,
    of_1: rows_times_1,
};

/// `n_chunks` (one at least) of eight values in the order of this module, each eight to places
/// `stride_bytes` apart.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn copy_chunks(
    places: *mut i16,
    values: *const i16,
    n_chunks: usize,
    stride_bytes: usize,
) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4, r5, r6, lr}}",
        // Offsets: q1 has 0 2 1 3 4 6 5 7, q2 has 0 2 1 3 8 10 9 11, q3 has 4 6 5 7 12 14 13 15.
        "movs r4, #0",
        "movt r4, #2",
        "movs r5, #4",
        "movt r5, #6",
        "vmov q1[2], q1[0], r4, r5",
        "movs r6, #8",
        "movt r6, #10",
        "vmov q2[2], q2[0], r4, r6",
        "movs r6, #12",
        "movt r6, #14",
        "vmov q3[2], q3[0], r5, r6",
        "movs r4, #1",
        "movt r4, #3",
        "movs r5, #5",
        "movt r5, #7",
        "vmov q1[3], q1[1], r4, r5",
        "movs r6, #9",
        "movt r6, #11",
        "vmov q2[3], q2[1], r4, r6",
        "movs r6, #13",
        "movt r6, #15",
        "vmov q3[3], q3[1], r5, r6",
        "lsrs r2, r2, #1",
        "bcc 2f",
        "vldrh.u16 q0, [r1, q1, uxtw #1]",
        "adds r1, #16",
        "vstrh.16 q0, [r0]",
        "add r0, r3",
        "2:",
        "cbz r2, 4f",
        "dls lr, r2",
        "3:",
        "vldrh.u16 q0, [r1, q2, uxtw #1]",
        "vstrh.16 q0, [r0]",
        "add r0, r3",
        "vldrh.u16 q0, [r1, q3, uxtw #1]",
        "adds r1, #32",
        "vstrh.16 q0, [r0]",
        "add r0, r3",
        "le lr, 3b",
        "4:",
        "pop {{r4, r5, r6, pc}}",
    )
}

/// As the routines for weights of 8 bits begin; also the offsets of a chunk's bytes, twice, to q6,
/// and how far to shift them, to q7.
macro_rules! begin {
    () => {
        lines!(
            ".cpu cortex-m55",
            "push {{r4-r11, lr}}",
            "vpush {{d8-d15}}",
            "ldm r0, {{r1-r7}}",
            "push {{r1-r7}}",
            "mov r1, r7",
            "movs r2, #0",
            "movt r2, #1",
            "vmov q6[2], q6[0], r2, r2",
            "movs r2, #2",
            "movt r2, #3",
            "vmov q6[3], q6[1], r2, r2",
            "movs r2, #4",
            "movt r2, #4",
            "movs r3, #0",
            "vmov q7[2], q7[0], r2, r3",
            "vmov q7[3], q7[1], r2, r3",
        )
    };
}

/// The next eight weights of both rows, of one chunk.
macro_rules! chunk_of_weights {
    () => {
        lines!(
            "vldrb.s16 q0, [r1, q6]",
            "vldrb.s16 q1, [r3, q6]",
            "adds r1, #4",
            "adds r3, #4",
            "vshl.s16 q0, q0, q7",
            "vshl.s16 q1, q1, q7",
            "vmovlb.s8 q0, q0",
            "vmovlb.s8 q1, q1",
            "vbic.i16 q0, #0xf",
            "vbic.i16 q1, #0xf",
        )
    };
}

/// The next sixteen weights of both rows: those in the lower halves to q4 and q5. [`upper_halves`]
/// leaves the others in q0 and q1.
macro_rules! lower_halves {
    () => {
        lines!(
            "vldrb.s16 q0, [r1], #8",
            "vldrb.s16 q1, [r3], #8",
            "vshl.i16 q4, q0, #4",
            "vshl.i16 q5, q1, #4",
            "vmovlb.s8 q4, q4",
            "vmovlb.s8 q5, q5",
        )
    };
}

macro_rules! upper_halves {
    () => {
        lines!("vbic.i16 q0, #0xf", "vbic.i16 q1, #0xf")
    };
}

/// The next eight inputs times both rows' weights (`$row`, `$next_row`), added to a sum of each.
macro_rules! products {
    ($row:literal, $next_row:literal, $inputs:literal, $first:literal, $second:literal) => {
        lines!(
            concat!("vldrh.u16 ", $inputs, ", [r5], #16"),
            concat!("vmladava.s16 ", $first, ", ", $row, ", ", $inputs),
            concat!("vmladava.s16 ", $second, ", ", $next_row, ", ", $inputs),
        )
    };
}

/// The chunk that is alone, if there is one, then two chunks per iteration.
macro_rules! rounds {
    ($products:ident) => {
        lines!(
            "lsrs r7, r7, #1",
            "bcc 2f",
            chunk_of_weights!(),
            $products!("q0", "q1"),
            "2:",
            "cmp r7, #0",
            "beq 4f",
            "3:",
            lower_halves!(),
            $products!("q4", "q5"),
            upper_halves!(),
            $products!("q0", "q1"),
            "subs r7, r7, #1",
            "bne 3b",
            "4:",
        )
    };
}

/// Goes on to the next two rows' outputs, and back to label 1 if there are such rows; else returns.
macro_rules! end_rows {
    () => {
        lines!(
            "adds r5, r5, #2",
            "str r5, [sp, #8]",
            "mov r1, r3",
            "ldr r2, [sp, #16]",
            "cmp r1, r2",
            "bne 1b",
            "add sp, #28",
            "vpop {{d8-d15}}",
            "pop {{r4-r11, pc}}",
        )
    };
}

/// Two rows, four positions: 32 instructions for 128 products, with those of the weights.
macro_rules! products_times_4 {
    ($row:literal, $next_row:literal) => {
        lines!(
            products!($row, $next_row, "q2", "r0", "r8"),
            products!($row, $next_row, "q3", "r2", "r10"),
            products!($row, $next_row, "q2", "r4", "r12"),
            products!($row, $next_row, "q3", "r6", "lr"),
        )
    };
}

/// Four positions: sums in r0, r2, r4, r6 and in r8, r10, r12, lr.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_4(_: &Job) {
    naked_asm!(
        begin!(),
        "1:",
        begin_rows!(),
        "mov r2, r0",
        "mov r4, r0",
        "mov r6, r0",
        "mov r10, r8",
        "mov r12, r8",
        "mov lr, r8",
        rounds!(products_times_4),
        first_factor!(),
        scale!("r0"),
        scale!("r2"),
        scale!("r4"),
        scale!("r6"),
        "strh r0, [r5]",
        "add r0, r7, r7, lsl #1",
        "strh r2, [r5, r7]",
        "strh r4, [r5, r7, lsl #1]",
        "strh r6, [r5, r0]",
        second_factor!(),
        scale!("r8"),
        scale!("r10"),
        scale!("r12"),
        scale!("lr"),
        "strh r8, [r5]",
        "strh r10, [r5, r7]",
        "strh r12, [r5, r7, lsl #1]",
        "strh lr, [r5, r0]",
        end_rows!(),
    )
}

/// Two rows, two positions: 20 instructions for 64 products, with those of the weights.
macro_rules! products_times_2 {
    ($row:literal, $next_row:literal) => {
        lines!(
            products!($row, $next_row, "q2", "r0", "r8"),
            products!($row, $next_row, "q3", "r2", "r10"),
        )
    };
}

/// Two positions: sums in r0, r2 and in r8, r10.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_2(_: &Job) {
    naked_asm!(
        begin!(),
        "1:",
        begin_rows!(),
        "mov r2, r0",
        "mov r10, r8",
        rounds!(products_times_2),
        first_factor!(),
        scale!("r0"),
        scale!("r2"),
        "strh r0, [r5]",
        "strh r2, [r5, r7]",
        second_factor!(),
        scale!("r8"),
        scale!("r10"),
        "strh r8, [r5]",
        "strh r10, [r5, r7]",
        end_rows!(),
    )
}

/// Two rows, one position: 14 instructions for 32 products, with those of the weights.
macro_rules! products_times_1 {
    ($row:literal, $next_row:literal) => {
        lines!(products!($row, $next_row, "q2", "r0", "r8"))
    };
}

/// One position: sums in r0 and in r8.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_1(_: &Job) {
    naked_asm!(
        begin!(),
        "1:",
        begin_rows!(),
        rounds!(products_times_1),
        first_factor!(),
        scale!("r0"),
        "strh r0, [r5]",
        second_factor!(),
        scale!("r8"),
        "strh r8, [r5]",
        end_rows!(),
    )
}
