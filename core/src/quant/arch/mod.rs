//! Tuned kernels, a folder for each instruction set, and the only `unsafe` code of the integer policy.
//!
//! | folder | cores | linear product | normalisation | MACs per instruction |
//! | --- | --- | --- | --- | --- |
//! | `armv6m` | Cortex-M0, M0+ | `MULS`, inputs widened in the panel | assembler, one position at a time | 0.36 |
//! | `armv7m` | Cortex-M3, M33 without `dsp` | `MLA`, inputs widened in the panel | portable | 0.64 |
//! | `armv7em` | Cortex-M4, M7, M33 with `dsp` | `SMLAD` on weights widened by `SXTB16` | assembler, two positions | 1.2 |
//! | `armv81m` | Cortex-M55, M85 with `mve` | `VMLADAVA`, eight products, two rows | assembler, four channels of two positions | 4.4 |
//! | `x86_64` | all | `PMADDWD`, eight or (AVX2) sixteen products | AVX2, eight values; else portable | |
//!
//! The last column counts the inner loop of a tile of four positions. `kernels/dispatch.rs` picks the folder that `build.rs` names in
//! `cfg(kernels = "..")`; every other target has the reference product and the portable normalisation.
//!
//! # Another instruction set
//!
//! A folder exports two types:
//!
//! - `LinearKernel`, which implements [`kernels::linear::LinearKernel`](super::kernels::linear::LinearKernel);
//! - `NormKernel`, which implements [`kernels::norm::NormKernel`](super::kernels::norm::NormKernel). This can be
//!   [`Portable`](super::kernels::norm::portable::Portable) at first: products are nine tenths of a plan.
//!
//! On a Cortex-M both come from smaller traits in `cortex_m`: a `Microkernel` is the panel's layout and a routine each for tiles of
//! four, two and one positions; `Routines` are sums, factors and values. Checks, im2col's loop and the fallback to the reference
//! implementation are then there already.
//!
//! Then name the folder for its targets in `build.rs`, and here and in `dispatch.rs` beside the others. Results must have the
//! reference implementation's bits: `tests/kernels.rs` compares them on the host, `firmware/src/bin/kernels.rs` on a board.

#[cfg(kernels = "armv6m")]
pub(crate) mod armv6m;
#[cfg(kernels = "armv7em")]
pub(crate) mod armv7em;
#[cfg(kernels = "armv7m")]
pub(crate) mod armv7m;
#[cfg(kernels = "armv81m")]
pub(crate) mod armv81m;
#[cfg(cortex_m_kernels)]
pub(crate) mod cortex_m;
mod panel_layout;
#[cfg(kernels = "x86_64")]
pub(crate) mod x86_64;
