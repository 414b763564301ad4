//! `pusht info`.

use crate::float_engine::FloatPolicy;
use crate::policy_file::PolicyConfig;
use std::path::PathBuf;

/// Print what a float policy is: sizes, parameters, work a pass, scheduler, provenance.
///
/// Example:
///
///     pusht info models/pusht.safetensors
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Float policy.
    file: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// If the file is not a usable float policy.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let policy = FloatPolicy::load(&args.file)?;
    for (name, value) in rows(policy.config(), &policy) {
        println!("{name:<16}{value}");
    }
    Ok(())
}

fn rows(config: &PolicyConfig, policy: &FloatPolicy) -> Vec<(String, String)> {
    let (unet, scheduler) = (&config.unet, &config.scheduler);
    let network = policy.policy().unet();
    let film = match unet.cond_predict_scale {
        true => "FiLM scale and bias",
        false => "FiLM bias",
    };
    let rows = [
        (
            "observation",
            format!("{:?}, {} steps", config.observation, config.n_obs_steps),
        ),
        (
            "actions",
            format!(
                "{} executed of {} predicted",
                config.n_action_steps, config.horizon
            ),
        ),
        (
            "network",
            format!(
                "down_dims {:?}, kernel {}, groups {}, step embedding {}",
                unet.down_dims, unet.kernel_size, unet.n_groups, unet.diffusion_step_embed_dim
            ),
        ),
        (
            "conditioning",
            format!("global, {} values, {film}", unet.global_cond_dim),
        ),
        ("parameters", network.n_parameters().to_string()),
        ("MACs a pass", network.n_macs(config.horizon).to_string()),
        (
            "scheduler",
            format!(
                "{:?}, {} passes of {} steps, {}, predicts {}, clip {}",
                scheduler.kind,
                config.num_inference_steps,
                scheduler.num_train_timesteps,
                scheduler.beta_schedule,
                scheduler.prediction_type,
                if scheduler.clip_sample {
                    scheduler.clip_sample_range.to_string()
                } else {
                    "off".into()
                }
            ),
        ),
        (
            "normalizer",
            "linear, a scale and an offset a value".to_owned(),
        ),
    ];
    let provenance = config.provenance.iter();
    let provenance = provenance.map(|(name, value)| (name.clone(), value.clone()));
    rows.map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .chain(provenance)
        .collect()
}
