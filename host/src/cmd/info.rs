//! `pusht info`.

use crate::engine::{Engine, PolicyArgs, observed_range};
use crate::float_engine::{FloatPolicy, unet_config};
use crate::policy_file::{Conditioning, PolicyConfig, SchedulerConfig, SchedulerKind};
use anyhow::Result;
use fixed::types::I8F24;
use pusht_core::quant::Model;
use serde::Deserialize;
use std::path::PathBuf;

/// Print sizes, parameters, work per pass, conditioning, scheduler, normaliser, origin of a policy
#[derive(clap::Args)]
#[command(after_help = "Example: pusht info models/pusht.safetensors")]
pub struct Args {
    /// Float policy (`.safetensors`) or integer model file (`.ptm`)
    file: PathBuf,
}

/// Name and description of a property.
type Row = (String, String);

/// Provenance that `pusht quantize` writes into an integer model.
#[derive(Deserialize)]
struct Quantized {
    quantized_by: String,
    calibration_seeds: Option<String>,
    calibration_data: Option<String>,
    /// Settings of the float policy.
    policy: PolicyConfig,
}

/// Runs the command.
///
/// # Errors
/// If the file is not a valid policy.
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

/// Row of a value of an observation or an action.
struct ValueRow<'v> {
    name: &'v str,
    unit: &'v str,
    /// Raw values for the normalised values -1 and 1.
    range: [f64; 2],
    /// Name of the observed value that it is relative to.
    relative_to: Option<&'v str>,
}

impl ValueRow<'_> {
    fn text(&self) -> String {
        let [low, high] = self.range;
        let mut text = format!("{} {low:.4} to {high:.4} {}", self.name, self.unit);
        if let Some(from) = self.relative_to {
            text += &format!(" from {from}");
        }
        text.trim_end().to_owned()
    }
}

/// One row per value.
fn value_rows<'v>(what: &'static str, values: impl Iterator<Item = ValueRow<'v>>) -> Vec<Row> {
    let name = |index| if index == 0 { what } else { "" };
    let rows = values.enumerate();
    rows.map(|(index, value)| row(name(index), value.text()))
        .collect()
}

fn float_rows(policy: &FloatPolicy) -> Result<Vec<Row>> {
    let config = policy.config();
    let task = policy.task();
    let [obs, action] = policy.ranges();
    let observed = task
        .observation
        .iter()
        .zip(obs)
        .map(|(value, range)| ValueRow {
            name: &value.name,
            unit: &value.unit,
            range,
            relative_to: None,
        });
    let commanded = task.action.iter().zip(action).map(|(value, range)| {
        let from = |from: usize| task.observation[from].name.as_str();
        ValueRow {
            name: &value.name,
            unit: &value.unit,
            range,
            relative_to: value.relative_to.map(from),
        }
    });
    let mut rows = vec![row("arithmetic", "32-bit floats"), row("task", &task.name)];
    rows.extend(sizes(config)?);
    rows.extend(value_rows("observation", observed));
    rows.extend(value_rows("action", commanded));
    rows.extend(config.provenance.clone());
    Ok(rows)
}

fn integer_rows(model: &Model<'_>) -> Result<Vec<Row>> {
    let shape = model.shape();
    let mut rows = vec![
        row("arithmetic", "integers: int8 weights, int16 activations"),
        row("task", model.task()),
    ];
    let made = serde_json::from_str::<Quantized>(model.provenance());
    match &made {
        Ok(made) => rows.extend(sizes(&made.policy)?),
        // Provenance of another quantiser, unchanged.
        Err(_) => rows.extend([
            row("window", format!("{} observations", shape.n_obs_steps)),
            row("actions", executed(shape.n_action_steps, model.horizon())),
            row("passes", model.n_passes()),
        ]),
    }
    let observed = (0..shape.obs_dim).map(|index| ValueRow {
        name: model.value(index).name,
        unit: model.value(index).unit,
        range: observed_range(model, index),
        relative_to: None,
    });
    let commanded = (0..shape.action_dim).map(|index| {
        let value = model.action_value(index);
        let end = |y| value.to_f64(value.unnormalize(I8F24::from_num(y), 0));
        ValueRow {
            name: model.value(shape.obs_dim + index).name,
            unit: model.value(shape.obs_dim + index).unit,
            range: [-1, 1].map(end),
            relative_to: value.relative_to.map(|from| model.value(from).name),
        }
    });
    rows.extend(value_rows("observation", observed));
    rows.extend(value_rows("action", commanded));
    rows.push(row(
        "scratch",
        format!(
            "{} words of 8 bytes: [0u64; {0}] for IntPolicy::new",
            model.scratch_len()
        ),
    ));
    match made {
        Err(_) => rows.push(row("made", model.provenance())),
        Ok(made) => {
            rows.push(row("quantized by", made.quantized_by));
            let on = made.calibration_seeds.or(made.calibration_data);
            rows.push(row("calibrated on", on.unwrap_or_default()));
            rows.extend(made.policy.provenance);
        }
    }
    Ok(rows)
}

fn executed(n_action_steps: usize, horizon: usize) -> String {
    format!("{n_action_steps} executed of {horizon} predicted")
}

/// Sizes from the policy's settings, for either engine.
fn sizes(config: &PolicyConfig) -> Result<Vec<Row>> {
    let unet = unet_config(&config.unet)?;
    let predicted = match config.pred_action_steps_only {
        true => config.n_action_steps,
        false => config.horizon,
    };
    Ok(vec![
        row("window", format!("{} observations", config.n_obs_steps)),
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
            format!(
                "inpainting, {} values a position with the action, {film}",
                unet.input_dim
            )
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
