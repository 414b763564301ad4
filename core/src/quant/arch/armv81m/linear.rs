//! The linear product by `VMLADAVA`: eight MACs per instruction.
#![allow(unsafe_code)]

mod nibbles;

use crate::quant::arch::cortex_m::assembler::lines;
use crate::quant::arch::cortex_m::linear::{Job, Microkernel, Tiles};
use crate::quant::kernels::linear::weights::WeightBits;
use crate::quant::kernels::linear::{LANES, Linear, Windows};
use core::arch::naked_asm;

/// The product by `VMLADAVA`.
pub(crate) struct Vmladava;

// SAFETY: the routines read the panel as `fill` lays it out, to the end of its last chunk, and the
// rest as `Routine` says.
unsafe impl Microkernel for Vmladava {
    /// For each eight weights, in the file's order, eight inputs of the first position, then of the
    /// second, ..; for weights of 4 bits in the order of [`nibbles`].
    type Input = i16;
    const BYTES: Tiles = Tiles {
        of_4: rows_times_4,
        of_2: rows_times_2,
        of_1: rows_times_1,
    };
    const NIBBLES: Tiles = nibbles::TILES;

    /// The routines take two rows at a time.
    fn can_take(linear: Linear<'_>) -> bool {
        linear.n_rows().is_multiple_of(2)
    }

    #[inline(always)]
    unsafe fn fill<const P: usize>(
        panel: &mut [i16],
        windows: Windows<'_>,
        window: usize,
        bits: WeightBits,
    ) {
        let copy = match bits {
            WeightBits::Four => nibbles::copy_chunks,
            WeightBits::Eight => copy_chunks,
        };
        for position in 0..P {
            let places = panel.as_mut_ptr().wrapping_add(position * LANES);
            let values = windows
                .values
                .as_ptr()
                .wrapping_add(position * windows.step);
            // SAFETY: the caller's: there is this window, and the panel has room for all `P`.
            unsafe { copy(places, values, window / LANES, 2 * P * LANES) };
        }
    }
}

/// `n_chunks` (one at least) of eight values in the order of
/// [`PACKING`](crate::quant::kernels::linear::PACKING), to places `stride_bytes` apart.
#[unsafe(naked)]
unsafe extern "C" fn copy_chunks(
    places: *mut i16,
    values: *const i16,
    n_chunks: usize,
    stride_bytes: usize,
) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4, lr}}",
        // Offsets 0 2 1 3 4 6 5 7.
        "movs r4, #0",
        "movt r4, #2",
        "movs r12, #4",
        "movt r12, #6",
        "vmov q1[2], q1[0], r4, r12",
        "movs r4, #1",
        "movt r4, #3",
        "movs r12, #5",
        "movt r12, #7",
        "vmov q1[3], q1[1], r4, r12",
        "dls lr, r2",
        "2:",
        "vldrh.u16 q0, [r1, q1, uxtw #1]",
        "adds r1, #16",
        "vstrh.16 q0, [r0]",
        "add r0, r3",
        "le lr, 2b",
        "pop {{r4, pc}}",
    )
}

/// Copies the job to the stack, the rows' address to r1. From here on `[sp]` has panel and number
/// of chunks, `[sp, 8]` the outputs' address and step, `[sp, 16]` the rows' end and a row's size.
macro_rules! begin {
    () => {
        lines!(
            ".cpu cortex-m55",
            "push {{r4-r11, lr}}",
            "ldm r0, {{r1-r7}}",
            "push {{r1-r7}}",
            "mov r1, r7",
        )
    };
}

/// Begins two rows: their weights' addresses to r1 and r3, biases to r0 and r8, panel to r5, number
/// of chunks to r7.
macro_rules! begin_rows {
    () => {
        lines!(
            "ldr r9, [sp, #20]",
            "add r3, r1, r9",
            "ldr r0, [r1], #12",
            "ldr r8, [r3], #12",
            "ldrd r5, r7, [sp]",
        )
    };
}
use begin_rows;

/// The next eight weights of both rows.
macro_rules! weights {
    () => {
        lines!("vldrb.s16 q0, [r1], #8", "vldrb.s16 q1, [r3], #8")
    };
}

/// The next eight inputs times both rows' weights, added to a sum of each.
macro_rules! products {
    ($inputs:literal, $first:literal, $second:literal) => {
        lines!(
            concat!("vldrh.u16 ", $inputs, ", [r5], #16"),
            concat!("vmladava.s16 ", $first, ", q0, ", $inputs),
            concat!("vmladava.s16 ", $second, ", q1, ", $inputs),
        )
    };
}

/// The loop, two chunks per iteration; an odd number of chunks enters it in its middle.
macro_rules! rounds {
    ($chunk:ident) => {
        lines!(
            "lsrs r7, r7, #1",
            "bcs 3f",
            "subs r7, r7, #1",
            "2:",
            $chunk!(),
            "3:",
            $chunk!(),
            "subs r7, r7, #1",
            "bpl 2b",
        )
    };
}

/// Loads what is needed after the sums: the first row's multiplier to r9, shift less 32 to r11, the
/// outputs' address to r5, their step to r7. After the sums r1 points to the second row and r3 to
/// the row after it.
macro_rules! first_factor {
    () => {
        lines!(
            "sub r5, r1, r9",
            "ldrd r9, r11, [r5, #4]",
            "ldrd r5, r7, [sp, #8]",
            "sub r11, r11, #32",
        )
    };
}
use first_factor;

/// Loads the second row's multiplier and shift, and moves the outputs' address to that row's.
macro_rules! second_factor {
    () => {
        lines!(
            "ldr r2, [sp, #20]",
            "sub r1, r3, r2",
            "ldrd r9, r11, [r1, #4]",
            "adds r5, r5, #2",
            "sub r11, r11, #32",
        )
    };
}
use second_factor;

/// Multiplies `$sum` by the factor, rounds and saturates: the product's upper word is shifted, and
/// the carry, the last bit shifted out, is the half to round by.
macro_rules! scale {
    ($sum:literal) => {
        lines!(
            concat!("smull r1, ", $sum, ", ", $sum, ", r9"),
            concat!("asrs ", $sum, ", ", $sum, ", r11"),
            concat!("adc ", $sum, ", ", $sum, ", #0"),
            concat!("ssat ", $sum, ", #16, ", $sum),
        )
    };
}
use scale;

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
            "pop {{r4-r11, pc}}",
        )
    };
}

/// Two rows, four positions: 14 instructions for 64 products.
macro_rules! chunk_times_4 {
    () => {
        lines!(
            weights!(),
            products!("q2", "r0", "r8"),
            products!("q3", "r2", "r10"),
            products!("q2", "r4", "r12"),
            products!("q3", "r6", "lr"),
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
        rounds!(chunk_times_4),
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

/// Two rows, two positions: 8 instructions for 32 products.
macro_rules! chunk_times_2 {
    () => {
        lines!(
            weights!(),
            products!("q2", "r0", "r8"),
            products!("q3", "r2", "r10"),
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
        rounds!(chunk_times_2),
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

/// Two rows, one position: 5 instructions for 16 products.
macro_rules! chunk_times_1 {
    () => {
        lines!(weights!(), products!("q2", "r0", "r8"))
    };
}

/// One position: sums in r0 and in r8.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_1(_: &Job) {
    naked_asm!(
        begin!(),
        "1:",
        begin_rows!(),
        rounds!(chunk_times_1),
        first_factor!(),
        scale!("r0"),
        "strh r0, [r5]",
        second_factor!(),
        scale!("r8"),
        "strh r8, [r5]",
        end_rows!(),
    )
}
