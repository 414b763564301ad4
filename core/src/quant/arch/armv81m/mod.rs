//! ARMv8.1-M with the vector extension (MVE, "Helium"): Cortex-M55 and M85, with the feature `mve`.

mod linear;
pub(crate) mod memory;
mod norm;

pub(crate) type LinearKernel = linear::Vmladava;
pub(crate) type NormKernel = norm::Mve;
