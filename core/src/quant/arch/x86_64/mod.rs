//! x86-64: SSE2, which it always has, and AVX2, for which the processor is asked at run time.

mod linear;
mod norm;

pub(crate) type LinearKernel = linear::Widest;
pub(crate) type NormKernel = norm::Avx2;
