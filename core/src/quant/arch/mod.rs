//! Tuned kernels, a folder for each instruction set, and the only `unsafe` code of the integer
//! policy.
//!
//! | folder | cores | linear product | normalisation | instructions/MAC | of 4 bits |
//! | --- | --- | --- | --- | --- | --- |
//! | `armv6m` | Cortex-M0, M0+ | `MULS` | assembler, 1 position | 2.75 | 2.81 |
//! | `armv7m` | Cortex-M3, M33 | `MLA` | portable | 1.56 | 1.59 |
//! | `armv7em` | Cortex-M4, M7, M33 (`dsp`) | `SMLAD` | assembler, 2 positions | 0.81 | 0.91 |
//! | `armv81m` | Cortex-M55, M85 (`mve`) | `VMLADAVA` | assembler, 4 channels x 2 | 0.23 | 0.27 |
//! | `x86_64` | any | `VPDPWSSD` of AVX-512, `PMADDWD` of AVX2 or SSE2 | AVX2, 8 values; or portable | | |
//! | `aarch64` | any with NEON | `SMLAL` | NEON, 4 values | | |
//! | `wasm32` | any with `simd128` | `i32x4.dot_i16x8_s` | portable | | |
//!
//! `dsp` and `mve` are features of this crate. The last columns are those of the inner loop for a
//! tile of four positions, with weights of 8 bits and of 4, whose routines are in `nibbles.rs`.
//! `kernels/dispatch.rs` picks the folder that `build.rs` names in `cfg(kernels)`; every other target
//! has the reference product and the portable normalisation.
//!
//! # Another instruction set
//!
//! A folder exports two types:
//!
//! - `LinearKernel`, which implements
//!   [`kernels::linear::LinearKernel`](super::kernels::linear::LinearKernel);
//! - `NormKernel`, which implements
//!   [`kernels::norm::kernel::NormKernel`](super::kernels::norm::kernel::NormKernel). It can be
//!   [`Portable`](super::kernels::norm::portable::Portable) at first: on most cores nine tenths of
//!   a plan are products.
//!
//! On a Cortex-M both come from smaller traits in `cortex_m`: a `Microkernel` is the panel's layout
//! and a routine each for tiles of four, two and one positions, for either number of bits;
//! `Routines` are sums, factors and values. Checks, im2col's loop and the fallback to the reference
//! implementation are then there already. `x86_64`, `aarch64` and `wasm32` share `in_place`: tiles of windows
//! without a panel, over all environments.
//!
//! Then name the folder for its targets in `build.rs`, and here and in `dispatch.rs` beside the
//! others. Results must have the reference implementation's bits: `tests/kernels.rs` compares them
//! on a host, and on 64-bit Arm in QEMU, `firmware/src/bin/kernels.rs` on a board; a module of
//! WebAssembly is compared by the digests of its plans (`tests/wasm.rs`).

#[cfg(kernels = "aarch64")]
pub(crate) mod aarch64;
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
#[cfg(any(kernels = "aarch64", kernels = "wasm32", kernels = "x86_64"))]
mod in_place;
mod panel_layout;
#[cfg(kernels = "wasm32")]
pub(crate) mod wasm32;
#[cfg(kernels = "x86_64")]
pub(crate) mod x86_64;
