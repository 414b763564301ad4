//! Options of a policy file as `core` takes them.

use super::MAX_TRAIN_TIMESTEPS;
use crate::policy_file::{self, SchedulerKind};
use anyhow::{Result, anyhow, bail};
use pusht_core::policy::Scheduler;
use pusht_core::policy::scheduler::{
    DDIMOptions, DDIMScheduler, DDPMScheduler, FlowMatchEulerScheduler, PredictionType,
    SchedulerConfig, VarianceType,
};
use pusht_core::policy::unet::{DownDims, UnetConfig};
use std::str::FromStr;

/// Converts the network's options to `core`'s.
///
/// # Errors
/// If there are too many levels.
pub fn unet_config(config: &policy_file::UnetConfig) -> Result<UnetConfig> {
    Ok(UnetConfig {
        input_dim: config.input_dim,
        local_cond_dim: (config.local_cond_dim > 0).then_some(config.local_cond_dim),
        global_cond_dim: (config.global_cond_dim > 0).then_some(config.global_cond_dim),
        diffusion_step_embed_dim: config.diffusion_step_embed_dim,
        down_dims: DownDims::new(&config.down_dims)?,
        kernel_size: config.kernel_size,
        n_groups: config.n_groups,
        cond_predict_scale: config.cond_predict_scale,
    })
}

/// Converts the scheduler's options to `core`'s.
///
/// # Errors
/// If a name is not one of diffusers'.
pub fn scheduler_config(config: &policy_file::SchedulerConfig) -> Result<SchedulerConfig<'static>> {
    let mut thresholding = SchedulerConfig::default();
    if let Some(options) = config.thresholding {
        thresholding.dynamic_thresholding_ratio = options.dynamic_thresholding_ratio;
        thresholding.sample_max_value = options.sample_max_value;
    }
    Ok(SchedulerConfig {
        num_train_timesteps: config.num_train_timesteps,
        beta_start: f64::from(config.beta_start),
        beta_end: f64::from(config.beta_end),
        beta_schedule: named("beta_schedule", &config.beta_schedule)?,
        prediction_type: match config.prediction_type.as_str() {
            // Flow matching has a single prediction type, which is not part of these options.
            "flow_prediction" if config.kind == SchedulerKind::FlowMatchEuler => {
                PredictionType::Epsilon
            }
            other if config.kind == SchedulerKind::FlowMatchEuler => {
                bail!("scheduler: flow matching predicts flow_prediction, not {other:?}")
            }
            other => named("prediction_type", other)?,
        },
        variance_type: match config.variance_type.as_str() {
            "fixed_small" => VarianceType::FixedSmall,
            "fixed_small_log" => VarianceType::FixedSmallLog,
            "fixed_large" => VarianceType::FixedLarge,
            "fixed_large_log" => VarianceType::FixedLargeLog,
            other => bail!(
                "scheduler: variance_type is {other:?}; fixed_small, fixed_small_log, fixed_large and fixed_large_log \
                 are supported"
            ),
        },
        timestep_spacing: named("timestep_spacing", &config.timestep_spacing)?,
        clip_sample: config.clip_sample,
        clip_sample_range: config.clip_sample_range,
        steps_offset: config.steps_offset,
        set_alpha_to_one: config.set_alpha_to_one,
        // Leaked: a few kilobytes, of the rare policies with betas of their own.
        trained_betas: config.trained_betas.clone().map(|betas| &*betas.leak()),
        rescale_betas_zero_snr: config.rescale_betas_zero_snr,
        thresholding: config.thresholding.is_some(),
        ..thresholding
    })
}

/// Diffusion steps of a plan with `passes` passes, first to last.
///
/// # Errors
/// If the scheduler is invalid or has fewer steps.
pub fn timesteps(config: &policy_file::SchedulerConfig, passes: usize) -> Result<Vec<usize>> {
    let mut scheduler = scheduler(config)?;
    scheduler.set_timesteps(passes)?;
    Ok(scheduler.timesteps().to_vec())
}

/// Scheduler of a policy, before its timesteps are set.
///
/// # Errors
/// If an option is not one of diffusers', or the scheduler refuses them.
pub(super) fn scheduler(
    config: &policy_file::SchedulerConfig,
) -> Result<Scheduler<'static, MAX_TRAIN_TIMESTEPS>> {
    let options = scheduler_config(config)?;
    Ok(match config.kind {
        SchedulerKind::Ddpm => Scheduler::Ddpm(DDPMScheduler::new(options)?),
        SchedulerKind::Ddim => {
            let call = DDIMOptions {
                eta: config.eta,
                use_clipped_model_output: config.use_clipped_model_output,
            };
            Scheduler::Ddim(DDIMScheduler::new(options)?, call)
        }
        SchedulerKind::FlowMatchEuler => {
            Scheduler::FlowMatchEuler(FlowMatchEulerScheduler::new(&options)?)
        }
    })
}

/// The option of the scheduler that `value` names.
fn named<T: FromStr<Err = pusht_core::Error>>(option: &str, value: &str) -> Result<T> {
    let refused = |error| anyhow!("scheduler: {option} is {value:?}, {error}");
    value.parse().map_err(refused)
}
