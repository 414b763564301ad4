//! The network on top of the kernels: passes, sampling loop, plans.

pub(crate) mod batch;
pub(crate) mod policy;
pub(crate) mod sampler;
pub(crate) mod scratch;
pub(crate) mod selftest;
pub(crate) mod unet;
