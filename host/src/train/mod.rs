//! Training a float policy on demonstrations. The only folder that names the training framework.
//!
//! ```text
//! data::Demonstrations -> windows: observe, cut, normalise -> mixture: which ones -> diffusion: add noise
//!   -> unet: predict it (rounding: with the integer model's weights) -> learner: loss, gradient, AdamW, moving average -> checkpoint, policy_file; trainer: step after step
//! ```

pub mod checkpoint;
pub mod device;
pub mod diffusion;
pub mod learner;
pub mod mixture;
pub mod normalizer;
pub mod parameters;
mod picture;
pub mod random;
pub mod report;
pub mod rounding;
pub mod trainer;
pub mod unet;
pub mod windows;

#[cfg(test)]
mod tests;
