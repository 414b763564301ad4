//! `pusht info`.

use crate::engine::{Engine, PolicyArgs};
use crate::float_engine::FloatPolicy;
use crate::policy_file::PolicyConfig;
use pusht_core::quant::Model;
use std::path::PathBuf;

/// Print what a policy is: sizes, parameters, work a pass, scheduler, how it was made
#[derive(clap::Args)]
#[command(after_help = "Example: pusht info models/pusht.safetensors")]
pub struct Args {
    /// Float policy (`.safetensors`) or integer model file (`.ptm`)
    file: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// If the file is not a usable policy.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let engine = Engine::load(&PolicyArgs {
        policy: Some(args.file.clone()),
        ..PolicyArgs::default()
    })?;
    let rows = match &engine {
        Engine::Int(model) => integer_rows(model),
        Engine::Float(policy) => float_rows(policy.config(), policy),
    };
    for (name, value) in rows {
        println!("{name:<16}{value}");
    }
    Ok(())
}

fn integer_rows(model: &Model<'_>) -> Vec<(String, String)> {
    let observed = format!("{:?}, {} steps", model.observation(), model.n_obs_steps());
    let (executed, horizon) = (model.n_action_steps(), model.horizon());
    let actions = format!("{executed} executed of {horizon} predicted");
    [
        (
            "arithmetic",
            "integers: int8 weights, int16 activations".to_owned(),
        ),
        ("observation", observed),
        ("actions", actions),
        ("passes", model.n_passes().to_string()),
        ("memory", format!("{} bytes a plan", model.memory_bytes())),
        ("made", model.provenance().to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn float_rows(config: &PolicyConfig, policy: &FloatPolicy) -> Vec<(String, String)> {
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
