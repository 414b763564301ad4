//! ARMv7E-M: Cortex-M4 and M7; with the feature `dsp` ARMv8-M with the DSP extension, as on the
//! Cortex-M33.

mod linear;
mod norm;

use crate::quant::arch::cortex_m;

pub(crate) type LinearKernel = linear::Smlad;
pub(crate) type NormKernel = cortex_m::norm::Kernel<norm::Dsp>;
