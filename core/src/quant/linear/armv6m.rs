//! The product on ARMv6-M (Cortex-M0, M0+): eight low registers, `MULS`, no load that extends with an immediate offset.
#![allow(unsafe_code)]

use super::{LANES, reference};
use core::arch::naked_asm;

/// As [`reference::dots`].
#[inline(always)]
pub(super) fn dots<const P: usize>(weights: &[u8], input: &[i16], step: usize) -> [i32; P] {
    let input = &input[..(P - 1) * step + weights.len()];
    // Whole words are loaded, and this core faults where a word's address is no multiple of four. The model file and our
    // tensors lie at such addresses if the file as a whole does.
    let is_aligned = input.as_ptr().cast::<u32>().is_aligned()
        && weights.as_ptr().cast::<u32>().is_aligned()
        && step.is_multiple_of(2);
    if !is_aligned || !P.is_multiple_of(2) || weights.len() < LANES {
        return reference::dots(weights, input, step);
    }
    let mut sums = [0; P];
    for (pair, sums) in sums.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        let windows = &input[2 * pair * step..];
        // SAFETY: the kernel reads `n_chunks * 8` weights, one at least, and from each of two positions on as many inputs: the
        // slice above ends behind the last of P. All addresses are whole words, and `sums` has two places.
        unsafe {
            dots_2(
                weights.as_ptr(),
                weights.len() / LANES,
                windows.as_ptr(),
                2 * step,
                sums.as_mut_ptr(),
            )
        }
    }
    sums
}

/// The weight in r4 times the lower (`sxth $to, $from`) or upper (`asrs $to, $from, #16`) inputs in r5 and r6, onto r8 and r9.
macro_rules! products {
    (lower) => {
        products!("sxth r7, r5", "sxth r7, r6")
    };
    (upper) => {
        products!("asrs r7, r5, #16", "asrs r7, r6, #16")
    };
    ($first:literal, $second:literal) => {
        concat!(
            $first,
            "\n",
            "muls r7, r4, r7\n",
            "add r8, r7\n",
            $second,
            "\n",
            "muls r7, r4, r7\n",
            "add r9, r7\n"
        )
    };
}

/// Four weights in the order of their inputs (see [`super::PACKING`]): bytes 0, 2, 1 and 3 of a word.
macro_rules! four_weights {
    () => {
        concat!(
            "ldm r0!, {{r3}}\n",
            "ldm r1!, {{r5}}\n",
            "ldm r2!, {{r6}}\n",
            "sxtb r4, r3\n",
            products!(lower),
            "lsls r4, r3, #8\n",
            "asrs r4, r4, #24\n",
            products!(upper),
            "ldm r1!, {{r5}}\n",
            "ldm r2!, {{r6}}\n",
            "lsls r4, r3, #16\n",
            "asrs r4, r4, #24\n",
            products!(lower),
            "asrs r4, r3, #24\n",
            products!(upper)
        )
    };
}

/// `n_chunks` of eight weights at `weights` times the windows at `input` and `input + step_bytes`: two sums.
///
/// Registers: r0 weights, r10 their end, r1 and r2 the windows, r3 four weights, r4 one of them, r5 and r6 two inputs of each
/// window, r7 an input and then its product, r8 and r9 the sums. 72 instructions for 16 products.
#[unsafe(naked)]
unsafe extern "C" fn dots_2(
    weights: *const u8,
    n_chunks: usize,
    input: *const i16,
    step_bytes: usize,
    sums: *mut i32,
) {
    naked_asm!(
        "push {{r4-r7, lr}}",
        "mov r4, r8",
        "mov r5, r9",
        "mov r6, r10",
        "push {{r4-r6}}",
        "lsls r1, r1, #3",
        "adds r1, r0, r1",
        "mov r10, r1",
        "mov r1, r2",
        "adds r2, r2, r3",
        "movs r3, #0",
        "mov r8, r3",
        "mov r9, r3",
        "2:",
        four_weights!(),
        four_weights!(),
        "cmp r0, r10",
        "bne 2b",
        // The fifth argument lies behind the eight registers saved.
        "ldr r0, [sp, #32]",
        "mov r1, r8",
        "mov r2, r9",
        "stm r0!, {{r1, r2}}",
        "pop {{r4-r6}}",
        "mov r8, r4",
        "mov r9, r5",
        "mov r10, r6",
        "pop {{r4-r7, pc}}",
    )
}
