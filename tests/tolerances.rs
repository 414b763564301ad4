//! All tolerances of the tests. None is widened to make a test pass.
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

// Training against diffusion_policy on PyTorch: largest difference over the largest magnitude.

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

/// A layer of the float U-Net against PyTorch: largest difference over the largest magnitude.
pub const UNET_LAYER: f32 = 1e-5;

/// One scheduler step against diffusers: difference over the larger of 1 and the magnitude.
pub const SCHEDULER_STEP: f32 = 2e-6;
/// The same for DDIM with eta > 0, where sqrt(1 - abar - sigma^2) cancels.
pub const SCHEDULER_STEP_STOCHASTIC: f32 = 1e-5;
/// The same after `rescale_betas_zero_snr`, which magnifies the last bit of PyTorch's square root
/// (not correctly rounded) by up to 1 / sqrt(1 - abar).
pub const SCHEDULER_STEP_RESCALED: f32 = 3e-5;
/// Betas and their products against diffusers, relative.
pub const SCHEDULE: f32 = 1e-6;
/// The same after `rescale_betas_zero_snr`, absolute.
pub const RESCALED_SCHEDULE: f32 = 3e-6;
/// Variance points of diffusers' own tests.
pub const SCHEDULER_VARIANCE: f32 = 1e-5;
/// Sum over the 768 values of diffusers' full-loop tests.
pub const FULL_LOOP_SUM: f64 = 1e-2;
/// Their mean.
pub const FULL_LOOP_MEAN: f64 = 1e-3;

/// A predicted action or observation against diffusion_policy, px (values up to 512).
pub const POLICY_PX: f32 = 2e-3;
/// A normaliser's scale or offset against diffusion_policy, relative.
pub const NORMALIZER: f32 = 1e-6;

// The integer policy against the float policy that it was quantised from, for equal observations
// and noise.

/// Median distance of the actions, px.
pub const INTEGER_MEDIAN_PX: f64 = 1.0;
/// 99th percentile of the distances of the actions, px.
pub const INTEGER_P99_PX: f64 = 4.0;
/// Smallest signal-to-noise ratio of a tensor, dB: int8 weights alone allow about 40 dB per layer.
pub const INTEGER_LAYER_SNR_DB: f64 = 25.0;
/// Estimated instructions of a plan against those counted: relative.
pub const ESTIMATED_INSTRUCTIONS: f64 = 0.02;
/// An action of an imported policy against the program that it comes from, px.
pub const IMPORTED_PX: f64 = 0.01;
/// The same through `pusht import` and `pusht predict`, which takes its noise as I8F24.
pub const IMPORTED_PREDICTED_PX: f64 = 0.05;
