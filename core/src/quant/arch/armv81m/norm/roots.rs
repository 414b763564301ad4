//! [`Scaled`] of four groups at a time: variances, of 64 bits, and their reciprocal roots.

use super::LANES;
use crate::quant::kernels::norm::group::{Scaled, Sums};
use crate::quant::kernels::norm::{DROPPED_BITS, Norm};
use crate::quant::kernels::rsqrt;
use core::arch::naked_asm;

/// As [`Scaled::of_all`].
///
/// # Safety
/// There must be as many sums and places as groups, whole vectors of them, one at least.
#[inline(always)]
pub(super) unsafe fn scale(
    norm: Norm<'_>,
    len: usize,
    (sums, n_groups): (*const Sums, usize),
    groups: *mut Scaled,
) -> bool {
    let of_all = Groups {
        groups,
        sums,
        n: len,
        eps: norm.eps,
        start_q31: rsqrt::START_Q31.as_ptr(),
        // 32 less `Norm::shift`, where a root's exponent is 62 less half of the variance's shift,
        // but for that half.
        up: 32 + 16 + DROPPED_BITS as i32 - norm.gamma_exponent() as i32 - 62,
        n_vectors: n_groups / LANES,
    };
    // SAFETY: the caller's; of the table, words 0 to 127 are read.
    unsafe { scale_groups(&of_all) != 0 }
}

/// What the routine is told.
#[repr(C)]
struct Groups {
    groups: *mut Scaled,
    sums: *const Sums,
    /// Values in each.
    n: usize,
    eps: [u32; 2],
    start_q31: *const u32,
    /// Plus half of a variance's shift, it is that of `n`.
    up: i32,
    n_vectors: usize,
}

/// Whether all are there. As `Scaled::of` and `rsqrt`, with every product and sum of 64
/// bits from two words.
///
/// q6 is `n`, q7 the offsets of four groups, r12 the largest shift.
#[unsafe(naked)]
unsafe extern "C" fn scale_groups(_: &Groups) -> u32 {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "vpush {{d8-d15}}",
        "ldm r0, {{r0-r7}}",
        "vdup.32 q6, r2",
        "dls lr, r7",
        "movs r2, #0",
        "vidup.u32 q7, r2, #1",
        "movs r2, #12",
        "vmul.i32 q7, q7, r2",
        "mov r12, #0",
        "movs r7, #1",
        "adds r4, r4, #1",
        "mov r10, #32",
        "mov r11, #0x80000000",
        "1:",
        // The variances, upper words to q3, lower to q1: n times the sum of squares,
        "vldrw.u32 q0, [r1, q7]",
        "add r8, r1, #4",
        "vldrw.u32 q1, [r8, q7]",
        "add r8, r1, #8",
        "vldrw.u32 q2, [r8, q7]",
        "adds r1, r1, #48",
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
        "vneg.s32 q5, q5",
        "vadd.i32 q5, q5, r11",
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
        "vstrw.32 q4, [r0, q7]",
        "add r8, r0, #4",
        "vstrw.32 q0, [r8, q7]",
        "add r8, r0, #8",
        "vstrw.32 q1, [r8, q7]",
        "adds r0, r0, #48",
        "le lr, 1b",
        // No shift is negative.
        "cmp r12, #31",
        "ite ls",
        "movls r0, #1",
        "movhi r0, #0",
        "vpop {{d8-d15}}",
        "pop {{r4-r11, pc}}",
    )
}
