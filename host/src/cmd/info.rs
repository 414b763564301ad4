//! `pusht info`.

use crate::engine::{Engine, PolicyArgs};
use crate::float_engine::{FloatPolicy, unet_config};
use crate::policy_file::{ActionFrame, Conditioning, PolicyConfig, SchedulerConfig, SchedulerKind};
use anyhow::Result;
use fixed::types::{I8F24, I16F16};
use pusht_core::quant::Model;
use serde::Deserialize;
use std::path::PathBuf;

/// Print what a policy is: sizes, parameters, work a pass, conditioning, scheduler, normaliser, how it was made
#[derive(clap::Args)]
#[command(after_help = "Example: pusht info models/pusht.safetensors")]
pub struct Args {
    /// Float policy (`.safetensors`) or integer model file (`.ptm`)
    file: PathBuf,
}

/// A name and what is to be said of it.
type Row = (String, String);

/// What `pusht quantize` says of an integer model's making.
#[derive(Deserialize)]
struct Quantized {
    quantized_by: String,
    calibration_seeds: String,
    /// The float twin's settings.
    policy: PolicyConfig,
}

/// Runs the command.
///
/// # Errors
/// If the file is not a usable policy.
pub fn run(args: &Args) -> Result<()> {
    let engine = Engine::load(&PolicyArgs {
        policy: Some(args.file.clone()),
        ..PolicyArgs::default()
    })?;
    let rows = match &engine {
        Engine::Int(model) => integer_rows(model)?,
        Engine::Float(policy) => float_rows(policy)?,
    };
    for (name, value) in rows {
        println!("{name:<16}{value}");
    }
    Ok(())
}

fn row(name: &str, value: impl ToString) -> Row {
    (name.to_owned(), value.to_string())
}

fn float_rows(policy: &FloatPolicy) -> Result<Vec<Row>> {
    let config = policy.config();
    let [obs, action] = policy.policy().normalizers().map(|normalizer| {
        let pairs = normalizer.scale().iter().zip(normalizer.offset());
        let ends =
            pairs.map(|(scale, offset)| [-1.0, 1.0].map(|y| f64::from((y - offset) / scale)));
        ranges(&ends.collect::<Vec<_>>())
    });
    let mut rows = vec![row("arithmetic", "32-bit floats")];
    rows.extend(sizes(config)?);
    rows.extend(normalizers(&obs, &action, config.action_frame));
    rows.extend(config.provenance.clone());
    Ok(rows)
}

fn integer_rows(model: &Model<'_>) -> Result<Vec<Row>> {
    let frame = match model.actions_from_agent() {
        true => ActionFrame::Agent,
        false => ActionFrame::Window,
    };
    let obs = (0..model.observation().dim()).map(|index| observed_range(model, index));
    let obs = ranges(&obs.collect::<Vec<_>>());
    let action = [0, 1]
        .map(|axis| [-1, 1].map(|y| model.unnormalize_action(axis, I8F24::from_num(y)).to_num()));
    let mut rows = vec![row(
        "arithmetic",
        "integers: int8 weights, int16 activations",
    )];
    let made = serde_json::from_str::<Quantized>(model.provenance());
    match &made {
        Ok(made) => rows.extend(sizes(&made.policy)?),
        // Another quantiser's: what the file itself says.
        Err(_) => rows.extend([
            row(
                "observation",
                format!("{:?}, {} steps", model.observation(), model.n_obs_steps()),
            ),
            row("actions", executed(model.n_action_steps(), model.horizon())),
            row("passes", model.n_passes()),
        ]),
    }
    rows.extend(normalizers(&obs, &ranges(&action), frame));
    rows.push(row(
        "memory",
        format!("{} bytes a plan", model.memory_bytes()),
    ));
    match made {
        Err(_) => rows.push(row("made", model.provenance())),
        Ok(made) => {
            rows.push(row("quantized by", made.quantized_by));
            rows.push(row("calibrated on", made.calibration_seeds));
            rows.extend(made.policy.provenance);
        }
    }
    Ok(rows)
}

/// What an observation's value is where its normalised one is -1 and 1; the map is a straight line.
fn observed_range(model: &Model<'_>, index: usize) -> [f64; 2] {
    const FAR_PX: i32 = 512;
    let normalized = |x: i32| -> f64 {
        let y = model.normalize_observation(index, I16F16::from_num(x));
        y.to_num()
    };
    let offset = normalized(0);
    let scale = (normalized(FAR_PX) - offset) / f64::from(FAR_PX);
    [-1.0, 1.0].map(|y| (y - offset) / scale)
}

fn executed(n_action_steps: usize, horizon: usize) -> String {
    format!("{n_action_steps} executed of {horizon} predicted")
}

/// What the policy's settings decide, whatever the arithmetic.
fn sizes(config: &PolicyConfig) -> Result<Vec<Row>> {
    let unet = unet_config(&config.unet)?;
    let predicted = match config.pred_action_steps_only {
        true => config.n_action_steps,
        false => config.horizon,
    };
    Ok(vec![
        row(
            "observation",
            format!("{:?}, {} steps", config.observation, config.n_obs_steps),
        ),
        row(
            "actions",
            format!(
                "{}{}",
                executed(config.n_action_steps, predicted),
                match config.oa_step_convention || config.pred_action_steps_only {
                    true => "",
                    false => ", from the one after the newest observation's on",
                }
            ),
        ),
        row(
            "network",
            format!(
                "down_dims {:?}, kernel {}, groups {}, step embedding {}",
                config.unet.down_dims,
                config.unet.kernel_size,
                config.unet.n_groups,
                config.unet.diffusion_step_embed_dim
            ),
        ),
        row("conditioning", conditioning(config)),
        row("parameters", unet.n_parameters()?),
        row("MACs a pass", unet.n_macs(predicted)?),
        row("scheduler", scheduler(&config.scheduler)),
        row(
            "passes",
            format!(
                "{} of {} steps",
                config.num_inference_steps, config.scheduler.num_train_timesteps
            ),
        ),
    ])
}

fn conditioning(config: &PolicyConfig) -> String {
    let unet = &config.unet;
    let film = match unet.cond_predict_scale {
        true => "FiLM scale and bias",
        false => "FiLM bias",
    };
    match config.conditioning {
        Conditioning::Global => format!("global, {} values, {film}", unet.global_cond_dim),
        Conditioning::Local => {
            format!("local, {} values a position, {film}", unet.local_cond_dim)
        }
        Conditioning::Inpainting => {
            let observed = unet.input_dim.saturating_sub(crate::data::ACTION_DIM);
            format!("inpainting, {observed} values a position, {film}")
        }
    }
}

fn scheduler(scheduler: &SchedulerConfig) -> String {
    let mut text = match scheduler.kind {
        SchedulerKind::Ddpm => format!("DDPM, variance {}", scheduler.variance_type),
        SchedulerKind::Ddim => format!("DDIM, eta {}", scheduler.eta),
        SchedulerKind::FlowMatchEuler => "FlowMatchEuler".to_owned(),
    };
    if scheduler.kind != SchedulerKind::FlowMatchEuler {
        text += match &scheduler.trained_betas {
            Some(_) => ", betas of its own",
            None => ", ",
        };
        if scheduler.trained_betas.is_none() {
            text += &scheduler.beta_schedule;
        }
        if scheduler.rescale_betas_zero_snr {
            text += " rescaled to zero SNR";
        }
    }
    text += &format!(", predicts {}", scheduler.prediction_type);
    text += &match (scheduler.thresholding, scheduler.clip_sample) {
        (Some(options), _) => format!(
            ", thresholding at {} up to {}",
            options.dynamic_thresholding_ratio, options.sample_max_value
        ),
        (None, true) => format!(", clip {}", scheduler.clip_sample_range),
        (None, false) => ", clip off".to_owned(),
    };
    text
}

/// Which values become -1 and 1, a feature after the other.
fn ranges(ends: &[[f64; 2]]) -> String {
    let texts = ends
        .iter()
        .map(|[low, high]| format!("{low:.1}..{high:.1}"));
    texts.collect::<Vec<_>>().join(" ")
}

fn normalizers(obs: &str, action: &str, frame: ActionFrame) -> [Row; 2] {
    let frame = match frame {
        ActionFrame::Window => "px",
        ActionFrame::Agent => "px from the agent",
    };
    [
        row(
            "normalizer",
            format!("linear; observations {obs} become -1..1"),
        ),
        row("", format!("actions {action} {frame}")),
    ]
}
