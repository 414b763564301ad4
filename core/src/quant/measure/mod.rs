//! Single layers, to measure a kernel and to compare it with the reference implementation. Not for
//! users of the policy.

mod activation;
mod convolution;

pub use super::kernels::dispatch::panel_len;
pub use activation::{Activation, Normalization};
pub use convolution::Convolution;
