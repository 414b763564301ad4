//! Normalisation, Mish and epilogue: four channels of two positions at a time. The memory of four
//! [`Channel`]s has six vectors instead, one for each field of a channel.
#![allow(unsafe_code)]

use crate::quant::arch::cortex_m::assembler::lines;
use crate::quant::arch::cortex_m::norm::{Job, Routine, Routines};
use crate::quant::kernels::mish;
use crate::quant::kernels::norm::factors::{Channel, Factors};
use crate::quant::kernels::norm::group::{Scaled, Sums};
use crate::quant::kernels::norm::kernel::MOST_CHANNELS;
use crate::quant::kernels::norm::{Norm, Parameters};
use core::arch::naked_asm;
use core::ptr::null;

mod roots;

/// The vector extension.
pub(crate) struct Mve;

// SAFETY: what the routines read and write besides the channels' values is the channels, the job
// and the table of Mish.
unsafe impl Routines for Mve {
    const POSITIONS: usize = 2;
    const MODULATE: [Routine; 4] = [modulate_0, modulate_n, modulate_n, modulate_n];
    const MODULATE_UP: Routine = modulate_n;
    const ADD: Routine = add;
    const TAKES_PORTABLE_FACTORS: bool = false;

    #[inline(always)]
    unsafe fn sums(
        x: *const i16,
        n_channels: usize,
        n_rows: usize,
        size: usize,
        sums: &mut [Sums],
    ) -> bool {
        let is_in_vectors =
            size <= SUMMED && SUMMED.is_multiple_of(size) && n_channels <= MOST_SUMMED_CHANNELS;
        let (routine, n_lines, len, line_rows): (SumRoutine, _, _, _) = if is_in_vectors {
            (sum_gathered, 1, n_rows * size, SUMMED / size)
        } else {
            (sum_rows, n_rows, size, 1)
        };
        let groups = Groups {
            sums: sums.as_mut_ptr(),
            x,
            n_groups: sums.len(),
            len,
            to_next_line: 2 * n_channels * line_rows,
            size,
            n_channels,
            n_lines,
        };
        // SAFETY: the caller's; however the values are cut into lines, they are the groups'.
        unsafe { routine(&groups) };
        true
    }

    #[inline(always)]
    fn scale(norm: Norm<'_>, len: usize, sums: &[Sums], groups: &mut [Scaled]) -> bool {
        let scaled = roots::scale(norm, len, sums, groups);
        scaled.unwrap_or_else(|| Scaled::of_all(norm, len, sums, groups))
    }

    #[inline(always)]
    fn write_factors(factors: &Factors<'_>, channels: &mut [Channel]) -> bool {
        let Factors {
            parameters,
            groups,
            group_size,
            film,
        } = factors;
        let are_enough = parameters.len() >= channels.len()
            && channels.len() <= MOST_CHANNELS
            && groups.len() * group_size >= channels.len();
        let is_possible = !channels.is_empty()
            && channels.len().is_multiple_of(LANES)
            && *group_size > 1
            && parameters.as_ptr().cast::<i32>().is_aligned()
            && film.as_ref().is_none_or(|film| film.are_of(channels.len()));
        if !are_enough || !is_possible {
            return false;
        }
        let n_vectors = channels.len() / LANES;
        let gains = Gains {
            channels: channels.as_mut_ptr(),
            parameters: parameters.as_ptr(),
            groups: groups.as_ptr(),
            n_vectors,
            reciprocal: (1_u32 << 31).div_ceil(*group_size as u32),
        };
        // SAFETY: `Gains`: there are as many parameters, aligned for words, and a group for each of
        // them.
        unsafe { write_gains(&gains) };
        let Some(film) = film else {
            return true;
        };
        let (step_scales, scales) = film.scales.map_or((null(), null()), |(step, observation)| {
            (step.as_ptr(), observation.as_ptr())
        });
        let routine: FilmRoutine = match film.scales {
            Some(_) => write_film,
            None => write_biases,
        };
        let film = Film {
            channels: channels.as_mut_ptr(),
            step_scales,
            scales,
            step_biases: film.biases.0.as_ptr(),
            biases: film.biases.1.as_ptr(),
            n_vectors,
            one_q15: film.one_q15,
            half: film.half,
        };
        // SAFETY: `are_of`: each array that is there has as many values, aligned for half words.
        unsafe { routine(&film) };
        true
    }
}

/// Channels in a vector.
const LANES: usize = 4;
/// Values in a vector that is summed.
const SUMMED: usize = 8;
/// With so many, an offset of seven rows fits 16 bits.
const MOST_SUMMED_CHANNELS: usize = 1 << 12;

/// What the summing routine is told.
#[repr(C)]
struct Groups {
    sums: *mut Sums,
    x: *const i16,
    n_groups: usize,
    /// Values in a line: those of a row, or all of a group.
    len: usize,
    /// Bytes to the next row, or past the rows in a vector.
    to_next_line: usize,
    size: usize,
    n_channels: usize,
    n_lines: usize,
}

type SumRoutine = unsafe extern "C" fn(&Groups);

/// Row by row.
#[unsafe(naked)]
unsafe extern "C" fn sum_rows(_: &Groups) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "ldm r0, {{r0-r7}}",
        "1:",
        "mov r10, r1",
        "mov r12, r7",
        "movs r6, #0",
        "mov r8, #0",
        "mov r9, #0",
        "2:",
        "mov r11, r10",
        "dlstp.16 lr, r3",
        "3:",
        "vldrh.u16 q0, [r11], #16",
        "vaddva.s16 r6, q0",
        "vmlalva.s16 r8, r9, q0, q0",
        "letp lr, 3b",
        "add r10, r10, r4",
        "subs r12, r12, #1",
        "bne 2b",
        "stm r0!, {{r6, r8, r9}}",
        "add r1, r1, r5, lsl #1",
        "subs r2, r2, #1",
        "bne 1b",
        "pop {{r4-r11, pc}}",
    )
}

/// For groups whose size divides a vector: the offsets of a vector's values, which are of several
/// rows, are in q1.
#[unsafe(naked)]
unsafe extern "C" fn sum_gathered(_: &Groups) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "ldm r0, {{r0-r6}}",
        // Value i is channel i % size of row i / size.
        "movs r8, #0",
        "vidup.u16 q0, r8, #1",
        "clz r8, r5",
        "sub r8, r8, #31",
        "vmov q1, q0",
        "vshl.s16 q1, r8",
        "vmul.i16 q2, q1, r5",
        "vsub.i16 q0, q0, q2",
        "vmul.i16 q1, q1, r6",
        "vadd.i16 q1, q1, q0",
        "1:",
        "mov r10, r1",
        "movs r6, #0",
        "mov r8, #0",
        "mov r9, #0",
        "dlstp.16 lr, r3",
        "3:",
        "vldrh.u16 q0, [r10, q1, uxtw #1]",
        "add r10, r10, r4",
        "vaddva.s16 r6, q0",
        "vmlalva.s16 r8, r9, q0, q0",
        "letp lr, 3b",
        "stm r0!, {{r6, r8, r9}}",
        "add r1, r1, r5, lsl #1",
        "subs r2, r2, #1",
        "bne 1b",
        "pop {{r4-r11, pc}}",
    )
}

/// What gains are computed from.
#[repr(C)]
struct Gains {
    /// [`LANES`] at a time.
    channels: *mut Channel,
    parameters: *const Parameters,
    groups: *const Scaled,
    n_vectors: usize,
    /// `2^31 / group_size`, rounded up: the upper word of its product with twice a channel's number
    /// is the number of its group.
    reciprocal: u32,
}

/// Writes `n`, `minus_sum`, the gain (rounded as in `gain_and_beta`) and `beta`.
#[unsafe(naked)]
unsafe extern "C" fn write_gains(_: &Gains) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r7, lr}}",
        "ldm r0, {{r1-r5}}",
        "movs r6, #0",
        "subs r1, r1, #96",
        "adds r7, r3, #4",
        "add r12, r3, #8",
        "dls lr, r4",
        // Words of a group.
        "movs r4, #3",
        "2:",
        "vidup.u32 q3, r6, #1",
        "vqdmulh.s32 q3, q3, r5",
        "vmul.i32 q3, q3, r4",
        "vldrw.u32 q0, [r3, q3, uxtw #2]",
        "vldrw.u32 q1, [r7, q3, uxtw #2]",
        "vstrw.32 q0, [r1, #96]!",
        "vldrw.u32 q2, [r12, q3, uxtw #2]",
        "vstrw.32 q1, [r1, #16]",
        "vld20.32 {{q0, q1}}, [r2]",
        "vld21.32 {{q0, q1}}, [r2]!",
        "vshl.i32 q0, q0, #16",
        "vqrdmulh.s32 q0, q0, q2",
        "vstrw.32 q1, [r1, #48]",
        "vstrw.32 q0, [r1, #32]",
        "le lr, 2b",
        "pop {{r4-r7, pc}}",
    )
}

/// What FiLM's scales and biases are computed from.
#[repr(C)]
struct Film {
    /// [`LANES`] at a time.
    channels: *mut Channel,
    step_scales: *const [u8; 2],
    scales: *const i16,
    step_biases: *const [u8; 2],
    biases: *const i16,
    n_vectors: usize,
    one_q15: i32,
    half: i32,
}

type FilmRoutine = unsafe extern "C" fn(&Film);

/// A routine for scales, which `$scales` puts into q0, and biases.
macro_rules! film {
    ($name:ident, $scales:expr) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name(_: &Film) {
            naked_asm!(
                ".cpu cortex-m55",
                "push {{r4-r8, lr}}",
                "ldm r0, {{r1-r8}}",
                "subs r1, r1, #32",
                "vdup.32 q0, r7",
                "dls lr, r6",
                "2:",
                $scales,
                "vldrh.s32 q2, [r4], #8",
                "vldrh.s32 q3, [r5], #8",
                "vadd.i32 q2, q2, r8",
                "vadd.i32 q2, q2, q3",
                "vstrw.32 q0, [r1, #96]!",
                "vstrw.32 q2, [r1, #16]",
                "le lr, 2b",
                "pop {{r4-r8, pc}}",
            )
        }
    };
}

film!(
    write_film,
    lines!(
        "vldrh.s32 q0, [r2], #8",
        "vldrh.s32 q1, [r3], #8",
        "vadd.i32 q0, q0, q1",
        "vshl.i32 q0, q0, #15",
    )
);
film!(write_biases, "");

/// Loads the job: r0 and r2 values of two rows, r1 and r3 their outputs, r5 and r6 the slopes and
/// values at zero of Mish, r7 the number of vectors, r8 the number of iterations, r9 the factors
/// (less the size of a vector's), r10 the distance to the next iteration, r12 the job; q4 masks a
/// segment's number.
macro_rules! begin {
    () => {
        lines!(
            ".cpu cortex-m55",
            "push {{r4-r11, lr}}",
            "vpush {{d8-d9}}",
            "mov r12, r0",
            "ldm r0, {{r1-r8}}",
            "mov r10, r8",
            "mov r8, r7",
            "sub r9, r4, #96",
            "ldr r7, [r12, #44]",
            "lsrs r7, r7, #2",
            "mov r5, r6",
            "adds r6, r6, #2",
            "mov r0, r3",
            "add r11, r0, r2",
            "add r3, r11, r1",
            "add r1, r1, r0",
            "mov r2, r11",
            "movw r11, #{segment_mask}",
            "vdup.32 q4, r11",
        )
    };
}

/// Begins an iteration: factors to r4.
macro_rules! begin_round {
    () => {
        lines!("1:", "mov r4, r9", "dls lr, r7", "2:")
    };
}

/// Normalises the next values of both rows to q0 and q1, in Q16.
macro_rules! normalized {
    () => {
        lines!(
            "vldrh.s32 q0, [r0], #8",
            "vldrh.s32 q1, [r2], #8",
            "vldrw.u32 q2, [r4, #96]!",
            "vldrw.u32 q3, [r4, #16]",
            "vmul.i32 q0, q0, q2",
            "vadd.i32 q0, q0, q3",
            "vmul.i32 q1, q1, q2",
            "vadd.i32 q1, q1, q3",
            "vldrw.u32 q2, [r4, #32]",
            "vldrw.u32 q3, [r4, #48]",
            "vrmulh.s32 q0, q0, q2",
            "vadd.i32 q0, q0, q3",
            "vrmulh.s32 q1, q1, q2",
            "vadd.i32 q1, q1, q3",
        )
    };
}

/// `$y` through Mish.
macro_rules! mish {
    ($y:literal) => {
        lines!(
            concat!("vshr.s32 q2, ", $y, ", #{fraction_bits_less_1}"),
            "vand q2, q2, q4",
            "vldrh.s32 q3, [r5, q2, uxtw #1]",
            concat!("vmul.i32 ", $y, ", ", $y, ", q3"),
            "vldrh.s32 q3, [r6, q2, uxtw #1]",
            concat!("vrshr.s32 ", $y, ", ", $y, ", #{fraction_bits}"),
            concat!("vadd.i32 ", $y, ", ", $y, ", q3"),
        )
    };
}

/// Saturates and stores q0 and q1; then goes on to the next channels or the next iteration.
macro_rules! end {
    () => {
        lines!(
            "vqmovnb.s32 q0, q0",
            "vqmovnb.s32 q1, q1",
            "vstrh.32 q0, [r1], #8",
            "vstrh.32 q1, [r3], #8",
            "le lr, 2b",
            "add r0, r0, r10",
            "add r1, r1, r10",
            "add r2, r2, r10",
            "add r3, r3, r10",
            "subs r8, r8, #1",
            "bne 1b",
            "vpop {{d8-d9}}",
            "pop {{r4-r11, pc}}",
        )
    };
}

/// Mask of a segment's number times 2, its offset in half words.
const SEGMENT_MASK: u32 = 2 * ((1 << mish::INDEX_BITS) - 1);

/// A routine with FiLM.
macro_rules! modulate {
    ($name:ident, $load:expr, $up:expr, $multiply:literal, $shift:expr) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name(_: &Job) {
            naked_asm!(
                begin!(),
                $load,
                begin_round!(),
                normalized!(),
                mish!("q0"),
                mish!("q1"),
                "vldrw.u32 q2, [r4, #64]",
                "vldrw.u32 q3, [r4, #80]",
                $up,
                // Twice the product.
                concat!($multiply, " q0, q0, q2"),
                "vadd.i32 q0, q0, q3",
                concat!($multiply, " q1, q1, q2"),
                "vadd.i32 q1, q1, q3",
                $shift,
                end!(),
                fraction_bits = const mish::FRACTION_BITS,
                fraction_bits_less_1 = const mish::FRACTION_BITS - 1,
                segment_mask = const SEGMENT_MASK,
            )
        }
    };
}

// Without a shift, the instruction rounds; with one (in r12, negative, as it is to the right), the
// bias includes the half to round by.
modulate!(modulate_0, "", "", "vqrdmulh.s32", "");
modulate!(
    modulate_n,
    lines!(
        "ldr r11, [r12, #48]",
        "ldr r12, [r12, #40]",
        "rsb r12, r12, #0"
    ),
    lines!("vshl.s32 q0, r11", "vshl.s32 q1, r11"),
    "vqdmulh.s32",
    lines!("vshl.s32 q0, r12", "vshl.s32 q1, r12")
);

/// A routine that adds the old value, times r11; the shift in r12 (negative, as it is to the right)
/// rounds.
#[unsafe(naked)]
unsafe extern "C" fn add(_: &Job) {
    naked_asm!(
        begin!(),
        "ldr r11, [r12, #32]",
        "ldr r12, [r12, #40]",
        "rsb r12, r12, #0",
        begin_round!(),
        normalized!(),
        mish!("q0"),
        mish!("q1"),
        "vldrh.s32 q2, [r1]",
        "vldrh.s32 q3, [r3]",
        "vmla.s32 q0, q2, r11",
        "vmla.s32 q1, q3, r11",
        "vrshl.s32 q0, r12",
        "vrshl.s32 q1, r12",
        end!(),
        fraction_bits = const mish::FRACTION_BITS,
        fraction_bits_less_1 = const mish::FRACTION_BITS - 1,
        segment_mask = const SEGMENT_MASK,
    )
}
