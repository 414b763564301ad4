//! What the integer engine serves, checked before any calibration.

use super::sampler;
use crate::policy_file::{Conditioning, Hold, PolicyConfig, Task};
use anyhow::{Result, bail, ensure};
use pusht_core::policy::unet::FINAL_CONV_N_GROUPS;
use pusht_core::quant::{
    LANES, MAX_ACTION_DIM, MAX_CHANNELS, MAX_GROUP_LEN, MAX_HORIZON, MAX_KERNEL_SIZE, MAX_LEVELS,
    MAX_NAME_LEN, MAX_PASSES, MAX_UNIT_LEN, MAX_WINDOW_LEN,
};

/// Most inputs of an output of a convolution: taps times channels.
const MAX_INPUTS: usize = u16::MAX as usize;

/// Checks that the integer engine serves the policy.
///
/// # Errors
/// If it does not; the error names the setting, its value, what is served, and what to do.
pub fn check(config: &PolicyConfig) -> Result<()> {
    check_features(config)?;
    check_sizes(config)?;
    check_task(&config.task()?)?;
    sampler::passes(config)?;
    Ok(())
}

fn check_features(config: &PolicyConfig) -> Result<()> {
    ensure!(
        config.conditioning != Conditioning::Local,
        "conditioning: local has no integer path, because its encoder would run beside the network \
         in every pass; global conditioning and inpainting are served, and --engine float plays \
         this policy"
    );
    ensure!(
        config.n_latency_steps == 0,
        "n_latency_steps: {}, the integer path serves 0, as it executes a plan from its first \
         action on; --engine float plays this policy",
        config.n_latency_steps
    );
    if let Some(options) = config.scheduler.thresholding {
        bail!(
            "scheduler: thresholding (ratio {}) has no integer path, because it sorts the whole \
             sample in every pass; clip_sample is served, and --engine float plays this policy",
            options.dynamic_thresholding_ratio
        );
    }
    Ok(())
}

fn check_sizes(config: &PolicyConfig) -> Result<()> {
    let unet = &config.unet;
    let task = config.task()?;
    let window_len = config.n_obs_steps * task.observation.len();
    let limits = [
        (
            "n_obs_steps x values of an observation",
            window_len,
            MAX_WINDOW_LEN,
        ),
        ("values of an action", task.action.len(), MAX_ACTION_DIM),
        ("horizon", config.trajectory_len(), MAX_HORIZON),
        ("down_dims: levels", unet.down_dims.len(), MAX_LEVELS),
        ("kernel_size", unet.kernel_size, MAX_KERNEL_SIZE),
        (
            "num_inference_steps",
            config.num_inference_steps,
            MAX_PASSES,
        ),
    ];
    for (what, value, most) in limits {
        ensure!(
            value <= most,
            "{what}: {value}, the integer path serves up to {most}"
        );
    }
    for dim in &unet.down_dims {
        ensure!(
            (LANES..=MAX_CHANNELS).contains(dim) && dim.is_multiple_of(LANES),
            "down_dims: {dim} channels, the integer path serves multiples of {LANES} up to \
             {MAX_CHANNELS}"
        );
    }
    for (level, dim) in unet.down_dims.iter().enumerate() {
        // Upstream uses the default for the final block.
        let n_groups = match level {
            0 => unet.n_groups.min(FINAL_CONV_N_GROUPS),
            _ => unet.n_groups,
        };
        let group_len = (config.trajectory_len() >> level) * dim / n_groups;
        ensure!(
            group_len <= MAX_GROUP_LEN,
            "n_groups: {n_groups} leave {group_len} values in a group of level {level}, the \
             integer path serves up to {MAX_GROUP_LEN}"
        );
        // The way up reads the tensor and its skip.
        let joined = if level > 0 { 2 * dim } else { *dim };
        let inputs = unet.kernel_size * joined;
        ensure!(
            inputs <= MAX_INPUTS,
            "kernel_size x channels of level {level}: {inputs} inputs of an output, the integer \
             path serves up to {MAX_INPUTS}"
        );
    }
    Ok(())
}

fn check_task(task: &Task) -> Result<()> {
    for value in &task.action {
        ensure!(
            value.hold != Hold::Observed || value.relative_to.is_some(),
            "action {}: hold is observed, but relative_to names no observed value; hold it at last \
             or zero",
            value.name
        );
    }
    let observed = task.observation.iter().map(|v| (&v.name, &v.unit));
    let commanded = task.action.iter().map(|v| (&v.name, &v.unit));
    let no_unit = String::new();
    for (name, unit) in observed.chain(commanded).chain([(&task.name, &no_unit)]) {
        let is_plain = !name.contains(['\t', '\n']) && !unit.contains(['\t', '\n']);
        ensure!(
            name.len() <= MAX_NAME_LEN && unit.len() <= MAX_UNIT_LEN && is_plain,
            "name {name:?} with unit {unit:?}: the model file has names of up to {MAX_NAME_LEN} \
             bytes and units of up to {MAX_UNIT_LEN}, without tabs and line feeds"
        );
    }
    Ok(())
}
