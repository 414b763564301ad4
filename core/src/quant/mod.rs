//! The diffusion policy in integers, from observation in to action out: int8 weights, int16 activations.
//!
//! ```text
//!  I16F16 observations -> normalise, mish -> condition --(once a plan)--> FiLM, observation's share
//!                                                                              |
//!  noise -> sample (I8F24) -> [ U-Net (i16) -> sampler step (I8F24) ] x passes <- FiLM, step's share (a table)
//!                                                                        |
//!  I16F16 actions <- unnormalise <---------------------------------------+
//! ```
//!
//! No float, no allocation, and after [`Model::parse`] no failure: the same bits on every machine.
//! `docs/model-format.md` specifies the file, `docs/quantisation.md` the arithmetic.

mod activation;
#[cfg(any(armv6m, mla, mve, smlad))]
mod assembler;
mod batch;
mod convolution;
mod error;
mod linear;
mod mish;
mod model;
mod norm;
mod parse;
mod policy;
mod read;
mod rounding;
mod rsqrt;
mod sampler;
mod scratch;
mod selftest;
mod slices;
mod unet;

pub use activation::{Activation, Normalization};
pub use batch::{BATCH, IntPolicyBatch};
pub use convolution::Convolution;
pub use error::ModelError;
pub use linear::{LANES, PACKING};
pub use model::{MAX_ACTIVATION_EXPONENT, MAX_FILM_EXPONENT, MAX_LEVELS, Model};
pub use norm::{MAX_EPS, MAX_GAMMA, MAX_GAMMA_EXPONENT, MAX_GROUP_LEN};
pub use parse::{FORMAT_VERSION, MAGIC};
pub use policy::{IntPolicy, ObservationWindow};
pub use rounding::{
    Factor, MAX_SHIFT, round_to_i16, rounding_shift_right, saturate_i16, saturate_i32,
};
pub use scratch::{ARENA_LEN, MAX_CONDITION_LEN, MAX_HORIZON, Scratch};
pub use selftest::selftest;
pub use unet::{Layer, LayerKind, NoTap, Tap};
