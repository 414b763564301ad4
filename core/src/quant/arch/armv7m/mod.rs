//! ARMv7-M: Cortex-M3; ARMv8-M without extensions. Its normalisation is portable.

mod linear;

pub(crate) type LinearKernel = linear::Mla;
pub(crate) type NormKernel = crate::quant::kernels::norm::portable::Portable;
