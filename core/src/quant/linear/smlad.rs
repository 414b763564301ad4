//! The product with `SMLAD` (Cortex-M4, M7, and M33 with the DSP extension): two multiplications an instruction.
#![allow(unsafe_code)]

use super::{Kernel, LANES, reference};
use core::arch::naked_asm;

/// As [`reference::dots`]; for 1, 2 or 4 windows.
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
    // LDRD faults where its address is no multiple of four; our tensors lie at such addresses.
    if !input.as_ptr().cast::<u32>().is_aligned() || !step.is_multiple_of(2) {
        return reference::dots(weights, input, step);
    }
    let mut sums = [0; P];
    if weights.len() >= LANES {
        let n_chunks = weights.len() / LANES;
        // SAFETY: the kernel reads `n_chunks * 8` weights and, from each of the P positions on, as many inputs: the slice
        // above ends behind the last of them. The address is aligned, and `sums` has P places.
        unsafe {
            kernel(
                weights.as_ptr(),
                n_chunks,
                input.as_ptr(),
                2 * step,
                sums.as_mut_ptr(),
            )
        }
    }
    sums
}

/// Tells the assembler of instructions that the target does not always have.
#[cfg(smlad = "optional")]
macro_rules! assembler_cpu {
    () => {
        ".cpu cortex-m33"
    };
}

/// The target always has them.
#[cfg(not(smlad = "optional"))]
macro_rules! assembler_cpu {
    () => {
        ""
    };
}

/// The next four weights, spread to the pairs (0, 1) in r10 and (2, 3) in r11.
macro_rules! four_weights {
    () => {
        "ldr r10, [r0], #4
         sxtb16 r11, r10, ror #8
         sxtb16 r10, r10"
    };
}

/// The next four inputs at `$window`, times the weights, onto `$sum`.
macro_rules! four_products {
    ($window:literal, $sum:literal) => {
        concat!(
            "ldrd r12, lr, [",
            $window,
            "], #8\n",
            "smlad ",
            $sum,
            ", r10, r12, ",
            $sum,
            "\n",
            "smlad ",
            $sum,
            ", r11, lr, ",
            $sum
        )
    };
}

/// Four windows in r2 to r5, four sums in r6 to r9: 32 instructions for 32 products.
#[unsafe(naked)]
unsafe extern "C" fn dots_4(_: *const u8, _: usize, _: *const i16, _: usize, _: *mut i32) {
    naked_asm!(
        assembler_cpu!(),
        "push {{r4-r11, lr}}",
        "add r4, r2, r3, lsl #1",
        "add r5, r4, r3",
        "add r3, r2, r3",
        "movs r6, #0",
        "movs r7, #0",
        "mov r8, r6",
        "mov r9, r6",
        "2:",
        four_weights!(),
        four_products!("r2", "r6"),
        four_products!("r3", "r7"),
        four_products!("r4", "r8"),
        four_products!("r5", "r9"),
        four_weights!(),
        four_products!("r2", "r6"),
        four_products!("r3", "r7"),
        four_products!("r4", "r8"),
        four_products!("r5", "r9"),
        "subs r1, r1, #1",
        "bne 2b",
        // The fifth argument lies behind the nine registers saved.
        "ldr r0, [sp, #36]",
        "stm r0, {{r6-r9}}",
        "pop {{r4-r11, pc}}",
    )
}

/// Two windows in r2 and r3, two sums in r6 and r7: 20 instructions for 16 products.
#[unsafe(naked)]
unsafe extern "C" fn dots_2(_: *const u8, _: usize, _: *const i16, _: usize, _: *mut i32) {
    naked_asm!(
        assembler_cpu!(),
        "push {{r6, r7, r10, r11, lr}}",
        "add r3, r2, r3",
        "movs r6, #0",
        "movs r7, #0",
        "2:",
        four_weights!(),
        four_products!("r2", "r6"),
        four_products!("r3", "r7"),
        four_weights!(),
        four_products!("r2", "r6"),
        four_products!("r3", "r7"),
        "subs r1, r1, #1",
        "bne 2b",
        "ldr r0, [sp, #20]",
        "stm r0, {{r6, r7}}",
        "pop {{r6, r7, r10, r11, pc}}",
    )
}

/// One window in r2, its sum in r3: 14 instructions for 8 products.
#[unsafe(naked)]
unsafe extern "C" fn dots_1(_: *const u8, _: usize, _: *const i16, _: usize, _: *mut i32) {
    naked_asm!(
        assembler_cpu!(),
        "push {{r10, r11, lr}}",
        "movs r3, #0",
        "2:",
        four_weights!(),
        four_products!("r2", "r3"),
        four_weights!(),
        four_products!("r2", "r3"),
        "subs r1, r1, #1",
        "bne 2b",
        "ldr r0, [sp, #12]",
        "str r3, [r0]",
        "pop {{r10, r11, pc}}",
    )
}
