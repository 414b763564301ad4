//! Diffusers' `DDPMScheduler` and `DDIMScheduler`: the noise schedule and one step of the reverse
//! process.
//!
//! Names, options and rounding are those of diffusers 0.42
//! (`schedulers/scheduling_{ddpm,ddim}.py`): the schedule is made as PyTorch makes it and kept in
//! `f32`. A scheduler works on one sample at a time, a flat slice of any shape; a batch is a loop.
//! The caller draws the noise, so a step is a pure function. `T` is the capacity: at least
//! `num_train_timesteps`.

mod ddim;
mod ddpm;
mod flow_match;
mod prediction;
mod schedule;

pub use ddim::{DDIMOptions, DDIMScheduler};
pub use ddpm::DDPMScheduler;
pub use flow_match::FlowMatchEulerScheduler;
pub use schedule::NoiseSchedule;

use crate::names;

/// How beta grows from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BetaSchedule {
    /// Evenly from `beta_start` to `beta_end` (Ho et al. 2020).
    Linear,
    /// The square roots evenly (latent diffusion).
    ScaledLinear,
    /// From a squared cosine of the remaining signal, beta capped at 0.999 (Nichol and Dhariwal
    /// 2021, arXiv 2102.09672).
    SquaredcosCapV2,
    /// A sigmoid over [-6, 6] (GeoDiff). DDPM only.
    Sigmoid,
}

names! {
    BetaSchedule, "a schedule of betas":
    Linear = "linear",
    ScaledLinear = "scaled_linear",
    SquaredcosCapV2 = "squaredcos_cap_v2",
    Sigmoid = "sigmoid",
}

/// What the network's output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PredictionType {
    /// The noise.
    Epsilon,
    /// The clean sample.
    Sample,
    /// The velocity sqrt(alpha) noise - sqrt(1 - alpha) sample (Salimans and Ho 2022, arXiv
    /// 2202.00512).
    VPrediction,
}

names! {
    PredictionType, "a prediction":
    Epsilon = "epsilon",
    Sample = "sample",
    VPrediction = "v_prediction",
}

/// How the inference timesteps are spread over the training steps (Lin et al. 2023, arXiv
/// 2305.08891, table 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestepSpacing {
    /// Evenly from the first to the last, both included.
    Linspace,
    /// Whole multiples of `num_train_timesteps / num_inference_steps`, from zero.
    Leading,
    /// Evenly, counted down from the last.
    Trailing,
}

names! {
    TimestepSpacing, "a spacing of timesteps":
    Linspace = "linspace",
    Leading = "leading",
    Trailing = "trailing",
}

/// The variance of the noise that DDPM adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VarianceType {
    /// The posterior's variance.
    FixedSmall,
    /// The same through its logarithm; this value is a standard deviation.
    FixedSmallLog,
    /// Beta.
    FixedLarge,
    /// The logarithm of beta. Quirk: upstream takes its square root as if it were a variance, so a
    /// step with noise gives NaN there, and here.
    FixedLargeLog,
    /// The network's second output is the variance.
    Learned,
    /// The network's second output blends the logarithms of `FixedSmall` and `FixedLarge`.
    LearnedRange,
}

names! {
    VarianceType, "a variance":
    FixedSmall = "fixed_small",
    FixedSmallLog = "fixed_small_log",
    FixedLarge = "fixed_large",
    FixedLargeLog = "fixed_large_log",
    Learned = "learned",
    LearnedRange = "learned_range",
}

/// The options of both schedulers, by diffusers' names and with its defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SchedulerConfig<'a> {
    /// Steps of the forward process.
    pub num_train_timesteps: usize,
    /// First beta.
    pub beta_start: f64,
    /// Last beta.
    pub beta_end: f64,
    /// How beta grows.
    pub beta_schedule: BetaSchedule,
    /// Betas to use instead, one per training step.
    pub trained_betas: Option<&'a [f32]>,
    /// DDPM only: the variance of the noise that a step adds.
    pub variance_type: VarianceType,
    /// Whether the predicted clean sample is clipped.
    pub clip_sample: bool,
    /// The largest magnitude after clipping, at least 0.
    pub clip_sample_range: f32,
    /// What the network predicts.
    pub prediction_type: PredictionType,
    /// Dynamic thresholding instead of clipping (Saharia et al. 2022, arXiv 2205.11487).
    pub thresholding: bool,
    /// The quantile of magnitudes that becomes the threshold.
    pub dynamic_thresholding_ratio: f32,
    /// Largest threshold.
    pub sample_max_value: f32,
    /// How the inference steps are spread.
    pub timestep_spacing: TimestepSpacing,
    /// Added to the inference steps when the spacing is leading.
    pub steps_offset: usize,
    /// Scales the schedule so that the last step is pure noise (arXiv 2305.08891, algorithm 1).
    pub rescale_betas_zero_snr: bool,
    /// DDIM only: whether the step before the first has alpha 1, or the first step's.
    pub set_alpha_to_one: bool,
}

impl Default for SchedulerConfig<'_> {
    fn default() -> Self {
        Self {
            num_train_timesteps: 1000,
            beta_start: 1e-4,
            beta_end: 0.02,
            beta_schedule: BetaSchedule::Linear,
            trained_betas: None,
            variance_type: VarianceType::FixedSmall,
            clip_sample: true,
            clip_sample_range: 1.0,
            prediction_type: PredictionType::Epsilon,
            thresholding: false,
            dynamic_thresholding_ratio: 0.995,
            sample_max_value: 1.0,
            timestep_spacing: TimestepSpacing::Leading,
            steps_offset: 0,
            rescale_betas_zero_snr: false,
            set_alpha_to_one: true,
        }
    }
}

impl SchedulerConfig<'_> {
    /// Checks the limits of the predicted clean sample.
    fn check_limits(&self) -> Result<(), SchedulerError> {
        let rules = [
            (
                self.clip_sample_range >= 0.0,
                "clip_sample_range is negative or NaN",
            ),
            (
                !self.thresholding || (0.0..=1.0).contains(&self.dynamic_thresholding_ratio),
                "dynamic_thresholding_ratio is not 0 to 1",
            ),
            (
                !self.thresholding || self.sample_max_value > 0.0,
                "sample_max_value is not above 0",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, rule)) => Err(SchedulerError::Config(rule)),
        }
    }

    /// Checks that the clean sample can be predicted at a step whose cumulative product is
    /// `alpha_prod`: from noise alone, the predicted noise says nothing about it, and upstream
    /// divides by zero. Only clipping makes a sample of the result.
    fn check_division(&self, alpha_prod: f32) -> Result<(), SchedulerError> {
        let is_clipped = self.clip_sample && !self.thresholding;
        if alpha_prod == 0.0 && self.prediction_type == PredictionType::Epsilon && !is_clipped {
            return Err(SchedulerError::Config(
                "epsilon prediction at a step of pure noise needs clip_sample",
            ));
        }
        Ok(())
    }
}

/// The results of a step, as long as the sample.
#[derive(Debug)]
pub struct StepOutput<'a> {
    /// x_{t-1}: the sample of the step before.
    pub prev_sample: &'a mut [f32],
    /// x_0 as predicted, after clipping.
    pub pred_original_sample: &'a mut [f32],
}

/// Why a scheduler can't be built or stepped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SchedulerError {
    /// More training steps than the capacity `T`, or none.
    Capacity {
        /// Steps asked for.
        num_train_timesteps: usize,
        /// `T`.
        capacity: usize,
    },
    /// A rule of [`SchedulerConfig`] is broken.
    Config(&'static str),
    /// DDIM has no sigmoid schedule.
    NotImplemented(BetaSchedule),
    /// More inference steps than training steps, or none.
    InferenceSteps {
        /// Steps asked for.
        num_inference_steps: usize,
        /// Steps of the forward process.
        num_train_timesteps: usize,
    },
    /// Custom timesteps must be in descending order.
    NotDescending,
    /// A timestep at or past `num_train_timesteps`.
    TimestepOutOfRange {
        /// The timestep.
        timestep: usize,
        /// Steps of the forward process.
        num_train_timesteps: usize,
    },
    /// A timestep that is not among the inference steps.
    UnknownTimestep(usize),
    /// DDIM steps only after `set_timesteps`.
    NoInferenceSteps,
    /// The step adds noise and none was given.
    NoiseMissing,
    /// A slice of the wrong length.
    WrongLength {
        /// Name of the argument.
        what: &'static str,
        /// Elements needed.
        expected: usize,
        /// Elements given.
        got: usize,
    },
}

impl core::fmt::Display for SchedulerError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::Capacity {
                num_train_timesteps: n,
                capacity,
            } => write!(
                f,
                "scheduler: num_train_timesteps {n} is not 1 to {capacity}"
            ),
            Self::Config(rule) => write!(f, "scheduler: {rule}"),
            Self::NotImplemented(schedule) => {
                write!(f, "scheduler: {schedule:?} is not implemented for DDIM")
            }
            Self::InferenceSteps {
                num_inference_steps: n,
                num_train_timesteps: most,
            } => write!(f, "scheduler: num_inference_steps {n} is not 1 to {most}"),
            Self::NotDescending => write!(f, "scheduler: timesteps are not in descending order"),
            Self::TimestepOutOfRange {
                timestep,
                num_train_timesteps: n,
            } => write!(f, "scheduler: timestep {timestep} is not below {n}"),
            Self::UnknownTimestep(t) => {
                write!(
                    f,
                    "scheduler: timestep {t} is not among those that were set"
                )
            }
            Self::NoInferenceSteps => write!(f, "scheduler: set_timesteps must come first"),
            Self::NoiseMissing => write!(f, "scheduler: this step needs noise"),
            Self::WrongLength {
                what,
                expected,
                got,
            } => write!(f, "scheduler: {what} needs {expected} values, got {got}"),
        }
    }
}

impl core::error::Error for SchedulerError {}

fn expect_len(what: &'static str, got: usize, expected: usize) -> Result<(), SchedulerError> {
    if got == expected {
        return Ok(());
    }
    Err(SchedulerError::WrongLength {
        what,
        expected,
        got,
    })
}
