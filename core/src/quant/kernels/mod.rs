//! What the network is computed with: the linear product, normalisation with Mish and an epilogue,
//! rounding.
//!
//! Each file uses only those above it:
//!
//! ```text
//!  rounding, rsqrt, mish, read, slices, panel   arithmetic; parts of slices and files
//!  linear, norm    operands, reference implementations, the seam: LinearKernel, NormKernel
//!  quant::arch     tuned kernels behind that seam, a folder for each instruction set
//!  dispatch        picks the target's; the network calls Linear::apply and Norm::activate
//! ```
//!
//! A tuned kernel has the reference implementation's bits. `tests/kernels.rs` (hosts) and
//! `firmware/src/bin/kernels.rs` (boards) compare them over random shapes and values.

pub(crate) mod dispatch;
pub(crate) mod linear;
pub(crate) mod mish;
pub(crate) mod norm;
pub(crate) mod panel;
#[cfg(test)]
mod proofs;
pub(crate) mod read;
pub(crate) mod rounding;
pub(crate) mod rsqrt;
pub(crate) mod slices;
