//! The diffusion policy in integers, from observation in to action out: int8 weights (or of 4 bits),
//! int16 activations.
//!
//! ```text
//!  observations -> normalise, mish -> condition --(once per plan)--> FiLM, observation's share
//!                                                                            |
//!  noise -> sample (I8F24) -> [ U-Net (i16) -> sampler step (I8F24) ] x N <- FiLM, step's share (a table)
//!                                                   |
//!  actions <- unnormalise <-------------------------+
//! ```
//!
//! No float, no allocation, and after [`Model::parse`] no failure: the same bits on every machine.
//! Dependencies: `net` (passes, sampler, plans) -> `format` (the model file) -> `kernels` (reference
//! implementations, dispatch) -> `arch` (tuned kernels). `docs/model-format.md` specifies the file,
//! `docs/quantisation.md` the arithmetic.

mod arch;
mod format;
mod kernels;
#[doc(hidden)]
pub mod measure;
mod net;

pub use format::error::ModelError;
#[doc(hidden)]
pub use format::include::Aligned;
pub use format::limits::{
    FORMAT_VERSION, MAGIC, MAX_ACTION_DIM, MAX_ACTIVATION_EXPONENT, MAX_CHANNELS,
    MAX_FILM_EXPONENT, MAX_HORIZON, MAX_KERNEL_SIZE, MAX_LEVELS, MAX_NAME_LEN, MAX_PASSES,
    MAX_UNIT_LEN, MAX_VALUE_EXPONENT, MAX_WINDOW_LEN, OLDEST_FORMAT_VERSION,
};
pub use format::model::{Model, Sizes};
pub use format::values::{ActionValue, Hold, ObservationValue};
pub use kernels::linear::weights::WeightBits;
pub use kernels::linear::{LANES, PACKING};
pub use kernels::norm::{MAX_EPS, MAX_GAMMA, MAX_GAMMA_EXPONENT, MAX_GROUP_LEN};
pub use kernels::rounding::{
    Factor, MAX_SHIFT, round_to_i16, rounding_shift_right, saturate_i16, saturate_i32,
};
pub use net::batch::{BATCH, IntPolicyBatch};
pub use net::policy::IntPolicy;
pub use net::selftest::selftest;
pub use net::unet::{Layer, LayerKind, Observer, Unobserved};
