//! Normalisation, Mish and epilogue of a whole tensor by two routines: one for the groups, one for the
//! channels, which computes factors and values of up to 64 channels, then of the next ones, four
//! channels of two positions at a time.
#![allow(unsafe_code)]

use crate::quant::arch::cortex_m::assembler::lines;
use crate::quant::kernels::mish;
use crate::quant::kernels::norm::epilogue::{Epilogue, EpilogueShifts, half};
use crate::quant::kernels::norm::factors::{Channel, Factors};
use crate::quant::kernels::norm::group::Sums;
use crate::quant::kernels::norm::kernel::{MOST_CHANNELS, NormKernel};
use crate::quant::kernels::norm::portable::Portable;
use crate::quant::kernels::norm::{DROPPED_BITS, Memory, Norm, Parameters};
use core::arch::naked_asm;
use core::mem::{MaybeUninit, offset_of};
use core::ptr::null;
use groups::Groups;

mod groups;

/// The vector extension; portable for tensors that its routines do not take.
pub(crate) struct Mve(Portable);

impl NormKernel for Mve {
    #[inline(always)]
    fn new(n_positions: usize, n_channels: usize, epilogue: EpilogueShifts) -> Option<Self> {
        Portable::new(n_positions, n_channels, epilogue).map(Self)
    }

    /// For tensors with whole vectors of groups, at least two channels and at most [`MOST_SUMMED`]
    /// values in each, pairs of rows, a place for each output and, where there is FiLM, a scale and
    /// a bias for each channel, aligned for half words.
    #[inline(always)]
    fn activate_all(
        norm: Norm<'_>,
        x: &[i16],
        out: &mut [i16],
        (epilogue, shifts): (&Epilogue<'_>, EpilogueShifts),
        memory: &mut Memory<'_>,
    ) -> bool {
        let (n_channels, n_groups) = (norm.n_channels(), norm.n_groups());
        let (Some(size), Some(n_rows)) = (
            n_channels.checked_div(n_groups),
            x.len().checked_div(n_channels),
        ) else {
            return false;
        };
        let len = n_rows * size;
        let is_for_routines = n_groups.is_multiple_of(LANES)
            && n_groups <= MOST_GROUPS
            && size > 1
            && (1..=MOST_SUMMED).contains(&len)
            && n_rows.is_multiple_of(2)
            && x.len() <= MOST_VALUES.min(out.len())
            && norm.parameters.as_ptr().cast::<i32>().is_aligned();
        if !is_for_routines {
            return false;
        }
        let film = match (epilogue, shifts) {
            (Epilogue::Modulate(film), EpilogueShifts::Modulate { up, shift }) => {
                let is_there = film.n_scales == n_channels
                    && film.step.len().min(film.observation.len()) >= 2 * n_channels
                    && film.step.as_ptr().cast::<i16>().is_aligned();
                if !is_there {
                    return false;
                }
                let routine = if shift == 0 { modulate_0 } else { modulate_n };
                Last {
                    routine,
                    step: film.step.as_ptr(),
                    observation: film.observation.as_ptr(),
                    up,
                    half: half(shift),
                    minus_down: shift.wrapping_neg(),
                }
            }
            (_, EpilogueShifts::Add { up, down }) => Last {
                routine: add,
                step: null(),
                observation: null(),
                up: 1 << up,
                half: 0,
                minus_down: down.wrapping_neg(),
            },
            _ => return false,
        };
        let mut scaled = MaybeUninit::<[[i32; MOST_GROUPS]; 3]>::uninit();
        let groups = Groups {
            places: scaled.as_mut_ptr().cast(),
            x: x.as_ptr(),
            n_groups,
            len,
            size,
            to_next_row: n_channels - size,
            // 2^16 / size, rounded up.
            reciprocal: 0xffff / size + 1,
            eps: norm.eps,
            // 32 less `Norm::shift`, where a root's exponent is 62 less half of the variance's
            // shift, but for that half.
            up: 32 + 16 + DROPPED_BITS as i32 - norm.gamma_exponent() as i32 - 62,
        };
        // SAFETY: the tensor has these groups, whole vectors of them, and there is room for all.
        if !unsafe { groups::scale(&groups) } {
            norm.activate_reference(x, out, epilogue);
            return true;
        }
        let mut tile = Tile {
            channels: memory.channels.as_mut_ptr(),
            parameters: norm.parameters.as_ptr().cast(),
            groups: groups.places,
            step: film.step,
            observation: film.observation,
            row_bytes: 2 * n_channels,
            n_channels,
            index: 0,
            // 2^31 / size, rounded up.
            reciprocal: 0x7fff_ffff / size + 1,
            up: film.up,
            half: film.half,
            x: x.as_ptr(),
            out: out.as_mut_ptr(),
            n_iterations: n_rows / 2,
            minus_down: film.minus_down,
        };
        // SAFETY: the tensor has pairs of rows, these channels in each, places for as many outputs,
        // parameters and shares of these channels, and a group for each; there is room for the
        // factors of `MOST_CHANNELS`. An index into the table of Mish has `INDEX_BITS` bits,
        // whatever the value.
        unsafe { (film.routine)(&mut tile) };
        true
    }

    #[inline(always)]
    fn sums(&self, x: &[i16], first: usize, size: usize, sums: &mut [Sums]) {
        self.0.sums(x, first, size, sums);
    }

    #[inline(always)]
    fn write_factors(&mut self, factors: &Factors<'_>, channels: &mut [Channel]) {
        self.0.write_factors(factors, channels);
    }

    #[inline(always)]
    fn activate(&mut self, x: &[i16], out: &mut [i16], first: usize, channels: &[Channel]) {
        self.0.activate(x, out, first, channels);
    }
}

/// Channels, or groups, in a vector.
const LANES: usize = 4;
const _: () = assert!(MOST_CHANNELS.is_multiple_of(LANES));
/// Most groups: the stack has 28 bytes for each.
const MOST_GROUPS: usize = 32;
/// Most values in a group: the offsets of so many take 512 bytes of stack, and the row of each is
/// the upper half of a product.
const MOST_SUMMED: usize = 256;
/// With so many values in a tensor, an offset fits 16 bits.
const MOST_VALUES: usize = 1 << 16;

/// What follows Mish.
struct Last {
    routine: Routine,
    step: *const [u8; 2],
    observation: *const i16,
    up: u32,
    half: i32,
    minus_down: u32,
}

/// What a routine is told. It changes `parameters`, `step`, `observation`, `n_channels`, `index`, `x`
/// and `out` when it goes on to the next channels.
#[repr(C)]
struct Tile {
    /// Room for factors, [`LANES`] at a time: six vectors, one for each field.
    channels: *mut Channel,
    parameters: *const Parameters,
    /// As [`Groups::places`].
    groups: *const i32,
    /// FiLM's shares: of the scales, and `row_bytes` later of the biases.
    step: *const [u8; 2],
    observation: *const i16,
    row_bytes: usize,
    n_channels: usize,
    /// Number of the first channel.
    index: usize,
    /// `2^31 / size`, rounded up: the upper word of its product with twice a channel's number is the
    /// number of its group.
    reciprocal: usize,
    /// By how much an activation is shifted to the left before FiLM, or what the old value is
    /// multiplied by before it is added.
    up: u32,
    /// Included in each bias, to round by.
    half: i32,
    x: *const i16,
    out: *mut i16,
    /// Half the number of rows.
    n_iterations: usize,
    /// By how much the result is shifted to the left, which is negative.
    minus_down: u32,
}

/// Factors, normalisation, Mish and epilogue of all channels.
type Routine = unsafe extern "C" fn(&mut Tile);

/// Begins: loads the first fields, and writes the factors of all channels: `n`, `minus_sum`, the gain
/// (rounded as in `gain_and_beta`) and `beta`, and what `$film` writes. Then loads what the loop over
/// the values needs.
macro_rules! begin {
    ($pointers:expr, $film:expr) => {
        lines!(
            ".cpu cortex-m55",
            "push {{r4-r11, lr}}",
            "vpush {{d8-d9}}",
            "7:",
            "ldm r0!, {{r1-r11}}",
            // As many channels as there is room for.
            "cmp r7, #{most_channels}",
            "it hi",
            "movhi r7, #{most_channels}",
            "lsrs r7, r7, #2",
            "subs r1, r1, #{vector_size}",
            "push {{r0, r1, r6, r7}}",
            "add r12, r3, #{field_size}",
            "add r0, r3, #2 * {field_size}",
            "dls lr, r7",
            $pointers,
            "1:",
            "vidup.u32 q3, r8, #1",
            "vqdmulh.s32 q3, q3, r9",
            "vldrw.u32 q0, [r3, q3, uxtw #2]",
            "vldrw.u32 q1, [r12, q3, uxtw #2]",
            "vldrw.u32 q2, [r0, q3, uxtw #2]",
            "vstrw.32 q0, [r1, #{vector_size}]!",
            "vstrw.32 q1, [r1, #16]",
            "vld20.32 {{q0, q1}}, [r2]",
            "vld21.32 {{q0, q1}}, [r2]!",
            "vshl.i32 q0, q0, #16",
            "vqrdmulh.s32 q0, q0, q2",
            "vstrw.32 q1, [r1, #48]",
            "vstrw.32 q0, [r1, #32]",
            $film,
            "le lr, 1b",
            "pop {{r2, r5, r6, r7}}",
            "lsls r11, r6, #1",
            "sub r11, r11, r7, lsl #3",
            "push {{r2}}",
            "ldm r2, {{r0, r1, r8, r12}}",
            "add r2, r0, r6",
            "add r3, r1, r6",
            "movw r6, #:lower16:{segments}",
            "movt r6, #:upper16:{segments}",
            "add r9, r6, #2",
            "movw lr, #{segment_mask}",
            "vdup.32 q4, lr",
        )
    };
}

/// The addresses of the biases' shares, to r6 and r7.
macro_rules! bias_pointers {
    () => {
        lines!("add r7, r5, r6", "add r6, r4, r6")
    };
}

/// Sums of FiLM's shares: the scale, and the bias, as `$bias` makes it.
macro_rules! film {
    ($bias:expr) => {
        lines!(
            "vldrh.s32 q0, [r4], #8",
            "vldrh.s32 q1, [r5], #8",
            "vldrh.s32 q2, [r6], #8",
            "vldrh.s32 q3, [r7], #8",
            "vadd.i32 q0, q0, q1",
            "vshl.i32 q0, q0, #15",
            "vadd.i32 q2, q2, q3",
            $bias,
            "vstrw.32 q0, [r1, #64]",
            "vstrw.32 q2, [r1, #80]",
        )
    };
}

/// Normalises the next values of both rows to q0 and q1, in Q16. Begins an iteration: factors to r4.
macro_rules! normalized {
    () => {
        lines!(
            "2:",
            "mov r4, r5",
            "dls lr, r7",
            "3:",
            "vldrh.s32 q0, [r0], #8",
            "vldrh.s32 q1, [r2], #8",
            "vldrw.u32 q2, [r4, #{vector_size}]!",
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

/// `$y` through Mish. q4 masks a segment's number.
macro_rules! mish {
    ($y:literal) => {
        lines!(
            concat!("vshr.s32 q2, ", $y, ", #{fraction_bits_less_1}"),
            "vand q2, q2, q4",
            "vldrh.s32 q3, [r6, q2, uxtw #1]",
            concat!("vmul.i32 ", $y, ", ", $y, ", q3"),
            "vldrh.s32 q3, [r9, q2, uxtw #1]",
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
            "le lr, 3b",
            "add r0, r0, r11",
            "add r1, r1, r11",
            "add r2, r2, r11",
            "add r3, r3, r11",
            "subs r8, r8, #1",
            "bne 2b",
            // As many channels again, if there are more.
            "pop {{r0}}",
            "subs r0, r0, #{at_x}",
            "ldr r1, [r0, #{at_n_channels}]",
            "subs r1, r1, r7, lsl #2",
            "beq 8f",
            "str r1, [r0, #{at_n_channels}]",
            "lsls r1, r7, #2",
            "ldr r2, [r0, #{at_parameters}]",
            "add r2, r2, r1, lsl #3",
            "str r2, [r0, #{at_parameters}]",
            "ldr r2, [r0, #{at_index}]",
            "add r2, r2, r1",
            "str r2, [r0, #{at_index}]",
            "ldrd r2, r3, [r0, #{at_step}]",
            "add r2, r2, r1, lsl #1",
            "add r3, r3, r1, lsl #1",
            "strd r2, r3, [r0, #{at_step}]",
            "ldrd r2, r3, [r0, #{at_x}]",
            "add r2, r2, r1, lsl #1",
            "add r3, r3, r1, lsl #1",
            "strd r2, r3, [r0, #{at_x}]",
            "b 7b",
            "8:",
            "vpop {{d8-d9}}",
            "pop {{r4-r11, pc}}",
        )
    };
}

/// Bytes of the factors of a vector of channels.
const VECTOR_SIZE: usize = LANES * size_of::<Channel>();
/// Mask of a segment's number times 2, its offset in half words.
const SEGMENT_MASK: u32 = 2 * ((1 << mish::INDEX_BITS) - 1);

/// A routine: what it does with the factors, and with activations in q0 and q1.
macro_rules! routine {
    ($(#[$doc:meta])* $name:ident, $pointers:expr, $film:expr, $epilogue:expr) => {
        $(#[$doc])*
        #[unsafe(naked)]
        unsafe extern "C" fn $name(_: &mut Tile) {
            naked_asm!(
                begin!($pointers, $film),
                normalized!(),
                mish!("q0"),
                mish!("q1"),
                $epilogue,
                end!(),
                field_size = const 4 * MOST_GROUPS,
                vector_size = const VECTOR_SIZE,
                most_channels = const MOST_CHANNELS,
                fraction_bits = const mish::FRACTION_BITS,
                fraction_bits_less_1 = const mish::FRACTION_BITS - 1,
                segment_mask = const SEGMENT_MASK,
                segments = sym mish::SEGMENTS,
                at_parameters = const offset_of!(Tile, parameters),
                at_step = const offset_of!(Tile, step),
                at_n_channels = const offset_of!(Tile, n_channels),
                at_index = const offset_of!(Tile, index),
                at_x = const offset_of!(Tile, x),
            )
        }
    };
}

routine!(
    /// FiLM without a shift: the product, twice, is rounded.
    modulate_0,
    bias_pointers!(),
    film!(""),
    lines!(
        "vldrw.u32 q2, [r4, #64]",
        "vldrw.u32 q3, [r4, #80]",
        "vqrdmulh.s32 q0, q0, q2",
        "vadd.i32 q0, q0, q3",
        "vqrdmulh.s32 q1, q1, q2",
        "vadd.i32 q1, q1, q3",
    )
);
routine!(
    /// FiLM with a shift: the bias includes the half to round by.
    modulate_n,
    bias_pointers!(),
    film!(lines!("vshl.s32 q2, r10", "vadd.i32 q2, q2, r11")),
    lines!(
        "vldrw.u32 q2, [r4, #64]",
        "vldrw.u32 q3, [r4, #80]",
        "vshl.s32 q0, r10",
        "vshl.s32 q1, r10",
        "vqdmulh.s32 q0, q0, q2",
        "vadd.i32 q0, q0, q3",
        "vqdmulh.s32 q1, q1, q2",
        "vadd.i32 q1, q1, q3",
        "vshl.s32 q0, r12",
        "vshl.s32 q1, r12",
    )
);
routine!(
    /// The sum with the old value; the shift rounds.
    add,
    "",
    "",
    lines!(
        "vldrh.s32 q2, [r1]",
        "vldrh.s32 q3, [r3]",
        "vmla.s32 q0, q2, r10",
        "vmla.s32 q1, q3, r10",
        "vrshl.s32 q0, r12",
        "vrshl.s32 q1, r12",
    )
);
