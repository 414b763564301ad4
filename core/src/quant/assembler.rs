//! What the assembler routines share.

/// Lines of assembler.
macro_rules! lines {
    ($($line:expr),+ $(,)?) => {
        concat!($($line, "\n"),+)
    };
}
pub(super) use lines;

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
pub(super) use assembler_cpu;
