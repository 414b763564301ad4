//! `pusht info`.

use crate::engine::{Engine, PolicyArgs};
use crate::float_engine::{FloatPolicy, unet_config};
use crate::info::{Info, Quantized, ValueInfo};
use crate::outln;
use crate::policy_file::{
    self, Conditioning, PolicyConfig, SchedulerConfig, SchedulerKind, Tensors,
};
use crate::quantize::boards::BOARDS;
use crate::quantize::needs::Widths;
use crate::quantize::{self, CalibrationData};
use anyhow::Result;
use pusht_core::quant::Model;
use std::path::PathBuf;

/// Print sizes, parameters, work per pass, conditioning, scheduler, normaliser, origin of a policy
///
/// For a float policy also what it needs in integers: the size of the model file, the working
/// memory, and for each board of the firmware flash, RAM and the estimated instructions of a plan.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pusht info models/pusht.safetensors")]
pub struct Args {
    /// Float policy (`.safetensors`) or integer model file (`.ptm`)
    file: PathBuf,
}

/// Name and description of a property.
type Row = (String, String);

/// Runs the command.
///
/// # Errors
/// If the file is not a valid policy.
pub fn run(args: &Args) -> Result<()> {
    let engine = Engine::load(&PolicyArgs {
        policy: Some(args.file.clone()),
        ..PolicyArgs::default()
    })?;
    let info = Info::of(&engine)?;
    let rows = match &engine {
        Engine::Int(file) => integer_rows(file.model(), &info)?,
        Engine::Float(policy) => {
            let (config, tensors) = policy_file::load(&args.file)?;
            let mut rows = float_rows(policy, &info)?;
            rows.extend(integer_needs(&config, &tensors)?);
            rows
        }
    };
    for (name, value) in rows {
        outln!("{name:<16}{value}");
    }
    Ok(())
}

fn row(name: &str, value: impl ToString) -> Row {
    (name.to_owned(), value.to_string())
}

/// One row per value.
fn value_rows(what: &'static str, values: &[ValueInfo]) -> Vec<Row> {
    let name = |index| if index == 0 { what } else { "" };
    let rows = values.iter().enumerate();
    rows.map(|(index, value)| row(name(index), value_text(value)))
        .collect()
}

fn value_text(value: &ValueInfo) -> String {
    let ValueInfo {
        name,
        unit,
        low,
        high,
        relative_to,
    } = value;
    let mut text = format!("{name} {low:.4} to {high:.4} {unit}");
    if let Some(from) = relative_to {
        text += &format!(" from {from}");
    }
    text.trim_end().to_owned()
}

fn float_rows(policy: &FloatPolicy, info: &Info) -> Result<Vec<Row>> {
    let mut rows = vec![row("arithmetic", "32-bit floats"), row("task", &info.task)];
    rows.extend(sizes(policy.config())?);
    rows.extend(value_rows("observation", &info.observation));
    rows.extend(value_rows("action", &info.action));
    rows.extend(info.provenance.clone());
    Ok(rows)
}

/// What the policy would need in integers, or why it has no integer path.
fn integer_needs(config: &PolicyConfig, tensors: &Tensors) -> Result<Vec<Row>> {
    let data = CalibrationData::usual(config)?;
    let needs = match quantize::needs(config, tensors, &data, Widths::default()) {
        Ok(needs) => needs,
        Err(reason) => return Ok(vec![row("in integers", format!("{reason:#}"))]),
    };
    let calibrated_on = match &data {
        CalibrationData::Episodes(seeds) => format!("--seeds {}..{}", seeds.start, seeds.end),
        CalibrationData::Windows(_, name) => format!("--data {name}"),
    };
    let mut rows = vec![
        row(
            "in integers",
            format!(
                "a model file of {} bytes ({calibrated_on})",
                needs.file_bytes
            ),
        ),
        row(
            "",
            format!("scratch of {} words of 8 bytes", needs.scratch_len),
        ),
    ];
    let boards = BOARDS.iter().map(|board| row("", board.describe(&needs)));
    rows.extend(boards);
    if let Some((name, _)) = rows.get_mut(2) {
        *name = "on boards".to_owned();
    }
    Ok(rows)
}

fn integer_rows(model: &Model<'_>, info: &Info) -> Result<Vec<Row>> {
    let arithmetic = match &info.weight_bits {
        None => "integers: int8 weights, int16 activations".to_owned(),
        Some(bits) => format!("integers: {}, int16 activations", weights(bits)),
    };
    let mut rows = vec![row("arithmetic", arithmetic), row("task", &info.task)];
    if let Some(bits) = &info.weight_bits {
        rows.push(row("weight bits", in_runs(bits)));
    }
    let made = Quantized::of(model);
    match &made {
        Some(made) => rows.extend(sizes(&made.policy)?),
        // Provenance of another quantiser, unchanged.
        None => rows.extend([
            row("window", format!("{} observations", info.n_obs_steps)),
            row("actions", executed(info.n_action_steps, info.horizon)),
            row("passes", info.num_inference_steps),
        ]),
    }
    rows.extend(value_rows("observation", &info.observation));
    rows.extend(value_rows("action", &info.action));
    rows.push(row(
        "scratch",
        format!(
            "{} words of 8 bytes: [0u64; {0}] for IntPolicy::new",
            model.scratch_len()
        ),
    ));
    match made {
        None => rows.push(row("made", model.provenance())),
        Some(made) => {
            let on = made.calibrated_on().cloned();
            rows.push(row("quantized by", made.quantized_by));
            rows.push(row("calibrated on", on.unwrap_or_default()));
            rows.extend(made.policy.provenance);
        }
    }
    Ok(rows)
}

/// Which weights the products of a model file have.
fn weights(bits: &[u8]) -> &'static str {
    match bits.contains(&8) {
        true => "weights of 4 and 8 bits",
        false => "weights of 4 bits",
    }
}

/// Equal neighbours as one: `8 4x12 8`.
fn in_runs(bits: &[u8]) -> String {
    let runs = bits.chunk_by(|a, b| a == b).map(|run| match run {
        [one] => one.to_string(),
        _ => format!("{}x{}", run[0], run.len()),
    });
    runs.collect::<Vec<_>>().join(" ")
}

fn executed(n_action_steps: usize, horizon: usize) -> String {
    format!("{n_action_steps} executed of {horizon} predicted")
}

/// Sizes from the policy's settings, for either engine.
fn sizes(config: &PolicyConfig) -> Result<Vec<Row>> {
    let unet = unet_config(&config.unet)?;
    let predicted = config.trajectory_len();
    Ok(vec![
        row("window", format!("{} observations", config.n_obs_steps)),
        row(
            "actions",
            format!(
                "{}{}{}",
                executed(config.n_action_steps, predicted),
                match config.n_latency_steps {
                    0 => String::new(),
                    n => format!(" after {n} of latency"),
                },
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
