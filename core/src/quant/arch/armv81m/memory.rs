//! Copies and zeros, 16 bytes at a time.
#![allow(unsafe_code)]

use core::arch::naked_asm;

/// `to.copy_from_slice(values)`.
#[inline(always)]
pub(crate) fn copy<T: Copy>(values: &[T], to: &mut [T]) {
    debug_assert!(values.len() == to.len());
    let n_bytes = size_of_val(values).min(size_of_val(to));
    // SAFETY: both have so many bytes, which are whole values, and do not overlap.
    unsafe { copy_bytes(to.as_mut_ptr().cast(), values.as_ptr().cast(), n_bytes) };
}

/// `values.fill(0)`.
#[inline(always)]
pub(crate) fn zero(values: &mut [i16]) {
    // SAFETY: there are so many.
    unsafe { zero_values(values.as_mut_ptr(), values.len()) };
}

#[unsafe(naked)]
unsafe extern "C" fn copy_bytes(to: *mut u8, from: *const u8, n_bytes: usize) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "wlstp.8 lr, r2, 2f",
        "1:",
        "vldrb.u8 q0, [r1], #16",
        "vstrb.8 q0, [r0], #16",
        "letp lr, 1b",
        "2:",
        "pop {{r7, pc}}",
    )
}

#[unsafe(naked)]
unsafe extern "C" fn zero_values(values: *mut i16, len: usize) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "vmov.i32 q0, #0",
        "wlstp.16 lr, r1, 2f",
        "1:",
        "vstrh.16 q0, [r0], #16",
        "letp lr, 1b",
        "2:",
        "pop {{r7, pc}}",
    )
}
