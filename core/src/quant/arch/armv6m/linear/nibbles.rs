//! The routines for weights of 4 bits: two shifts take one out of a word of eight. It is a sixteenth
//! of the weight, so that the sums without the bias are shifted at the end.

use super::{
    begin, begin_row, end_row, end_sums, product, scale_and_store, weight_times_1, weight_times_2,
    weight_times_4,
};
use crate::quant::arch::cortex_m::assembler::{lines, restore_registers, save_registers};
use crate::quant::arch::cortex_m::linear::{Job, Tiles};
use core::arch::naked_asm;

pub(super) const TILES: Tiles = Tiles {
    of_4: rows_times_4,
    of_2: rows_times_2,
    of_1: rows_times_1,
};

/// Calls `$weight` with a sixteenth of the weight in r3 that is `$shift` bits below the top of the
/// word in r2.
macro_rules! weight_below {
    ($shift:literal, $weight:ident, $which:ident) => {
        lines!(
            concat!("lsls r3, r2, #", $shift),
            "asrs r3, r3, #28",
            $weight!($which),
        )
    };
}

/// Loads eight weights to r2 and calls `$weight` for each, first for those in the lower halves of
/// the bytes: 16 instructions beside it.
macro_rules! eight_weights {
    ($weight:ident) => {
        lines!(
            "ldm r0!, {{r2}}",
            weight_below!("28", $weight, first),
            weight_below!("20", $weight, second),
            weight_below!("12", $weight, first),
            weight_below!("4", $weight, second),
            weight_below!("24", $weight, first),
            weight_below!("16", $weight, second),
            weight_below!("8", $weight, first),
            "asrs r3, r2, #28",
            $weight!(second),
        )
    };
}

/// Loads the row's bias to r3.
macro_rules! load_bias {
    () => {
        lines!("ldr r1, [sp, #20]", "subs r1, r0, r1", "ldr r3, [r1]")
    };
}

/// The bias (r3) plus sixteen times a sum (a high register).
macro_rules! add_bias {
    ($sum:literal) => {
        lines!(
            concat!("mov r4, ", $sum),
            "lsls r4, r4, #4",
            "adds r4, r4, r3",
            concat!("mov ", $sum, ", r4"),
        )
    };
}

/// Four positions: 90 instructions for 32 products.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_4(_: &Job) {
    naked_asm!(
        begin!(),
        "1:",
        begin_row!(),
        "movs r4, #0",
        "mov r8, r4",
        "mov r9, r4",
        "mov r10, r4",
        "mov r11, r4",
        "2:",
        eight_weights!(weight_times_4),
        "cmp r0, r12",
        "bne 2b",
        load_bias!(),
        add_bias!("r8"),
        add_bias!("r9"),
        add_bias!("r10"),
        add_bias!("r11"),
        end_sums!(),
        scale_and_store!("r8", "3"),
        scale_and_store!("r9", "3"),
        scale_and_store!("r10", "3"),
        scale_and_store!("r11", "3"),
        end_row!(),
    )
}

/// Two positions: 54 instructions for 16 products.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_2(_: &Job) {
    naked_asm!(
        begin!(),
        "1:",
        begin_row!(),
        "movs r4, #0",
        "mov r8, r4",
        "mov r9, r4",
        "2:",
        eight_weights!(weight_times_2),
        "cmp r0, r12",
        "bne 2b",
        load_bias!(),
        add_bias!("r8"),
        add_bias!("r9"),
        end_sums!(),
        scale_and_store!("r8", "3"),
        scale_and_store!("r9", "3"),
        end_row!(),
    )
}

/// One position: 38 instructions for 8 products.
#[unsafe(naked)]
unsafe extern "C" fn rows_times_1(_: &Job) {
    naked_asm!(
        begin!(),
        "1:",
        begin_row!(),
        "movs r4, #0",
        "mov r8, r4",
        "2:",
        eight_weights!(weight_times_1),
        "cmp r0, r12",
        "bne 2b",
        load_bias!(),
        add_bias!("r8"),
        end_sums!(),
        scale_and_store!("r8", "3"),
        end_row!(),
    )
}
