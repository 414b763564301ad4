//! WebAssembly with `simd128`, where the compiler is told to use it
//! (`-C target-feature=+simd128`).

mod linear;

pub(crate) type LinearKernel = linear::DotI16;
pub(crate) type NormKernel = crate::quant::kernels::norm::portable::Portable;
