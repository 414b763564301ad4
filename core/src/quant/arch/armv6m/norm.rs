//! Normalisation, Mish and epilogue: some 50 instructions per value, most of them for the upper
//! words of two products.
#![allow(unsafe_code)]

use crate::quant::arch::cortex_m::assembler::{lines, restore_registers, save_registers};
use crate::quant::arch::cortex_m::norm::{Job, Routine, Routines};
use crate::quant::kernels::mish;
use crate::quant::kernels::norm::Parameters;
use crate::quant::kernels::norm::factors::{Channel, Factors};
use crate::quant::kernels::norm::group::{Scaled, Sums};
use core::arch::naked_asm;

/// Only instructions of ARMv6-M.
pub(crate) struct Armv6m;

// SAFETY: what the routines read and write besides the channels' values is the channels, the job
// and the table of Mish.
unsafe impl Routines for Armv6m {
    const POSITIONS: usize = 1;
    const MODULATE: [Routine; 4] = [modulate_0, modulate_1, modulate_2, modulate_n];
    const MODULATE_UP: Routine = modulate_up;
    const ADD: Routine = add;

    #[inline(always)]
    unsafe fn sums(
        x: *const i16,
        n_channels: usize,
        n_rows: usize,
        size: usize,
        sums: &mut [Sums],
    ) -> bool {
        if !size.is_multiple_of(2) {
            return false;
        }
        let groups = Groups {
            sums: sums.as_mut_ptr(),
            x,
            n_groups: sums.len(),
            row_bytes: 2 * size,
            step_bytes: 2 * n_channels,
            group_bytes: 2 * n_channels * n_rows,
        };
        // SAFETY: the caller's.
        unsafe { sum_groups(&groups) };
        true
    }

    #[inline(always)]
    fn write_factors(factors: &Factors<'_>, channels: &mut [Channel]) -> bool {
        let n_channels = channels.len();
        let size = factors.group_size.min(n_channels);
        let can_be_read = n_channels > 0
            && factors.parameters.len() >= n_channels
            && size * factors.groups.len() == n_channels
            && factors.parameters.as_ptr().cast::<i32>().is_aligned()
            && (factors.film.as_ref()).is_none_or(|film| film.are_of(n_channels));
        if !can_be_read {
            return false;
        }
        let gains = Gains {
            channels: channels.as_mut_ptr(),
            parameters: factors.parameters.as_ptr(),
            groups: factors.groups.as_ptr(),
            parameters_end: factors.parameters.as_ptr().wrapping_add(n_channels),
            group_bytes: size * size_of::<Parameters>(),
        };
        // SAFETY: there is a whole number of groups, and parameters for their channels, aligned for
        // words.
        unsafe { write_gains(&gains) };
        let Some(film) = &factors.film else {
            return true;
        };
        let Some((step_scales, scales)) = film.scales else {
            film.write_biases(channels);
            return true;
        };
        let film = Film {
            channels: channels.as_mut_ptr(),
            step_scales: step_scales.as_ptr(),
            scales: scales.as_ptr(),
            size_bytes: 2 * n_channels,
            half: film.half,
            step_biases: film.biases.0.as_ptr(),
            biases: film.biases.1.as_ptr(),
        };
        // SAFETY: `are_of`: each array has as many values, aligned for half words.
        unsafe { write_film(&film) };
        true
    }
}

/// What the summing routine is told.
#[repr(C)]
struct Groups {
    sums: *mut Sums,
    x: *const i16,
    n_groups: usize,
    /// Size of a group's row.
    row_bytes: usize,
    /// To the next row.
    step_bytes: usize,
    /// From a group's first row to the end of its last one.
    group_bytes: usize,
}

/// 13 instructions per two values, the sum of whose squares fits 32 bits. r0 is the row and r6 the
/// offset in it, r1 to r3 are the group's sums, r7 is 0, r8 is where sums are written, r9 a row's
/// size, r10 the step, r11 the size of a group's rows, r12 their end, lr the number of groups left.
#[unsafe(naked)]
unsafe extern "C" fn sum_groups(_: &Groups) {
    naked_asm!(
        save_registers!(),
        "ldm r0!, {{r1-r6}}",
        "mov r8, r1",
        "mov r0, r2",
        "mov lr, r3",
        "mov r9, r4",
        "mov r10, r5",
        "mov r11, r6",
        "movs r7, #0",
        "1:",
        "push {{r0}}",
        "mov r12, r0",
        "add r12, r11",
        "movs r1, #0",
        "movs r2, #0",
        "movs r3, #0",
        "2:",
        "movs r6, #0",
        "3:",
        "ldrsh r4, [r0, r6]",
        "adds r1, r1, r4",
        "muls r4, r4, r4",
        "adds r6, r6, #2",
        "ldrsh r5, [r0, r6]",
        "adds r1, r1, r5",
        "muls r5, r5, r5",
        "adds r6, r6, #2",
        "adds r4, r4, r5",
        "adds r2, r2, r4",
        "adcs r3, r3, r7",
        "cmp r6, r9",
        "bne 3b",
        "add r0, r10",
        "cmp r0, r12",
        "bne 2b",
        "mov r4, r8",
        "stm r4!, {{r1-r3}}",
        "mov r8, r4",
        "pop {{r0}}",
        "add r0, r9",
        "mov r4, lr",
        "subs r4, r4, #1",
        "mov lr, r4",
        "bne 1b",
        restore_registers!(),
    )
}

/// What gains are computed from.
#[repr(C)]
struct Gains {
    channels: *mut Channel,
    parameters: *const Parameters,
    groups: *const Scaled,
    parameters_end: *const Parameters,
    /// Size of a group's parameters.
    group_bytes: usize,
}

/// Writes `n`, `minus_sum`, the gain (as in `gain_and_beta_by_halves`: the carry of the lower
/// half's shift rounds) and `beta`. r2 and r3 are the group's `n` and `minus_sum`, r7 and r8 the
/// halves of its mantissa, upper first, r9 the groups, r10 the end of this group's parameters, r11
/// that of all, r12 the size of a group's.
#[unsafe(naked)]
unsafe extern "C" fn write_gains(_: &Gains) {
    naked_asm!(
        save_registers!(),
        "ldm r0!, {{r1-r5}}",
        "mov r0, r1",
        "mov r1, r2",
        "mov r9, r3",
        "mov r11, r4",
        "mov r12, r5",
        "mov r10, r1",
        "1:",
        "add r10, r12",
        "mov r4, r9",
        "ldm r4!, {{r2, r3, r7}}",
        "mov r9, r4",
        "uxth r4, r7",
        "mov r8, r4",
        "asrs r7, r7, #16",
        "2:",
        "ldm r1!, {{r4, r5}}",
        "mov r6, r8",
        "muls r6, r4, r6",
        "muls r4, r7, r4",
        "lsls r4, r4, #1",
        "asrs r6, r6, #15",
        "adcs r4, r4, r6",
        "stm r0!, {{r2-r5}}",
        "adds r0, r0, #8",
        "cmp r1, r10",
        "bne 2b",
        "cmp r1, r11",
        "bne 1b",
        restore_registers!(),
    )
}

/// What FiLM's scales and biases are computed from.
#[repr(C)]
struct Film {
    channels: *mut Channel,
    step_scales: *const [u8; 2],
    scales: *const i16,
    /// Size of each of these four arrays.
    size_bytes: usize,
    half: i32,
    step_biases: *const [u8; 2],
    biases: *const i16,
}

/// Scales and biases. r1 is the channel's offset in the shares, of scales at r2 and r12, of biases
/// at r6 and r7.
#[unsafe(naked)]
unsafe extern "C" fn write_film(_: &Film) {
    naked_asm!(
        save_registers!(),
        "ldm r0!, {{r1-r7}}",
        "mov r0, r1",
        "mov r8, r4",
        "mov r9, r5",
        "mov r12, r3",
        "movs r1, #0",
        "1:",
        "mov r3, r12",
        "ldrsh r4, [r2, r1]",
        "ldrsh r3, [r3, r1]",
        "adds r4, r4, r3",
        "lsls r4, r4, #15",
        "ldrsh r5, [r6, r1]",
        "ldrsh r3, [r7, r1]",
        "adds r5, r5, r3",
        "add r5, r9",
        "str r4, [r0, #16]",
        "str r5, [r0, #20]",
        "adds r0, r0, #24",
        "adds r1, r1, #2",
        "cmp r1, r8",
        "bne 1b",
        restore_registers!(),
    )
}

/// Loads the job: r0 the row of values, r8 that of outputs, r9 the table of Mish, r11 the channels'
/// end, r2 the rest of the job. On the stack: `[sp]` the step, `[sp, 4]` the first channel, `[sp,
/// 8]` the rows left.
macro_rules! begin {
    () => {
        lines!(
            save_registers!(),
            "ldm r0!, {{r1-r7}}",
            "mov r11, r5",
            "mov r9, r6",
            "mov r5, r2",
            "mov r6, r4",
            "push {{r5-r7}}",
            "add r1, r3",
            "mov r8, r1",
            "mov r2, r0",
            "mov r0, r3",
        )
    };
}

/// Begins a row: channel to r1, offset in the row to r7.
macro_rules! begin_row {
    () => {
        lines!("1:", "ldr r1, [sp, #4]", "movs r7, #0", "2:")
    };
}

/// Normalises the next value to r3, in Q16, without `beta`, which is at r1.
///
/// The rounded upper word of `d` (halves in r3 and r2, upper first) times the gain (r6, r4) comes
/// from four products, as in `upper_word_by_halves`; the last shift's carry is the half to round
/// by.
macro_rules! normalized_less_beta {
    () => {
        lines!(
            "ldrsh r6, [r0, r7]",
            "ldm r1!, {{r2-r4}}",
            "muls r2, r6, r2",
            "adds r2, r2, r3",
            "asrs r3, r2, #16",
            "uxth r2, r2",
            "asrs r6, r4, #16",
            "uxth r4, r4",
            "mov r5, r2",
            "muls r5, r4, r5",
            "lsrs r5, r5, #16",
            "muls r4, r3, r4",
            "adds r4, r4, r5",
            "muls r3, r6, r3",
            "muls r2, r6, r2",
            "uxth r5, r4",
            "adds r2, r2, r5",
            "asrs r4, r4, #16",
            "adds r3, r3, r4",
            "asrs r2, r2, #16",
            "adcs r3, r3, r2",
        )
    };
}

/// Mish of r3 plus `beta` (r4) to r2; r5 and r6 keep their values.
macro_rules! mish {
    () => {
        lines!(
            "adds r3, r3, r4",
            "lsls r2, r3, #{above_index}",
            "lsrs r2, r2, #{above_index} + {fraction_bits}",
            "lsls r2, r2, #2",
            "mov r4, r9",
            "ldr r2, [r4, r2]",
            "sxth r4, r2",
            "asrs r2, r2, #16",
            "muls r4, r3, r4",
            "asrs r4, r4, #{fraction_bits}",
            "adcs r2, r2, r4",
        )
    };
}

/// Stores r2, saturated, at offset r7 of the row at r3; then goes on to the next channel or the
/// next row.
macro_rules! end {
    () => {
        lines!(
            "sxth r4, r2",
            "cmp r4, r2",
            "beq 3f",
            "asrs r2, r2, #31",
            "ldr r4, =0x7fff",
            "eors r2, r4",
            "3:",
            "strh r2, [r3, r7]",
            "adds r7, r7, #2",
            "cmp r1, r11",
            "bne 2b",
            "ldr r2, [sp]",
            "adds r0, r0, r2",
            "add r8, r2",
            "ldr r2, [sp, #8]",
            "subs r2, r2, #1",
            "str r2, [sp, #8]",
            "bne 1b",
            "add sp, #12",
            restore_registers!(),
            ".p2align 2",
            ".ltorg",
        )
    };
}

/// A routine with FiLM: the scale times 2^15 in r5, the bias in r6.
///
/// With `y = 2^15 yh + yl`, `scale y / 2^16` is half of `scale yh + (scale yl >> 15)`: a scale has
/// 17 bits, so that products fit 32.
macro_rules! modulate {
    ($name:ident, $load:expr, $shift_up:expr, $add_bias:expr) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name(_: &Job) {
            naked_asm!(
                begin!(),
                $load,
                begin_row!(),
                normalized_less_beta!(),
                "ldm r1!, {{r4-r6}}",
                mish!(),
                $shift_up,
                "asrs r5, r5, #15",
                "asrs r4, r2, #15",
                "muls r4, r5, r4",
                "lsls r2, r2, #17",
                "lsrs r2, r2, #17",
                "muls r2, r5, r2",
                "asrs r2, r2, #15",
                "adds r2, r2, r4",
                "asrs r2, r2, #1",
                $add_bias,
                "mov r3, r8",
                end!(),
                fraction_bits = const mish::FRACTION_BITS,
                above_index = const 32 - mish::INDEX_BITS - mish::FRACTION_BITS,
            )
        }
    };
}

// Without a shift, the carry is the half to round by; with one, the bias includes it.
modulate!(modulate_0, "", "", "adcs r2, r2, r6");
modulate!(
    modulate_1,
    "",
    "",
    lines!("adds r2, r2, r6", "asrs r2, r2, #1")
);
modulate!(
    modulate_2,
    "",
    "",
    lines!("adds r2, r2, r6", "asrs r2, r2, #2")
);
modulate!(
    modulate_n,
    lines!("ldr r3, [r2, #12]", "mov lr, r3"),
    "",
    lines!("adds r2, r2, r6", "mov r5, lr", "asrs r2, r5")
);
modulate!(
    modulate_up,
    lines!("ldr r3, [r2, #20]", "mov lr, r3"),
    lines!("mov r4, lr", "lsls r2, r4"),
    lines!("adds r2, r2, r6", "asrs r2, r2, #1")
);

/// A routine that adds the old value, times r10; the half in r12, the shift in lr.
#[unsafe(naked)]
unsafe extern "C" fn add(_: &Job) {
    naked_asm!(
        begin!(),
        "adds r2, r2, #4",
        "ldm r2!, {{r3-r5}}",
        "mov r10, r3",
        "mov r12, r4",
        "mov lr, r5",
        begin_row!(),
        normalized_less_beta!(),
        "ldm r1!, {{r4}}",
        "adds r1, r1, #8",
        mish!(),
        "mov r3, r8",
        "ldrsh r4, [r3, r7]",
        "mov r5, r10",
        "muls r4, r5, r4",
        "adds r2, r2, r4",
        "add r2, r12",
        "mov r5, lr",
        "asrs r2, r5",
        end!(),
        fraction_bits = const mish::FRACTION_BITS,
        above_index = const 32 - mish::INDEX_BITS - mish::FRACTION_BITS,
    )
}
