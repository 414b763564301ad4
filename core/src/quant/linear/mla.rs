//! The product with `MLA` (Cortex-M3, and M33 without the DSP extension): one multiplication an instruction.
#![allow(unsafe_code)]

use super::{Kernel, LANES};
use core::arch::naked_asm;

/// As [`super::reference::dots`]; for 1, 2 or 4 windows.
#[inline(always)]
pub(super) fn dots<const P: usize>(weights: &[u8], input: &[i16], step: usize) -> [i32; P] {
    let kernel: Kernel = const {
        match P {
            1 => dots_1,
            2 => dots_2,
            4 => dots_4,
            _ => panic!("no kernel for so many windows"),
        }
    };
    let input = &input[..(P - 1) * step + weights.len()];
    let mut sums = [0; P];
    if weights.len() >= LANES {
        // SAFETY: the kernel reads `n_chunks * 8` weights and, from each of the P positions on, as many inputs: the slice
        // above ends behind the last of them. `sums` has P places; bytes and halfwords lie at addresses that suit them.
        unsafe {
            kernel(
                weights.as_ptr(),
                weights.len() / LANES,
                input.as_ptr(),
                2 * step,
                sums.as_mut_ptr(),
            )
        }
    }
    sums
}

/// Weight `$at` of the row times the next input at each window, onto the sums.
macro_rules! weight {
    ($at:literal, $(($window:literal, $sum:literal)),+) => {
        concat!(
            "ldrsb r10, [r0, #", $at, "]\n",
            $("ldrsh r11, [", $window, "], #2\n", "mla ", $sum, ", r10, r11, ", $sum, "\n",)+
        )
    };
}

/// Eight weights in the order of their inputs: see [`super::PACKING`].
macro_rules! eight_weights {
    ($($window:tt),+) => {
        concat!(
            weight!("0", $($window),+),
            weight!("2", $($window),+),
            weight!("1", $($window),+),
            weight!("3", $($window),+),
            weight!("4", $($window),+),
            weight!("6", $($window),+),
            weight!("5", $($window),+),
            weight!("7", $($window),+),
            "adds r0, r0, #8"
        )
    };
}

/// Four windows in r2 to r5, four sums in r6 to r9: 75 instructions for 32 products.
#[unsafe(naked)]
unsafe extern "C" fn dots_4(_: *const u8, _: usize, _: *const i16, _: usize, _: *mut i32) {
    naked_asm!(
        "push {{r4-r11, lr}}",
        "add r4, r2, r3, lsl #1",
        "add r5, r4, r3",
        "add r3, r2, r3",
        "movs r6, #0",
        "movs r7, #0",
        "mov r8, r6",
        "mov r9, r6",
        "2:",
        eight_weights!(("r2", "r6"), ("r3", "r7"), ("r4", "r8"), ("r5", "r9")),
        "subs r1, r1, #1",
        "bne 2b",
        // The fifth argument lies behind the nine registers saved.
        "ldr r0, [sp, #36]",
        "stm r0, {{r6-r9}}",
        "pop {{r4-r11, pc}}",
    )
}

/// Two windows in r2 and r3, two sums in r6 and r7: 43 instructions for 16 products.
#[unsafe(naked)]
unsafe extern "C" fn dots_2(_: *const u8, _: usize, _: *const i16, _: usize, _: *mut i32) {
    naked_asm!(
        "push {{r6, r7, r10, r11, lr}}",
        "add r3, r2, r3",
        "movs r6, #0",
        "movs r7, #0",
        "2:",
        eight_weights!(("r2", "r6"), ("r3", "r7")),
        "subs r1, r1, #1",
        "bne 2b",
        "ldr r0, [sp, #20]",
        "stm r0, {{r6, r7}}",
        "pop {{r6, r7, r10, r11, pc}}",
    )
}

/// One window in r2, its sum in r3: 27 instructions for 8 products.
#[unsafe(naked)]
unsafe extern "C" fn dots_1(_: *const u8, _: usize, _: *const i16, _: usize, _: *mut i32) {
    naked_asm!(
        "push {{r10, r11, lr}}",
        "movs r3, #0",
        "2:",
        eight_weights!(("r2", "r3")),
        "subs r1, r1, #1",
        "bne 2b",
        "ldr r0, [sp, #12]",
        "str r3, [r0]",
        "pop {{r10, r11, pc}}",
    )
}
