//! Sums over the values of groups, their variances, of 64 bits, and reciprocal roots: `Scaled` of groups.

use super::{MOST_GROUPS, MOST_SUMMED};
use crate::quant::kernels::rsqrt;
use core::arch::naked_asm;
use core::mem::offset_of;

/// What the routine is told.
#[repr(C)]
pub(super) struct Groups {
    /// Each field of all [`MOST_GROUPS`], then the next field.
    pub(super) places: *mut i32,
    pub(super) x: *const i16,
    pub(super) n_groups: usize,
    /// Values in a group.
    pub(super) len: usize,
    /// Channels in a group.
    pub(super) size: usize,
    /// From the end of a group's row to its next one.
    pub(super) to_next_row: usize,
    /// `2^16 / size`, rounded up: the upper half of its product with a value's number is the number
    /// of its row.
    pub(super) reciprocal: usize,
    pub(super) eps: [u32; 2],
    /// Plus half of a variance's shift, it is that of `n`.
    pub(super) up: i32,
}

/// The next eight offsets of a group's values, `number + row to_next_row`, to `$offsets`.
macro_rules! offsets {
    ($offsets:literal) => {
        concat!(
            "vidup.u16 ",
            $offsets,
            ", r6, #1\n",
            "vmulh.u16 q0, ",
            $offsets,
            ", q3\n",
            "vmul.i16 q0, q0, r5\n",
            "vadd.i16 ",
            $offsets,
            ", ",
            $offsets,
            ", q0\n",
        )
    };
}

/// As `Scaled::of_all`, for whole vectors of groups, one at least; whether all are there.
///
/// The sums of a group, four words with an unused one, are on the stack. Offsets of 8 to 16 values
/// are in two vectors, of more or fewer on the stack. Roots are those of `Scaled::of` and
/// `rsqrt`, with every product and sum of 64 bits from two words: q6 is `n`, r12 the largest
/// shift.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn scale(_: &Groups) -> bool {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "vpush {{d8-d15}}",
        "sub sp, sp, #{sums_size}",
        "mov r12, r0",
        "ldm r0, {{r0-r6}}",
        "mov r11, sp",
        "vdup.16 q3, r6",
        "movs r6, #0",
        "sub r7, r3, #8",
        "cmp r7, #8",
        "bhi 2f",
        offsets!("q1"),
        offsets!("q2"),
        // Lanes without a value are zero.
        "vctp.16 r7",
        "dls lr, r2",
        "1:",
        "vldrh.u16 q0, [r1, q1, uxtw #1]",
        "vpst",
        "vldrht.u16 q3, [r1, q2, uxtw #1]",
        "vaddv.s16 r6, q0",
        "vaddva.s16 r6, q3",
        "vmlalv.s16 r8, r9, q0, q0",
        "vmlalva.s16 r8, r9, q3, q3",
        "stm r11!, {{r6, r8, r9, r10}}",
        "add r1, r1, r4, lsl #1",
        "le lr, 1b",
        "b 6f",
        "2:",
        "sub sp, sp, #{offsets_size}",
        "mov r7, sp",
        "dlstp.16 lr, r3",
        "3:",
        offsets!("q1"),
        "vstrh.16 q1, [r7], #16",
        "letp lr, 3b",
        "mov r10, r2",
        "4:",
        "mov r7, sp",
        "movs r6, #0",
        "mov r8, #0",
        "mov r9, #0",
        "dlstp.16 lr, r3",
        "5:",
        "vldrh.u16 q1, [r7], #16",
        "vldrh.u16 q0, [r1, q1, uxtw #1]",
        "vaddva.s16 r6, q0",
        "vmlalva.s16 r8, r9, q0, q0",
        "letp lr, 5b",
        "stm r11!, {{r6, r8, r9, r10}}",
        "add r1, r1, r4, lsl #1",
        "subs r10, r10, #1",
        "bne 4b",
        "add sp, sp, #{offsets_size}",
        "6:",
        "mov r1, sp",
        "vdup.32 q6, r3",
        "vmov.i32 q7, #0x80000000",
        "ldrd r3, r4, [r12, #{at_eps}]",
        "ldr r6, [r12, #{at_up}]",
        "movw r5, #:lower16:{start_q31}",
        "movt r5, #:upper16:{start_q31}",
        "lsrs r2, r2, #2",
        "mov r12, #0",
        "movs r7, #1",
        "adds r4, r4, #1",
        "mov r10, #32",
        "dls lr, r2",
        "7:",
        // The variances, upper words to q3, lower to q1: n times the sum of squares,
        "vld40.32 {{q0, q1, q2, q3}}, [r1]",
        "vld41.32 {{q0, q1, q2, q3}}, [r1]",
        "vld42.32 {{q0, q1, q2, q3}}, [r1]",
        "vld43.32 {{q0, q1, q2, q3}}, [r1]!",
        "vmulh.u32 q3, q1, q6",
        "vmul.i32 q1, q1, q6",
        "vmul.i32 q2, q2, q6",
        "vadd.i32 q3, q3, q2",
        // less the square of the sum,
        "vmulh.s32 q2, q0, q0",
        "vmul.i32 q4, q0, q0",
        "vpt.u32 hi, q4, q1",
        "vaddt.i32 q2, q2, r7",
        "vsub.i32 q1, q1, q4",
        "vsub.i32 q3, q3, q2",
        // and eps, with a carry unless the lower word stays above its own.
        "vadd.i32 q1, q1, r3",
        "vadd.i32 q3, q3, r4",
        "vpt.u32 cs, q1, r3",
        "vsubt.i32 q3, q3, r7",
        // An even shift to q2, the shifted variance to q3.
        "vclz.i32 q2, q3",
        "vptt.i32 eq, q3, zr",
        "vclzt.i32 q2, q1",
        "vaddt.i32 q2, q2, r10",
        "vbic.i32 q2, #1",
        "vsub.i32 q4, q2, r10",
        "vshl.u32 q3, q3, q2",
        "vshl.u32 q1, q1, q4",
        "vorr q3, q3, q1",
        // Newton's steps, from the table.
        "vshr.u32 q4, q3, #25",
        "vldrw.u32 q1, [r5, q4, uxtw #2]",
        ".rept 2",
        "vadd.i32 q4, q1, q1",
        "vmulh.u32 q4, q4, q1",
        "vmulh.u32 q5, q4, q3",
        "vmul.i32 q4, q4, q3",
        "vshl.i32 q5, q5, #2",
        "vsri.32 q5, q4, #30",
        "vsub.i32 q5, q7, q5",
        "vmulh.s32 q5, q5, q1",
        "vadd.i32 q1, q1, q5",
        ".endr",
        // The shift to the left, and the shifted values.
        "vshr.u32 q2, q2, #1",
        "vadd.i32 q2, q2, r6",
        "vshl.u32 q4, q6, q2",
        "vneg.s32 q0, q0",
        "vshl.s32 q0, q0, q2",
        "vmaxv.u32 r12, q2",
        "vstrw.32 q4, [r0], #16",
        "vstrw.32 q0, [r0, #{field_size} - 16]",
        "vstrw.32 q1, [r0, #2 * {field_size} - 16]",
        "le lr, 7b",
        // No shift is negative.
        "cmp r12, #31",
        "ite ls",
        "movls r0, #1",
        "movhi r0, #0",
        "add sp, sp, #{sums_size}",
        "vpop {{d8-d15}}",
        "pop {{r4-r11, pc}}",
        sums_size = const 16 * MOST_GROUPS,
        offsets_size = const 2 * MOST_SUMMED,
        field_size = const 4 * MOST_GROUPS,
        at_eps = const offset_of!(Groups, eps),
        at_up = const offset_of!(Groups, up),
        start_q31 = sym rsqrt::START_Q31,
    )
}
