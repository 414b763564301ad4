//! Training a float policy on demonstrations. The only folder that names the training framework.
//!
//! ```text
//! data::Demonstrations -> windows: normalise, cut -> diffusion: add noise -> unet: predict it -> trainer: loss,
//!   gradient, AdamW, moving average -> checkpoint, policy_file
//! ```

pub mod checkpoint;
pub mod diffusion;
pub mod parameters;
pub mod random;
pub mod trainer;
pub mod unet;
pub mod windows;
