//! ARMv6-M: Cortex-M0 and M0+. Eight registers for most instructions, products of 32 bits.

mod linear;
mod norm;

use crate::quant::arch::cortex_m;

pub(crate) type LinearKernel = linear::Muls;
pub(crate) type NormKernel = cortex_m::norm::Kernel<norm::Armv6m>;
