//! Normalisation, Mish and epilogue: two positions per iteration, 12 instructions per value and 6
//! per iteration.
#![allow(unsafe_code)]

use crate::quant::arch::cortex_m::assembler::{assembler_cpu, lines};
use crate::quant::arch::cortex_m::norm::{Job, Routine, Routines};
use crate::quant::kernels::mish;
use crate::quant::kernels::norm::Parameters;
use crate::quant::kernels::norm::factors::{Channel, Factors};
use crate::quant::kernels::norm::group::{Scaled, Sums};
use core::arch::naked_asm;
use core::ptr::null;

/// The DSP extension.
pub(crate) struct Dsp;

// SAFETY: what the routines read and write besides the channels' values is the channels, the job
// and the table of Mish.
unsafe impl Routines for Dsp {
    const POSITIONS: usize = 2;
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
            n_pairs: size / 2,
            step_bytes: 2 * n_channels,
            to_next_rows: 2 * (2 * n_channels - size),
            n_two_rows: n_rows / 2,
        };
        // SAFETY: the caller's.
        unsafe { sum_groups(&groups) };
        true
    }

    #[inline(always)]
    fn write_factors(factors: &Factors<'_>, channels: &mut [Channel]) -> bool {
        let n_channels = channels.len();
        let size = factors.group_size.min(n_channels);
        let mut sources = Sources {
            channels: channels.as_mut_ptr(),
            parameters: factors.parameters.as_ptr(),
            step: null(),
            observation: null(),
            to_biases: 0,
            half: 0,
            groups: factors.groups.as_ptr(),
            parameters_end: factors.parameters.as_ptr().wrapping_add(n_channels),
            group_bytes: size * size_of::<Parameters>(),
        };
        let mut are_there = n_channels > 0
            && factors.parameters.len() >= n_channels
            && size * factors.groups.len() == n_channels;
        let mut routine: FactorRoutine = write_gains;
        let scales = factors
            .film
            .as_ref()
            .and_then(|film| Some((film, film.scales?)));
        // The routine takes biases as they are.
        let has_places_added = factors.film.as_ref().is_some_and(|film| film.up > 0);
        if has_places_added {
            return false;
        }
        if let Some((film, (step, observation))) = scales {
            let (step_biases, biases) = film.biases;
            sources.step = step.as_ptr();
            sources.observation = observation.as_ptr();
            sources.to_biases = bytes_between(step, step_biases);
            sources.half = film.half;
            are_there &= bytes_between(observation, biases) == sources.to_biases
                && step.len().min(observation.len()) >= n_channels
                && step_biases.len().min(biases.len()) >= n_channels;
            routine = write_factors_and_film;
        }
        debug_assert!(are_there);
        if are_there {
            // SAFETY: there is a whole number of groups, and parameters and FiLM's shares for their
            // channels.
            unsafe { routine(&sources) };
        }
        if let (Some(film), None) = (&factors.film, scales) {
            film.write_biases(channels);
        }
        true
    }
}

fn bytes_between<T>(from: &[T], to: &[T]) -> usize {
    (to.as_ptr() as usize).wrapping_sub(from.as_ptr() as usize)
}

/// What factors are computed from.
#[repr(C)]
struct Sources {
    channels: *mut Channel,
    parameters: *const Parameters,
    /// FiLM's scales; `to_biases` bytes from each is its bias.
    step: *const [u8; 2],
    observation: *const i16,
    to_biases: usize,
    /// Included in each bias, to round by.
    half: i32,
    groups: *const Scaled,
    parameters_end: *const Parameters,
    /// Size of a group's parameters.
    group_bytes: usize,
}

type FactorRoutine = unsafe extern "C" fn(&Sources);

/// The gain of the next channel to r9, rounded as in `gain_and_beta`, `beta` to r10; the mantissa
/// is in lr.
macro_rules! gain_and_beta {
    () => {
        lines!(
            "ldr r9, [r1], #4",
            "ldr r10, [r1], #4",
            "smull r11, r9, r9, lr",
            "lsrs r11, r11, #15",
            "adc r9, r11, r9, lsl #17",
        )
    };
}

/// Without FiLM.
#[unsafe(naked)]
unsafe extern "C" fn write_gains(_: &Sources) {
    naked_asm!(
        assembler_cpu!(),
        "push {{r4-r11, lr}}",
        "ldrd r3, r4, [r0, #24]",
        "ldr r5, [r0, #32]",
        "ldrd r0, r1, [r0]",
        "add r2, r1, r5",
        "1:",
        "ldm r3!, {{r7, r8, lr}}",
        "2:",
        gain_and_beta!(),
        "cmp r1, r2",
        "stm r0, {{r7-r10}}",
        "add r0, r0, #24",
        "bne 2b",
        "add r2, r2, r5",
        "cmp r1, r4",
        "bne 1b",
        "pop {{r4-r11, pc}}",
    )
}

/// With FiLM: the scale to r11, the bias to r12. On the stack are the groups, the end of the
/// parameters, the size of a group's parameters, and the end of this group's.
#[unsafe(naked)]
unsafe extern "C" fn write_factors_and_film(_: &Sources) {
    naked_asm!(
        assembler_cpu!(),
        "push {{r4-r11, lr}}",
        "sub sp, sp, #16",
        "add r9, r0, #24",
        "ldm r0, {{r0-r5}}",
        "ldm r9, {{r6-r8}}",
        "add r9, r1, r8",
        "stm sp, {{r6-r9}}",
        "1:",
        "ldr r6, [sp]",
        "ldm r6!, {{r7, r8, lr}}",
        "str r6, [sp]",
        "2:",
        gain_and_beta!(),
        "ldrsh r12, [r2, r4]",
        "ldrsh r6, [r3, r4]",
        "ldrsh r11, [r2], #2",
        "add r12, r12, r6",
        "ldrsh r6, [r3], #2",
        "add r12, r12, r5",
        "add r11, r11, r6",
        "ldr r6, [sp, #12]",
        "lsl r11, r11, #15",
        "cmp r1, r6",
        "stm r0!, {{r7-r12}}",
        "bne 2b",
        "ldrd r7, r8, [sp, #4]",
        "add r6, r6, r8",
        "str r6, [sp, #12]",
        "cmp r1, r7",
        "bne 1b",
        "add sp, sp, #16",
        "pop {{r4-r11, pc}}",
    )
}

/// What the summing routine is told.
#[repr(C)]
struct Groups {
    sums: *mut Sums,
    x: *const i16,
    n_groups: usize,
    /// Number of pairs of values in a group's row.
    n_pairs: usize,
    step_bytes: usize,
    /// From the end of a group's row to the group's first value two rows later.
    to_next_rows: usize,
    n_two_rows: usize,
}

/// Two rows at a time: 7 instructions per four values.
#[unsafe(naked)]
unsafe extern "C" fn sum_groups(_: &Groups) {
    naked_asm!(
        assembler_cpu!(),
        "push {{r4-r11, lr}}",
        "ldm r0, {{r0-r6}}",
        "mov r12, #0x00010001",
        "1:",
        "push {{r1, r6}}",
        "mov r7, #0",
        "mov r8, #0",
        "mov r9, #0",
        "2:",
        "mov lr, r3",
        "3:",
        "ldr r11, [r1, r4]",
        "ldr r10, [r1], #4",
        "smlad r7, r11, r12, r7",
        "smlald r8, r9, r11, r11",
        "smlad r7, r10, r12, r7",
        "smlald r8, r9, r10, r10",
        "subs lr, lr, #1",
        "bne 3b",
        "add r1, r1, r5",
        "subs r6, r6, #1",
        "bne 2b",
        "stm r0!, {{r7-r9}}",
        "pop {{r1, r6}}",
        "add r1, r1, r3, lsl #2",
        "subs r2, r2, #1",
        "bne 1b",
        "pop {{r4-r11, pc}}",
    )
}

/// Loads the job: r0 the value's address, r1 the distance to its output, r2 the step, r8 the table,
/// r12 the job. On the stack: `[sp]` the next channel and the channels' end, `[sp, 8]` the
/// iterations left and the distance to the next one, `[sp, 16]` the first channel.
macro_rules! begin {
    () => {
        lines!(
            assembler_cpu!(),
            "push {{r4-r11, lr}}",
            "mov r12, r0",
            "ldm r0, {{r1-r8}}",
            "mov r0, r3",
            "push {{r4}}",
            "push {{r4, r5, r7, r8}}",
            "mov r8, r6",
        )
    };
}

/// Normalised value of `$x`, through Mish, to r12, in Q16 times 2^11.
macro_rules! activation {
    ($x:literal) => {
        lines!(
            concat!("ldrsh r12, ", $x),
            "mla r12, r4, r12, r5",
            "smmlar r12, r12, r6, r7",
            "ubfx lr, r12, #{fraction_bits}, #{index_bits}",
            "add lr, r8, lr, lsl #3",
            "ldrd r3, lr, [lr]",
            "mla r12, r3, r12, lr",
        )
    };
}

/// Moves r0 to the next channel, if there is one (the flags have said so since the factors were
/// loaded), else to the first channel of the next iteration.
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

/// FiLM: the scale in r10, the bias in r11.
macro_rules! modulation {
    ($double:literal, $multiply:literal, $saturate:expr) => {
        lines!(
            "asr r12, r12, #{fraction_bits}",
            $double,
            concat!($multiply, " r12, r12, r10, r11"),
            $saturate,
        )
    };
}

/// A routine with FiLM; `$double` doubles an activation, `$saturate` shifts the result to the
/// right. `$begin` has the job at r12; r9 is for what it and `$store_next` need, which stores the second
/// output.
macro_rules! modulate {
    ($name:ident, $begin:expr, $double:literal, $multiply:literal, $saturate:expr, $store_next:expr) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name(_: &Job) {
            naked_asm!(
                begin!(),
                $begin,
                "1:",
                "ldrd r3, r12, [sp]",
                "ldm r3!, {{r4-r7, r10, r11}}",
                "cmp r3, r12",
                "str r3, [sp]",
                activation!("[r0]"),
                modulation!($double, $multiply, $saturate),
                "strh r12, [r0, r1]",
                activation!("[r0, r2]"),
                modulation!($double, $multiply, $saturate),
                $store_next,
                end!(),
                fraction_bits = const mish::FRACTION_BITS,
                index_bits = const mish::INDEX_BITS,
            )
        }
    };
    // r9 is the distance from a value to the output of the value one row later.
    ($name:ident, $multiply:literal, $saturate:literal) => {
        modulate!(
            $name,
            "add r9, r1, r2",
            "lsl r12, r12, #1",
            $multiply,
            $saturate,
            "strh r12, [r0, r9]"
        );
    };
    // r9 is a shift.
    ($name:ident, $begin:expr, $double:literal, $saturate:expr) => {
        modulate!(
            $name,
            $begin,
            $double,
            "smmla",
            $saturate,
            lines!("add r3, r1, r2", "strh r12, [r0, r3]")
        );
    };
}

// Without a shift, the instruction rounds; with one, the bias includes the half to round by.
modulate!(modulate_0, "smmlar", "ssat r12, #16, r12");
modulate!(modulate_1, "smmla", "ssat r12, #16, r12, asr #1");
modulate!(modulate_2, "smmla", "ssat r12, #16, r12, asr #2");
modulate!(
    modulate_n,
    "ldr r9, [r12, #40]",
    "lsl r12, r12, #1",
    lines!("asr r12, r12, r9", "ssat r12, #16, r12")
);
modulate!(
    modulate_up,
    lines!("ldr r9, [r12, #48]", "add r9, r9, #1"),
    "lsl r12, r12, r9",
    "ssat r12, #16, r12, asr #1"
);

/// A routine that adds the old value, times r9; the half in r10, the shift in r11.
#[unsafe(naked)]
unsafe extern "C" fn add(_: &Job) {
    naked_asm!(
        begin!(),
        "add r12, r12, #32",
        "ldm r12, {{r9-r11}}",
        "1:",
        "ldrd r3, r12, [sp]",
        "ldm r3, {{r4-r7}}",
        "add r3, r3, #24",
        "cmp r3, r12",
        "str r3, [sp]",
        activation!("[r0]"),
        "ldrsh lr, [r0, r1]",
        "mla lr, lr, r9, r10",
        "add r12, lr, r12, asr #{fraction_bits}",
        "asr r12, r12, r11",
        "ssat r12, #16, r12",
        "strh r12, [r0, r1]",
        activation!("[r0, r2]"),
        "add r3, r1, r2",
        "ldrsh lr, [r0, r3]",
        "mla lr, lr, r9, r10",
        "add r12, lr, r12, asr #{fraction_bits}",
        "asr r12, r12, r11",
        "ssat r12, #16, r12",
        "strh r12, [r0, r3]",
        end!(),
        fraction_bits = const mish::FRACTION_BITS,
        index_bits = const mish::INDEX_BITS,
    )
}
