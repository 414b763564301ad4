//! What surrounds the sums in the linear routines of ARMv7-M and ARMv7E-M: arguments, a row's bias
//! and factor, rounding, the next row.

// A routine that uses these imports `lines` and `assembler_cpu` beside them.

/// Copies the job to the stack, the rows' address to r0. From here on `[sp]` has panel and number
/// of chunks, `[sp, 8]` the outputs' address and step, `[sp, 16]` the rows' end, `[sp, 24]` room
/// for a factor.
macro_rules! begin {
    () => {
        lines!(
            assembler_cpu!(),
            "push {{r4-r11, lr}}",
            "ldm r0, {{r1-r7}}",
            "push {{r1-r8}}",
            "mov r0, r7",
        )
    };
}
pub(crate) use begin;

/// Begins a row: bias to r2, factor to the stack, panel to r1, number of chunks to lr.
macro_rules! begin_row {
    () => {
        lines!(
            "ldm r0!, {{r2, r6, r7}}",
            "ldrd r1, lr, [sp]",
            "strd r6, r7, [sp, #24]",
        )
    };
}
pub(crate) use begin_row;

/// Loads what is needed after the sums: multiplier to r6, shift less 32 to r7, the outputs' address
/// to r8, their step to r9.
macro_rules! end_sums {
    () => {
        lines!(
            "ldrd r6, r7, [sp, #24]",
            "ldrd r8, r9, [sp, #8]",
            "subs r7, #32",
        )
    };
}
pub(crate) use end_sums;

/// Multiplies `$sum` by the factor, rounds and saturates: the product's upper word is shifted, and
/// the carry, the last bit shifted out, is the half to round by.
macro_rules! scale {
    ($sum:literal) => {
        lines!(
            concat!("smull r12, ", $sum, ", ", $sum, ", r6"),
            concat!("asrs ", $sum, ", ", $sum, ", r7"),
            concat!("adc ", $sum, ", ", $sum, ", #0"),
            concat!("ssat ", $sum, ", #16, ", $sum),
        )
    };
}
pub(crate) use scale;

/// Goes on to the next row's outputs, and back to label 1 if there is such a row; else returns.
macro_rules! end_row {
    () => {
        lines!(
            "ldr r6, [sp, #16]",
            "adds r8, r8, #2",
            "str r8, [sp, #8]",
            "cmp r0, r6",
            "bne 1b",
            "add sp, #32",
            "pop {{r4-r11, pc}}",
        )
    };
}
pub(crate) use end_row;
