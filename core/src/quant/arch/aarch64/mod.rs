//! 64-bit Arm: NEON, which every such processor with floating point has.

mod linear;
mod norm;

pub(crate) type LinearKernel = linear::Smlal;
pub(crate) type NormKernel = norm::Neon;
