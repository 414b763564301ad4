//! Settings of a policy from diffusion_policy's configuration.

use super::hydra::Node;
use crate::policy_file::{
    ActionFrame, Conditioning, MAX_DIM, PolicyConfig, SchedulerConfig, SchedulerKind, Thresholding,
    UnetConfig,
};
use anyhow::{Result, bail, ensure};
use std::collections::BTreeMap;

const POLICY: &str = "DiffusionUnetLowdimPolicy";
const NETWORK: &str = "ConditionalUnet1D";

/// Reads the settings of the policy, without its task, and the sizes of observation and action.
///
/// # Errors
/// If a setting is missing or can't be served; the error has its name and value.
pub(super) fn policy(cfg: &Node<'_>) -> Result<(PolicyConfig, usize, usize)> {
    let policy = cfg.child("policy")?;
    check_class(&policy, "cfg.policy", POLICY)?;
    let (obs_dim, action_dim) = (policy.int("obs_dim")?, policy.int("action_dim")?);
    for (name, size) in [("obs_dim", obs_dim), ("action_dim", action_dim)] {
        ensure!(
            (1..=MAX_DIM).contains(&size),
            "cfg.policy.{name} is {size}, not 1 to {MAX_DIM}"
        );
    }
    let mut scheduler = scheduler(&policy.child("noise_scheduler")?)?;
    // Other arguments of the policy are passed to the scheduler's step.
    scheduler.eta = policy.float_or("eta", 0.0)?;
    scheduler.use_clipped_model_output = policy.flag_or("use_clipped_model_output", false)?;
    let (local, global) = (
        policy.flag_or("obs_as_local_cond", false)?,
        policy.flag_or("obs_as_global_cond", false)?,
    );
    let conditioning = match (local, global) {
        (false, true) => Conditioning::Global,
        (true, false) => Conditioning::Local,
        (false, false) => Conditioning::Inpainting,
        (true, true) => bail!(
            "cfg.policy: obs_as_local_cond and obs_as_global_cond are both true, only one of them can be"
        ),
    };
    let n_latency_steps = latency(cfg)?;
    let n_predicted = policy.int("n_action_steps")?;
    ensure!(
        n_latency_steps < n_predicted,
        "n_latency_steps is {n_latency_steps}, no action is left of cfg.policy.n_action_steps, {n_predicted}"
    );
    let config = PolicyConfig {
        observation: None,
        task: None,
        n_obs_steps: policy.int("n_obs_steps")?,
        horizon: policy.int("horizon")?,
        n_action_steps: n_predicted - n_latency_steps,
        conditioning,
        pred_action_steps_only: policy.flag_or("pred_action_steps_only", false)?,
        oa_step_convention: policy.flag_or("oa_step_convention", false)?,
        n_latency_steps,
        unet: unet(&policy.child("model")?)?,
        num_inference_steps: policy.int_or("num_inference_steps", scheduler.num_train_timesteps)?,
        scheduler,
        action_frame: ActionFrame::Window,
        provenance: BTreeMap::from([("imported from".into(), "diffusion_policy".into())]),
    };
    Ok((config, obs_dim, action_dim))
}

/// Actions that the task's runner drops from the start of each chunk.
fn latency(cfg: &Node<'_>) -> Result<usize> {
    let task = cfg.find("task")?;
    let runner = task
        .map(|task| task.find("env_runner"))
        .transpose()?
        .flatten();
    match runner {
        // A runner without this setting drops none, whatever the configuration says.
        Some(runner) => runner.int_or("n_latency_steps", 0),
        None => cfg.int_or("n_latency_steps", 0),
    }
}

/// Settings that have no effect on the policy's actions here.
pub(super) fn ignored(cfg: &Node<'_>) -> Result<Vec<String>> {
    let mut ignored = Vec::new();
    let task = cfg.find("task")?;
    let runner = task
        .map(|task| task.find("env_runner"))
        .transpose()?
        .flatten();
    if let Some(runner) = runner {
        ensure!(
            !runner.flag_or("past_action", false)?,
            "cfg.task.env_runner.past_action is true, past actions as an input are not supported, by diffusion_policy \
             neither"
        );
        ignored.extend(
            runner
                .text("_target_")?
                .map(|target| format!("runner {target}, but for its latency")),
        );
    }
    if let Some(workspace) = cfg.text("_target_")? {
        ignored.push(format!(
            "workspace {workspace}: optimizer, data set, logging"
        ));
    }
    Ok(ignored)
}

fn check_class(node: &Node<'_>, place: &str, class: &str) -> Result<()> {
    let target = node.text_or("_target_", "")?;
    ensure!(
        target.rsplit('.').next() == Some(class),
        "{place}._target_ is {target:?}, only {class} is supported"
    );
    Ok(())
}

/// Reads the U-Net's options, with the defaults of `ConditionalUnet1D`.
fn unet(model: &Node<'_>) -> Result<UnetConfig> {
    if model.text("_target_")?.is_some() {
        check_class(model, "cfg.policy.model", NETWORK)?;
    }
    Ok(UnetConfig {
        input_dim: model.int("input_dim")?,
        local_cond_dim: model.int_or("local_cond_dim", 0)?,
        global_cond_dim: model.int_or("global_cond_dim", 0)?,
        diffusion_step_embed_dim: model.int_or("diffusion_step_embed_dim", 256)?,
        down_dims: match model.find("down_dims")? {
            Some(_) => model.ints("down_dims")?,
            None => vec![256, 512, 1024],
        },
        kernel_size: model.int_or("kernel_size", 3)?,
        n_groups: model.int_or("n_groups", 8)?,
        cond_predict_scale: model.flag_or("cond_predict_scale", false)?,
    })
}

/// Reads the scheduler's options, with the defaults of diffusers.
fn scheduler(options: &Node<'_>) -> Result<SchedulerConfig> {
    let target = options.text_or("_target_", "")?;
    let kind = match target.rsplit('.').next() {
        Some("DDPMScheduler") => SchedulerKind::Ddpm,
        Some("DDIMScheduler") => SchedulerKind::Ddim,
        _ => bail!(
            "cfg.policy.noise_scheduler._target_ is {target:?}, only DDPMScheduler and DDIMScheduler are supported"
        ),
    };
    let thresholding = options.flag_or("thresholding", false)?;
    let thresholding = thresholding.then_some(Thresholding {
        dynamic_thresholding_ratio: options.float_or("dynamic_thresholding_ratio", 0.995)?,
        sample_max_value: options.float_or("sample_max_value", 1.0)?,
    });
    Ok(SchedulerConfig {
        kind,
        num_train_timesteps: options.int_or("num_train_timesteps", 1000)?,
        beta_start: options.float_or("beta_start", 1e-4)?,
        beta_end: options.float_or("beta_end", 0.02)?,
        beta_schedule: options.text_or("beta_schedule", "linear")?,
        prediction_type: options.text_or("prediction_type", "epsilon")?,
        clip_sample: options.flag_or("clip_sample", true)?,
        clip_sample_range: options.float_or("clip_sample_range", 1.0)?,
        variance_type: options.text_or("variance_type", "fixed_small")?,
        set_alpha_to_one: options.flag_or("set_alpha_to_one", true)?,
        steps_offset: options.int_or("steps_offset", 0)?,
        timestep_spacing: options.text_or("timestep_spacing", "leading")?,
        trained_betas: options.floats("trained_betas")?,
        rescale_betas_zero_snr: options.flag_or("rescale_betas_zero_snr", false)?,
        thresholding,
        eta: 0.0,
        use_clipped_model_output: false,
    })
}
