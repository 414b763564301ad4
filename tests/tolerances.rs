//! Every tolerance of the tests, in one table. None is widened to make a test pass.
#![allow(dead_code)]

/// Largest distance of the simulator with `libm` from pymunk, px.
pub const PHYSICS_PX: f64 = 1e-6;
/// The same, of the block's angle, rad.
pub const PHYSICS_RAD: f64 = 1e-8;
/// Largest difference of the coverage from shapely's.
pub const COVERAGE: f64 = 1e-12;
/// Largest distance of a replayed demonstration from its record, which is in `f32`, px.
pub const REPLAY_PX: f64 = 0.01;
/// The same, of the block's angle, rad.
pub const REPLAY_RAD: f64 = 1e-4;

// Training, against diffusion_policy on PyTorch: the largest difference as a share of the tensor's largest value.

/// The U-Net's output: sums of up to 400 products in f32, in another order.
pub const UNET_OUTPUT_REL: f64 = 1e-5;
/// Gradients: the same, back through the whole network.
pub const UNET_GRADIENT_REL: f64 = 5e-5;
/// Losses of ten steps.
pub const TRAINING_LOSS_REL: f64 = 1e-5;
/// The parameters' moving average after ten steps.
pub const TRAINING_AVERAGE_REL: f64 = 1e-5;
/// Schedules: f64 here, partly f32 there.
pub const SCHEDULE_ABS: f64 = 1e-6;
/// Normalised samples: a factor and an offset in f32.
pub const NORMALIZED_ABS: f64 = 1e-5;
