//! `pusht train`.

use crate::data::Demonstrations;
use crate::policy_file::{self, Observation, PolicyConfig, SchedulerConfig, UnetConfig};
use crate::train::checkpoint::{self, Header};
use crate::train::report::{Log, Progress};
use crate::train::trainer::{Settings, Trainer};
use anyhow::{Context, Result, bail, ensure};
use pusht_core::observation::ObservationKind;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// Passes of the network in a plan, as the policy file names them.
const NUM_INFERENCE_STEPS: usize = 10;

/// Train a float policy on recorded demonstrations.
///
/// Example: pusht train --data pusht.zip --out runs/human
///
/// Writes into the folder: log.csv (a row every --log-every steps), checkpoints (the last two) and
/// policy.safetensors. A killed run goes on with the same command and --resume.
#[derive(clap::Args)]
pub struct Args {
    /// Demonstrations: pusht.zip or a .zarr folder.
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Folder of the run.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Optimiser steps; the learning rate falls to 0 along a cosine over them.
    #[arg(long, default_value_t = 16_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    steps: u64,
    /// Windows in a step.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// Names every random number of the run.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// What the policy sees.
    #[arg(long, value_enum, default_value = "vertices")]
    observation: Observation,
    /// Channels of the U-Net's levels.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "32,64,128",
        value_name = "C,C,.."
    )]
    down_dims: Vec<usize>,
    /// Taps of the U-Net's convolutions (odd).
    #[arg(long, default_value_t = 3)]
    kernel_size: usize,
    /// Highest learning rate.
    #[arg(long, default_value_t = 1e-3)]
    learning_rate: f64,
    /// Steps over which the learning rate rises.
    #[arg(long, default_value_t = 500)]
    warmup_steps: u64,
    /// Learn from the recorded episodes alone, not from their mirror images too.
    #[arg(long)]
    no_mirror: bool,
    /// Episodes held out for the validation loss.
    #[arg(long, default_value_t = 4)]
    validation_episodes: usize,
    /// Threads of the tensor operations; the weights do not depend on it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Steps between rows of the log.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    log_every: u64,
    /// Steps between checkpoints.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    checkpoint_every: u64,
    /// Go on from the newest checkpoint in the folder.
    #[arg(long)]
    resume: bool,
}

/// Runs the command.
///
/// # Errors
/// Options that contradict each other, demonstrations that can't be read, a folder that already holds a run
/// (without `--resume`) or another one (with it), or a file that can't be written.
pub fn run(args: &Args) -> Result<()> {
    let settings = settings_of(args)?;
    let demonstrations = Demonstrations::open(&args.data)?;
    let found = checkpoint::load_newest(&args.out)?;
    let started = args.out.join("log.csv").exists() || found.is_some();
    ensure!(
        args.resume || !started,
        "{}: already holds a run; go on with --resume, or name another folder",
        args.out.display()
    );
    let header = Header {
        step: 0,
        data_crc32: demonstrations.crc32(),
        settings: settings.clone(),
    };
    let state = match found {
        Some((found, state)) => {
            check_same_run(&found, &header).with_context(|| args.out.display().to_string())?;
            Some(state)
        }
        None => None,
    };
    let trainer = Trainer::new(settings, &demonstrations, state)?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("{}: can't make the folder", args.out.display()))?;
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(args.threads.into())
        .build()?;
    let provenance = provenance_of(args, &demonstrations);
    threads.install(|| {
        Run {
            args,
            header,
            provenance,
            trainer,
        }
        .finish()
    })
}

/// Checks the options and completes them.
fn settings_of(args: &Args) -> Result<Settings> {
    const N_GROUPS: usize = 8;
    const N_OBS_STEPS: usize = 2;
    const HORIZON: usize = 16;
    // Each level but the last halves the steps, and two must be left.
    const MAX_LEVELS: usize = HORIZON.ilog2() as usize;
    ensure!(
        args.warmup_steps < args.steps,
        "--warmup-steps {} is not below --steps {}",
        args.warmup_steps,
        args.steps
    );
    // So that no row's mean spans a checkpoint, and a resumed run writes the same log.
    ensure!(
        args.checkpoint_every.is_multiple_of(args.log_every),
        "--checkpoint-every {} is not a multiple of --log-every {}",
        args.checkpoint_every,
        args.log_every
    );
    ensure!(
        args.learning_rate > 0.0 && args.learning_rate.is_finite(),
        "--learning-rate {} is not a positive number",
        args.learning_rate
    );
    ensure!(
        args.kernel_size % 2 == 1 && args.kernel_size <= 15,
        "--kernel-size {} is not odd and at most 15",
        args.kernel_size
    );
    for &channels in &args.down_dims {
        ensure!(
            channels > 0 && channels % N_GROUPS == 0 && channels <= 4096,
            "--down-dims {channels} is not a multiple of {N_GROUPS} up to 4096"
        );
    }
    ensure!(
        args.down_dims.len() <= MAX_LEVELS,
        "--down-dims: {} levels, but {HORIZON} steps can be halved only {} times",
        args.down_dims.len(),
        MAX_LEVELS - 1
    );
    Ok(Settings {
        steps: args.steps,
        batch: args.batch as usize,
        seed: args.seed,
        observation: args.observation,
        learning_rate: args.learning_rate,
        warmup_steps: args.warmup_steps,
        weight_decay: 1e-6,
        mirror: !args.no_mirror,
        validation_episodes: args.validation_episodes,
        n_obs_steps: N_OBS_STEPS,
        horizon: HORIZON,
        n_action_steps: 8,
        unet: UnetConfig {
            input_dim: crate::data::ACTION_DIM,
            global_cond_dim: N_OBS_STEPS * ObservationKind::from(args.observation).dim(),
            diffusion_step_embed_dim: 32,
            down_dims: args.down_dims.clone(),
            kernel_size: args.kernel_size,
            n_groups: N_GROUPS,
            cond_predict_scale: true,
        },
        scheduler: SchedulerConfig::default(),
    })
}

/// Refuses to go on with other settings or other data than a run began with.
fn check_same_run(found: &Header, asked: &Header) -> Result<()> {
    ensure!(
        found.data_crc32 == asked.data_crc32,
        "its run began with other demonstrations (CRC-32 {:08x}, now {:08x})",
        found.data_crc32,
        asked.data_crc32
    );
    let (found, asked) = (
        serde_json::to_value(&found.settings)?,
        serde_json::to_value(&asked.settings)?,
    );
    let fields = found.as_object().into_iter().flatten();
    for (name, value) in fields {
        if asked[name] != *value {
            bail!("its run began with {name} {value}, now {}", asked[name]);
        }
    }
    Ok(())
}

/// What the policy file says about how it was made; no path of the machine goes into it.
fn provenance_of(args: &Args, demonstrations: &Demonstrations) -> BTreeMap<String, String> {
    let data = args.data.file_name().unwrap_or_default().to_string_lossy();
    let dims: Vec<String> = args.down_dims.iter().map(usize::to_string).collect();
    let command = format!(
        "pusht train --data {data} --out DIR --steps {} --batch {} --seed {} --observation {} --down-dims {} \
         --kernel-size {} --learning-rate {} --warmup-steps {} --validation-episodes {}{}",
        args.steps,
        args.batch,
        args.seed,
        serde_json::to_string(&args.observation)
            .unwrap_or_default()
            .trim_matches('"'),
        dims.join(","),
        args.kernel_size,
        args.learning_rate,
        args.warmup_steps,
        args.validation_episodes,
        if args.no_mirror { " --no-mirror" } else { "" },
    );
    BTreeMap::from([
        ("command".into(), command),
        (
            "data".into(),
            format!(
                "{data}: {} episodes, {} steps, CRC-32 of states and actions {:08x}",
                demonstrations.episodes.len(),
                demonstrations.n_steps(),
                demonstrations.crc32()
            ),
        ),
        ("seed".into(), args.seed.to_string()),
        (
            "commit".into(),
            commit().unwrap_or_else(|| "unknown".into()),
        ),
        ("version".into(), env!("CARGO_PKG_VERSION").into()),
    ])
}

/// The commit that is checked out where the command runs, marked if files differ from it.
fn commit() -> Option<String> {
    let output = Command::new("git")
        .args([
            "describe",
            "--always",
            "--dirty",
            "--abbrev=40",
            "--exclude=*",
        ])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success()).then(|| text.trim().to_owned())
}

/// A run and where it writes.
struct Run<'a> {
    args: &'a Args,
    header: Header,
    provenance: BTreeMap<String, String>,
    trainer: Trainer,
}

impl Run<'_> {
    /// Trains to the last step.
    fn finish(mut self) -> Result<()> {
        let mut log = Log::open(&self.args.out.join("log.csv"), self.trainer.step())?;
        let progress = Progress::new(self.args.steps, self.trainer.step());
        let (mut loss_sum, mut n_losses) = (0.0, 0);
        while self.trainer.step() < self.args.steps {
            let learning_rate = self.trainer.learning_rate();
            let loss = self.trainer.advance();
            ensure!(
                loss.is_finite(),
                "the loss of step {} is {loss}",
                self.trainer.step()
            );
            loss_sum += f64::from(loss);
            n_losses += 1;
            let step = self.trainer.step();
            progress.advance(step);
            if step.is_multiple_of(self.args.log_every) || step == self.args.steps {
                let mean_loss = loss_sum / f64::from(n_losses);
                let validation_loss = self.trainer.validation_loss();
                log.row(step, learning_rate, mean_loss, validation_loss)?;
                progress.report(step, mean_loss, validation_loss);
                (loss_sum, n_losses) = (0.0, 0);
            }
            if step.is_multiple_of(self.args.checkpoint_every) || step == self.args.steps {
                self.save()?;
            }
        }
        self.save_policy()
    }

    fn save(&mut self) -> Result<()> {
        self.header.step = self.trainer.step();
        checkpoint::save(&self.args.out, &self.header, &self.trainer.state())
    }

    fn save_policy(&self) -> Result<()> {
        let Settings {
            observation,
            n_obs_steps,
            horizon,
            n_action_steps,
            unet,
            scheduler,
            ..
        } = self.header.settings.clone();
        let config = PolicyConfig {
            observation,
            n_obs_steps,
            horizon,
            n_action_steps,
            unet,
            scheduler,
            num_inference_steps: NUM_INFERENCE_STEPS,
            provenance: self.provenance.clone(),
        };
        let path = self.args.out.join("policy.safetensors");
        policy_file::save(&path, &config, &self.trainer.policy_tensors())?;
        eprintln!("wrote {}", path.display());
        Ok(())
    }
}

#[cfg(test)]
#[path = "train_tests.rs"]
mod tests;
