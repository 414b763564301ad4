//! What the kernels of several Cortex-M cores share.

#[cfg(any(kernels = "armv7m", kernels = "armv7em"))]
pub(crate) mod armv7m_rows;
pub(crate) mod assembler;
pub(crate) mod linear;
#[cfg(any(kernels = "armv6m", kernels = "armv7em"))]
pub(crate) mod norm;
