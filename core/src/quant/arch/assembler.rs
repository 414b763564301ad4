//! What the assembler routines share.

/// Lines of assembler.
macro_rules! lines {
    ($($line:expr),+ $(,)?) => {
        concat!($($line, "\n"),+)
    };
}
pub(crate) use lines;

/// Tells the assembler of instructions that the target does not always have.
#[cfg(smlad = "optional")]
macro_rules! assembler_cpu {
    () => {
        ".cpu cortex-m33"
    };
}

/// The target always has them.
#[cfg(all(smlad, not(smlad = "optional")))]
macro_rules! assembler_cpu {
    () => {
        ""
    };
}
#[cfg(smlad)]
pub(crate) use assembler_cpu;

/// Saves the registers that are the caller's; r0 to r3 stay.
#[cfg(armv6m)]
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
#[cfg(armv6m)]
pub(crate) use save_registers;

/// Restores what [`save_registers`] has saved, and returns.
#[cfg(armv6m)]
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
#[cfg(armv6m)]
pub(crate) use restore_registers;
