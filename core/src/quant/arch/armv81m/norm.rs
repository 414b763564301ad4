//! Normalisation, Mish and epilogue of a whole tensor: the sums of up to eight groups, then their
//! reciprocal roots, then the factors and values of up to 64 of their channels, four channels of two
//! positions at a time.
#![allow(unsafe_code)]

use crate::quant::arch::cortex_m::assembler::lines;
use crate::quant::kernels::mish;
use crate::quant::kernels::norm::epilogue::{Epilogue, EpilogueShifts, Modulation, half};
use crate::quant::kernels::norm::factors::{Channel, Factors};
use crate::quant::kernels::norm::group::{Scaled, Sums};
use crate::quant::kernels::norm::kernel::{MOST_CHANNELS, MOST_GROUPS, NormKernel};
use crate::quant::kernels::norm::portable::Portable;
use crate::quant::kernels::norm::{Memory, Norm, Parameters};
use core::arch::naked_asm;
use core::ptr::null;

mod roots;

/// The vector extension; portable for tensors that its routines do not take.
pub(crate) struct Mve(Portable);

impl NormKernel for Mve {
    #[inline(always)]
    fn new(n_positions: usize, n_channels: usize, epilogue: EpilogueShifts) -> Option<Self> {
        Portable::new(n_positions, n_channels, epilogue).map(Self)
    }

    #[inline(always)]
    fn activate_all(
        norm: Norm<'_>,
        x: &[i16],
        out: &mut [i16],
        (epilogue, shifts): (&Epilogue<'_>, EpilogueShifts),
        memory: &mut Memory<'_>,
    ) -> bool {
        let tensor = Tensor::of(norm, x, out, epilogue, shifts);
        if let Some(tensor) = &tensor {
            tensor.activate(norm, x, out, epilogue, memory);
        }
        tensor.is_some()
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
const _: () = assert!(MOST_GROUPS.is_multiple_of(LANES) && MOST_CHANNELS.is_multiple_of(LANES));
/// Most values in a group: the offsets of so many take 512 bytes of stack, and the row of each is
/// the upper half of a product.
const MOST_SUMMED: usize = 256;
/// With so many values in a tensor, an offset fits 16 bits.
const MOST_VALUES: usize = 1 << 16;

/// A tensor that the routines take: with whole vectors of groups, at least two channels and at most
/// [`MOST_SUMMED`] values in each, pairs of rows, a place for each output and, where there is FiLM,
/// a scale and a bias for each channel, aligned for half words.
struct Tensor<'m> {
    n_channels: usize,
    /// Channels in a group.
    size: usize,
    n_rows: usize,
    film: Option<&'m Modulation<'m>>,
    routine: ValueRoutine,
    up: u32,
    down: u32,
}

impl<'m> Tensor<'m> {
    #[inline(always)]
    fn of(
        norm: Norm<'_>,
        x: &[i16],
        out: &[i16],
        epilogue: &'m Epilogue<'m>,
        shifts: EpilogueShifts,
    ) -> Option<Self> {
        let (n_channels, n_groups) = (norm.n_channels(), norm.n_groups());
        let size = n_channels / n_groups.max(1);
        let n_rows = x.len() / n_channels.max(1);
        let (routine, film, up, down): (ValueRoutine, _, _, _) = match (epilogue, shifts) {
            (Epilogue::Modulate(film), EpilogueShifts::Modulate { up, shift }) => {
                let routine = if shift == 0 { modulate_0 } else { modulate_n };
                (routine, Some(film), up, shift)
            }
            (_, EpilogueShifts::Add { up, down }) => (add, None, up, down),
            _ => return None,
        };
        let has_shares = film.is_none_or(|film| {
            film.n_scales == n_channels
                && film.step.len().min(film.observation.len()) >= 2 * n_channels
                && film.step.as_ptr().cast::<i16>().is_aligned()
        });
        let is_for_routines = n_groups.is_multiple_of(LANES)
            && size > 1
            && (1..=MOST_SUMMED).contains(&(n_rows * size))
            && n_rows.is_multiple_of(2)
            && x.len() <= MOST_VALUES.min(out.len())
            && norm.parameters.as_ptr().cast::<i32>().is_aligned()
            && has_shares;
        is_for_routines.then_some(Self {
            n_channels,
            size,
            n_rows,
            film,
            routine,
            up,
            down,
        })
    }

    #[inline(always)]
    fn activate(
        &self,
        norm: Norm<'_>,
        x: &[i16],
        out: &mut [i16],
        epilogue: &Epilogue<'_>,
        memory: &mut Memory<'_>,
    ) {
        let (sums, groups) = (memory.sums.as_mut_ptr(), memory.groups.as_mut_ptr());
        let len = self.n_rows * self.size;
        let reciprocal = (1_usize << 16).div_ceil(self.size);
        let (mut first, mut n_left) = (0, norm.n_groups());
        while n_left > 0 {
            let n_groups = n_left.min(MOST_GROUPS);
            n_left -= n_groups;
            let of_sums = Groups {
                sums,
                x: x.as_ptr().wrapping_add(first),
                n_groups,
                len,
                size: self.size,
                to_next_row: self.n_channels - self.size,
                reciprocal,
            };
            // SAFETY: the tensor has these groups, and there is room for the sums of `MOST_GROUPS`.
            unsafe { sum_groups(&of_sums) };
            let end = first + n_groups * self.size;
            // SAFETY: the sums are written, there are whole vectors of them, and there is room for
            // `MOST_GROUPS`.
            if unsafe { roots::scale(norm, len, (sums, n_groups), groups) } {
                // SAFETY: the tensor's; the groups are written.
                unsafe { self.activate_channels(norm, x, out, first..end, memory) };
            } else {
                norm.activate_groups(first..end, x, out, epilogue);
            }
            first = end;
        }
    }

    /// # Safety
    /// The channels must be whole groups, of which the memory has [`Scaled`], at most
    /// [`MOST_GROUPS`].
    #[inline(always)]
    unsafe fn activate_channels(
        &self,
        norm: Norm<'_>,
        x: &[i16],
        out: &mut [i16],
        all: core::ops::Range<usize>,
        memory: &mut Memory<'_>,
    ) {
        let channels = memory.channels.as_mut_ptr();
        let row_bytes = 2 * self.n_channels;
        let parameters = norm.parameters.as_ptr().cast::<Parameters>();
        let mut first = all.start;
        while first < all.end {
            let n_channels = MOST_CHANNELS.min(all.end - first);
            let mut factors = Gains {
                half: 0,
                channels,
                parameters: parameters.wrapping_add(first),
                groups: memory.groups.as_ptr(),
                n_vectors: n_channels / LANES,
                reciprocal: (1_usize << 31).div_ceil(self.size),
                index: first - all.start,
                step_scales: null(),
                scales: null(),
                step_biases: null(),
                biases: null(),
                up: self.up,
            };
            let mut write: FactorRoutine = write_gains;
            if let Some(film) = self.film {
                factors.half = half(self.down);
                factors.step_scales = film.step.as_ptr().wrapping_add(first);
                factors.scales = film.observation.as_ptr().wrapping_add(first);
                factors.step_biases = factors.step_scales.wrapping_add(self.n_channels);
                factors.biases = factors.scales.wrapping_add(self.n_channels);
                write = write_gains_and_film;
            }
            // SAFETY: there are parameters and shares of these channels, and a group for each; there
            // is room for the factors of `MOST_CHANNELS`.
            unsafe { write(&factors) };
            let x = x.as_ptr().wrapping_add(first);
            let out = out.as_mut_ptr().wrapping_add(first);
            let values = Values {
                x,
                out,
                next_x: x.wrapping_byte_add(row_bytes),
                next_out: out.wrapping_byte_add(row_bytes),
                slopes: mish::SEGMENTS.as_ptr().cast(),
                at_zeros: mish::SEGMENTS.as_ptr().wrapping_byte_add(2).cast(),
                n_vectors: n_channels / LANES,
                n_iterations: self.n_rows / 2,
                channels: channels.wrapping_byte_sub(LANES * size_of::<Channel>()),
                to_next_iteration: 2 * (row_bytes - n_channels),
                up: match self.film {
                    Some(_) => self.up,
                    None => 1 << self.up,
                },
                minus_down: self.down.wrapping_neg(),
            };
            // SAFETY: the tensor has pairs of rows, these channels in each, and places for as many
            // outputs. An index into the table of Mish has `INDEX_BITS` bits, whatever the value.
            unsafe { (self.routine)(&values) };
            first += n_channels;
        }
    }
}

/// What the summing routine is told.
#[repr(C)]
struct Groups {
    sums: *mut Sums,
    x: *const i16,
    n_groups: usize,
    /// Values in a group.
    len: usize,
    /// Channels in a group.
    size: usize,
    /// From the end of a group's row to its next one.
    to_next_row: usize,
    /// `2^16 / size`, rounded up: the upper half of its product with a value's number is the number
    /// of its row.
    reciprocal: usize,
}

/// Computes the offsets of a group's values (`number + row to_next_row`) on the stack; then each
/// group takes five instructions for eight values.
#[unsafe(naked)]
unsafe extern "C" fn sum_groups(_: &Groups) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r9, lr}}",
        "ldm r0, {{r0-r6}}",
        "sub sp, sp, #{offsets_size}",
        "vdup.16 q3, r6",
        "movs r6, #0",
        "mov r7, sp",
        "dlstp.16 lr, r3",
        "1:",
        "vidup.u16 q0, r6, #1",
        "vmulh.u16 q1, q0, q3",
        "vmul.i16 q1, q1, r5",
        "vadd.i16 q1, q1, q0",
        "vstrh.16 q1, [r7], #16",
        "letp lr, 1b",
        "2:",
        "mov r7, sp",
        "movs r6, #0",
        "mov r8, #0",
        "mov r9, #0",
        "dlstp.16 lr, r3",
        "3:",
        "vldrh.u16 q1, [r7], #16",
        "vldrh.u16 q0, [r1, q1, uxtw #1]",
        "vaddva.s16 r6, q0",
        "vmlalva.s16 r8, r9, q0, q0",
        "letp lr, 3b",
        "stm r0!, {{r6, r8, r9}}",
        "add r1, r1, r4, lsl #1",
        "subs r2, r2, #1",
        "bne 2b",
        "add sp, sp, #{offsets_size}",
        "pop {{r4-r9, pc}}",
        offsets_size = const 2 * MOST_SUMMED,
    )
}

/// What factors are computed from.
#[repr(C)]
struct Gains {
    /// Included in each bias, to round by.
    half: i32,
    /// [`LANES`] at a time: six vectors, one for each field.
    channels: *mut Channel,
    parameters: *const Parameters,
    groups: *const Scaled,
    /// FiLM's shares.
    step_scales: *const [u8; 2],
    scales: *const i16,
    step_biases: *const [u8; 2],
    biases: *const i16,
    /// Number of the first channel, from that of the first group on.
    index: usize,
    /// `2^31 / size`, rounded up: the upper word of its product with twice a channel's number is the
    /// number of its group.
    reciprocal: usize,
    n_vectors: usize,
    /// Binary places that are added to each bias.
    up: u32,
}

type FactorRoutine = unsafe extern "C" fn(&Gains);

/// A routine that writes `n`, `minus_sum`, the gain (rounded as in `gain_and_beta`) and `beta`, and
/// what `$film` writes.
macro_rules! factors {
    ($name:ident, $film:expr) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name(_: &Gains) {
            naked_asm!(
                ".cpu cortex-m55",
                "push {{r4-r11, lr}}",
                "ldm r0, {{r0-r11}}",
                "subs r1, r1, #96",
                "dls lr, r10",
                "mov r10, #{group_size}",
                "2:",
                "vidup.u32 q3, r8, #1",
                "vqdmulh.s32 q3, q3, r9",
                "vmul.i32 q3, q3, r10",
                "vadd.i32 q3, q3, r3",
                "vldrw.u32 q0, [q3]",
                "vldrw.u32 q1, [q3, #4]",
                "vldrw.u32 q2, [q3, #8]",
                "vstrw.32 q0, [r1, #96]!",
                "vstrw.32 q1, [r1, #16]",
                "vld20.32 {{q0, q1}}, [r2]",
                "vld21.32 {{q0, q1}}, [r2]!",
                "vshl.i32 q0, q0, #16",
                "vqrdmulh.s32 q0, q0, q2",
                "vstrw.32 q1, [r1, #48]",
                "vstrw.32 q0, [r1, #32]",
                $film,
                "le lr, 2b",
                "pop {{r4-r11, pc}}",
                group_size = const size_of::<Scaled>(),
            )
        }
    };
}

factors!(write_gains, "");
factors!(
    write_gains_and_film,
    lines!(
        "vldrh.s32 q0, [r4], #8",
        "vldrh.s32 q1, [r5], #8",
        "vldrh.s32 q2, [r6], #8",
        "vldrh.s32 q3, [r7], #8",
        "vadd.i32 q0, q0, q1",
        "vshl.i32 q0, q0, #15",
        "vadd.i32 q2, q2, q3",
        "vshl.s32 q2, r11",
        "vadd.i32 q2, q2, r0",
        "vstrw.32 q0, [r1, #64]",
        "vstrw.32 q2, [r1, #80]",
    )
);

/// What a routine for values is told: the registers that it begins with.
#[repr(C)]
struct Values {
    /// r0 to r3: the first channel of two rows, and their outputs.
    x: *const i16,
    out: *mut i16,
    next_x: *const i16,
    next_out: *mut i16,
    /// r5 and r6: of the table of Mish.
    slopes: *const i16,
    at_zeros: *const i16,
    /// r7.
    n_vectors: usize,
    /// r8: half the number of rows.
    n_iterations: usize,
    /// r9: the factors, less the size of a vector's.
    channels: *const Channel,
    /// r10: from the end of a row's channels to the first channel of the next iteration, bytes.
    to_next_iteration: usize,
    /// r11: by how much an activation is shifted to the left before FiLM, or what the old value is
    /// multiplied by before it is added.
    up: u32,
    /// r12: by how much the result is shifted to the left, which is negative.
    minus_down: u32,
}

/// Normalisation, Mish and epilogue of some channels. q4 masks a segment's number.
type ValueRoutine = unsafe extern "C" fn(&Values);

/// Loads what it is told.
macro_rules! begin {
    () => {
        lines!(
            ".cpu cortex-m55",
            "push {{r4-r11, lr}}",
            "vpush {{d8-d9}}",
            "ldm r0, {{r0-r3, r5-r12}}",
            "movw lr, #{segment_mask}",
            "vdup.32 q4, lr",
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
    ($name:ident, $up:expr, $multiply:literal, $shift:expr) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name(_: &Values) {
            naked_asm!(
                begin!(),
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

// Without a shift, the instruction rounds; with one, the bias includes the half to round by.
modulate!(modulate_0, "", "vqrdmulh.s32", "");
modulate!(
    modulate_n,
    lines!("vshl.s32 q0, r11", "vshl.s32 q1, r11"),
    "vqdmulh.s32",
    lines!("vshl.s32 q0, r12", "vshl.s32 q1, r12")
);

/// A routine that adds the old value; the shift rounds.
#[unsafe(naked)]
unsafe extern "C" fn add(_: &Values) {
    naked_asm!(
        begin!(),
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
