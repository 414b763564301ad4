//! Lines of the summary that both programs' checkpoints share.

use super::{Summary, Weights};
use crate::policy_file::{Conditioning, PolicyConfig, SchedulerKind};

/// A summary with what the settings say, and nothing else.
pub(super) fn settings(config: &PolicyConfig) -> Summary {
    let unet = &config.unet;
    let conditioning = match config.conditioning {
        Conditioning::Global => "",
        Conditioning::Local => ", local conditioning",
        Conditioning::Inpainting => ", inpainting",
    };
    let film = if unet.cond_predict_scale {
        "scale and bias"
    } else {
        "bias"
    };
    Summary {
        program: String::new(),
        files: Vec::new(),
        weights: Weights::Live,
        has_other_weights: false,
        dtype: String::new(),
        task: String::new(),
        observation: String::new(),
        action: String::new(),
        normalisation: Vec::new(),
        steps: steps(config),
        network: format!(
            "down_dims {:?}, kernel_size {}, n_groups {}, step embedding {}, FiLM with {film}{conditioning}",
            unet.down_dims, unet.kernel_size, unet.n_groups, unet.diffusion_step_embed_dim
        ),
        scheduler: scheduler(config),
        ignored: Vec::new(),
    }
}

fn steps(config: &PolicyConfig) -> String {
    let predicted = config.trajectory_len();
    let latency = match config.n_latency_steps {
        0 => String::new(),
        n => format!(" after {n} dropped (n_latency_steps)"),
    };
    format!(
        "{} observations, {predicted} actions predicted, {} executed{latency}",
        config.n_obs_steps, config.n_action_steps
    )
}

fn scheduler(config: &PolicyConfig) -> String {
    let scheduler = &config.scheduler;
    let kind = match scheduler.kind {
        SchedulerKind::Ddpm => "DDPM",
        SchedulerKind::Ddim => "DDIM",
        SchedulerKind::FlowMatchEuler => "flow matching",
    };
    let betas = match scheduler.trained_betas {
        Some(_) => "trained betas",
        None => &scheduler.beta_schedule,
    };
    let clip = match (&scheduler.thresholding, scheduler.clip_sample) {
        (Some(_), _) => ", dynamic thresholding".to_owned(),
        (None, true) => format!(", clipped at {}", scheduler.clip_sample_range),
        (None, false) => String::new(),
    };
    format!(
        "{kind}, {} of {} steps, {betas}, predicts {}{clip}",
        config.num_inference_steps, scheduler.num_train_timesteps, scheduler.prediction_type
    )
}

/// Sizes of features, without those that are missing.
pub(super) fn sizes(n_obs_steps: usize, features: &[(&str, usize)]) -> String {
    let present = features.iter().filter(|(_, size)| *size > 0);
    let each: Vec<_> = present
        .map(|(name, size)| format!("{name} ({size})"))
        .collect();
    let times = match n_obs_steps {
        1 => String::new(),
        n => format!(", {n} of them"),
    };
    format!("{}{times}", each.join(", "))
}

/// Line about tensors that the network does not have; none for none.
pub(super) fn unused_tensors(names: impl Iterator<Item = String>) -> Option<String> {
    let names: Vec<_> = names.collect();
    let first = names.first()?;
    Some(match names.len() {
        1 => format!("tensor {first}, which the network does not have"),
        n => format!("{n} tensors that the network does not have, {first} first"),
    })
}
