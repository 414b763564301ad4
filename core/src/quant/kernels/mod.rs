//! What the network is computed with: products, normalisation, rounding.

pub(crate) mod activation;
pub(crate) mod convolution;
pub(crate) mod linear;
pub(crate) mod mish;
pub(crate) mod norm;
pub(crate) mod panel;
pub(crate) mod read;
pub(crate) mod rounding;
pub(crate) mod rsqrt;
pub(crate) mod slices;
