//! x86-64: SSE2, which it always has, AVX2 and AVX-512, for which the processor is asked at run time.

mod linear;
mod norm;

pub(crate) type LinearKernel = linear::Widest;
pub(crate) type NormKernel = norm::Widest;
