//! ARMv8.1-M with the vector extension (MVE, "Helium"): Cortex-M55 and M85, with the feature `mve`.

mod linear;
mod norm;

use crate::quant::arch::cortex_m;

pub(crate) type LinearKernel = linear::Vmladava;
pub(crate) type NormKernel = cortex_m::norm::Kernel<norm::Mve>;
