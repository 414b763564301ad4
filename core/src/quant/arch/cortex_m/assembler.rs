//! Assembler lines that several kernels share.

/// Lines of assembler.
macro_rules! lines {
    ($($line:expr),+ $(,)?) => {
        concat!($($line, "\n"),+)
    };
}
pub(crate) use lines;

/// Enables the DSP extension, which the target's baseline does not have.
#[cfg(dsp_is_optional)]
macro_rules! assembler_cpu {
    () => {
        ".cpu cortex-m33"
    };
}

/// Nothing: the target's baseline has every instruction.
#[cfg(all(any(kernels = "armv7m", kernels = "armv7em"), not(dsp_is_optional)))]
macro_rules! assembler_cpu {
    () => {
        ""
    };
}
#[cfg(any(kernels = "armv7m", kernels = "armv7em"))]
pub(crate) use assembler_cpu;

/// Saves the callee-saved registers; r0 to r3 keep their values.
#[cfg(kernels = "armv6m")]
macro_rules! save_registers {
    () => {
        lines!(
            "push {{r4-r7, lr}}",
            "mov r4, r8",
            "mov r5, r9",
            "mov r6, r10",
            "mov r7, r11",
            "push {{r4-r7}}",
        )
    };
}
#[cfg(kernels = "armv6m")]
pub(crate) use save_registers;

/// Restores what [`save_registers`] has saved, and returns.
#[cfg(kernels = "armv6m")]
macro_rules! restore_registers {
    () => {
        lines!(
            "pop {{r4-r7}}",
            "mov r8, r4",
            "mov r9, r5",
            "mov r10, r6",
            "mov r11, r7",
            "pop {{r4-r7, pc}}",
        )
    };
}
#[cfg(kernels = "armv6m")]
pub(crate) use restore_registers;
