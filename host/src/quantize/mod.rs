//! From the float policy to the integer model file, in the order of the work:
//! `calibrate` plays episodes and notes how large every tensor gets, `network` and `sampler` turn weights and
//! coefficients into integers (`rounding` chooses them), `file` writes them, and `compare` measures what was lost.
//!
//! `docs/quantisation.md` explains the arithmetic, `docs/model-format.md` the file.

pub mod calibrate;
pub mod compare;
pub mod file;
mod fixed_point;
mod network;
mod rounding;
mod sampler;

pub use network::quantize;
