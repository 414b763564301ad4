//! The product with `SMLAD` (Cortex-M4, M7, and M33 with the DSP extension): two multiplications an instruction.
#![allow(unsafe_code)]

use super::{LANES, POSITIONS, reference};
use core::arch::naked_asm;

pub(super) use reference::dot;

/// As [`reference::dots`].
#[inline(always)]
pub(super) fn dots(weights: &[u8], input: &[i16], step: usize) -> [i32; POSITIONS] {
    let input = &input[..(POSITIONS - 1) * step + weights.len()];
    // LDRD faults where its address is no multiple of four; our tensors lie at such addresses.
    if !input.as_ptr().cast::<u32>().is_aligned() || !step.is_multiple_of(2) {
        return reference::dots(weights, input, step);
    }
    let mut sums = [0; POSITIONS];
    if weights.len() >= LANES {
        let n_chunks = weights.len() / LANES;
        // SAFETY: the kernel reads `n_chunks * 8` weights and, from each of the four positions on, as many inputs:
        // the slice above ends behind the last of them. The address is aligned, and `sums` has four places.
        unsafe {
            dots_smlad(
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

/// `n_chunks` of eight weights at `weights` times the windows at `input`, `input + step_bytes`, ..: four sums.
///
/// Registers: r0 weights, r1 chunks left, r2 to r5 the four windows, r6 to r9 the four sums, r10 and r11 the weights
/// (0, 1) and (2, 3) of a quad, r12 and lr the inputs that belong to them. 32 instructions for 32 products.
#[unsafe(naked)]
unsafe extern "C" fn dots_smlad(
    weights: *const u8,
    n_chunks: usize,
    input: *const i16,
    step_bytes: usize,
    sums: *mut i32,
) {
    naked_asm!(
        assembler_cpu!(),
        ".macro quad",
        "ldr r10, [r0], #4",
        "sxtb16 r11, r10, ror #8",
        "sxtb16 r10, r10",
        "ldrd r12, lr, [r2], #8",
        "smlad r6, r10, r12, r6",
        "smlad r6, r11, lr, r6",
        "ldrd r12, lr, [r3], #8",
        "smlad r7, r10, r12, r7",
        "smlad r7, r11, lr, r7",
        "ldrd r12, lr, [r4], #8",
        "smlad r8, r10, r12, r8",
        "smlad r8, r11, lr, r8",
        "ldrd r12, lr, [r5], #8",
        "smlad r9, r10, r12, r9",
        "smlad r9, r11, lr, r9",
        ".endm",
        "push {{r4-r11, lr}}",
        "add r4, r2, r3, lsl #1",
        "add r5, r4, r3",
        "add r3, r2, r3",
        "movs r6, #0",
        "movs r7, #0",
        "mov r8, r6",
        "mov r9, r6",
        "2:",
        "quad",
        "quad",
        "subs r1, r1, #1",
        "bne 2b",
        // The fifth argument lies behind the nine registers saved.
        "ldr r0, [sp, #36]",
        "stm r0, {{r6-r9}}",
        "pop {{r4-r11, pc}}",
        ".purgem quad",
    )
}
