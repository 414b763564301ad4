//! Options of `pusht train`: definition, checks and defaults.

use crate::arguments::{legacy_seeds, number, seed, whole};
use crate::float_engine::unet_config;
use crate::policy_file::{
    ActionFrame, Observation, PolicyConfig, SchedulerConfig, SchedulerKind, Tensors, UnetConfig,
};
use crate::train::device::DeviceArg;
use crate::train::diffusion::TrainTimesteps;
use crate::train::rounding::Rounding;
use crate::train::trainer::Settings;
use anyhow::{Result, bail, ensure};
use pusht_core::pusht::observation::ObservationKind;
use std::ops::Range;
use std::path::PathBuf;

const N_GROUPS: usize = 8;
const N_OBS_STEPS: usize = 2;
/// Most parameters of a network: 1 GiB for each of its vectors.
const MAX_PARAMETERS: usize = 1 << 28;

/// Train a float policy on recorded demonstrations.
///
/// Example: pusht train --data pusht.zip --out runs/human
///
/// The folder receives log.csv (a row every --log-every steps), its plot log.svg, the last two
/// checkpoints, and policy.safetensors; checkpoints and policy survive a power failure. The same
/// command with --resume continues an interrupted run from the newest checkpoint that is whole. A
/// run whose losses or weights are not finite fails and writes no policy.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Demonstrations: pusht.zip, a .zarr folder (Zarr v2 or v3), or the folder of a LeRobot dataset
    /// (v3.0). May be given several times.
    #[arg(long, value_name = "PATH", required = true)]
    pub data: Vec<PathBuf>,
    /// Share of each --data in every batch, in the same order [default: all windows alike].
    #[arg(long, value_delimiter = ',', value_name = "S,S,..", value_parser = number(1e-9..=1e9))]
    pub shares: Vec<f64>,
    /// Folder of the run.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Policy with the weights and normalisers to begin with; its options must be those of the run.
    #[arg(long, value_name = "FILE")]
    pub init: Option<PathBuf>,
    /// Bits to which the weights are rounded in every step, as `pusht quantize` will round them: the
    /// network learns with what it loses. Usually with --init.
    #[arg(long, value_name = "BITS", value_parser = ["4", "8"])]
    pub weight_bits: Option<String>,
    /// Modules whose weights have 8 bits with --weight-bits 4, too, by the beginnings of their paths:
    /// `final_conv.1,down_modules.0.0.blocks.0`.
    #[arg(
        long,
        value_name = "PATH,..",
        value_delimiter = ',',
        requires = "weight_bits"
    )]
    pub in_8_bits: Vec<String>,
    /// Optimiser steps; the learning rate decays to 0 along a cosine over them.
    #[arg(long, default_value_t = 16_000, value_parser = whole::<u64>(1..=1_000_000_000))]
    pub steps: u64,
    /// Windows per step.
    #[arg(long, default_value_t = 256, value_parser = whole::<u32>(1..=65_536))]
    pub batch: u32,
    /// Seed of all random numbers of the run.
    #[arg(long, default_value_t = 0, value_parser = seed)]
    pub seed: u64,
    /// Observation of the policy.
    #[arg(long, value_enum, default_value = "vertices")]
    pub observation: Observation,
    /// Actions predicted per plan (`Tp`).
    #[arg(long, default_value_t = 16, value_parser = whole::<usize>(2..=64))]
    pub horizon: usize,
    /// Actions executed per plan (`Ta`), unless --eval-action-steps is given. Windows reach as far
    /// beyond the end of an episode.
    #[arg(long, default_value_t = 8, value_parser = whole::<usize>(1..=64))]
    pub n_action_steps: usize,
    /// Origin of the actions' coordinates.
    #[arg(long, value_enum, default_value = "window")]
    pub action_frame: ActionFrame,
    /// Channels per level of the U-Net.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "32,64,128",
        value_name = "C,C,..",
        value_parser = whole::<usize>(N_GROUPS as u64..=4096)
    )]
    pub down_dims: Vec<usize>,
    /// Taps of the U-Net's convolutions (odd).
    #[arg(long, default_value_t = 3, value_parser = whole::<usize>(1..=15))]
    pub kernel_size: usize,
    /// Passes of the network per plan, stored in the policy file.
    #[arg(long, default_value_t = 10, value_parser = whole::<usize>(1..=100))]
    pub passes: usize,
    /// Sampler, which also determines the forward process.
    #[arg(long, value_enum, default_value = "ddim")]
    pub scheduler: SchedulerKind,
    /// Prediction target of the network; flow matching has its own.
    #[arg(long, default_value = "epsilon", value_parser = ["epsilon", "sample", "v_prediction"])]
    pub prediction_type: String,
    /// Spacing of the diffusion steps; with few passes, trailing, which begins at pure noise.
    #[arg(long, default_value = "leading", value_parser = ["leading", "trailing", "linspace"])]
    pub timestep_spacing: String,
    /// Trained steps of the forward process: all, or only those that the passes visit.
    #[arg(long, value_enum, default_value = "all")]
    pub train_timesteps: TrainTimesteps,
    /// Peak learning rate.
    #[arg(long, default_value_t = 1e-3, value_parser = number(1e-12..=1e6))]
    pub learning_rate: f64,
    /// Steps of learning rate warmup.
    #[arg(long, default_value_t = 500, value_parser = whole::<u64>(0..=999_999_999))]
    pub warmup_steps: u64,
    /// Poses of every episode that are declared its goal in hindsight: that of its highest coverage,
    /// and others 8 ticks apart before it. The episode is cut there and moved so that its block ends
    /// at the goal; 0: as recorded.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole::<usize>(0..=1000))]
    pub relabel_goal: usize,
    /// Train on the recorded episodes only, without their mirror images.
    #[arg(long)]
    pub no_mirror: bool,
    /// Episodes held out for the validation loss.
    #[arg(long, default_value_t = 4, value_parser = whole::<usize>(0..=1_000_000))]
    pub validation_episodes: usize,
    /// Steps between evaluations of the policy; 0: none.
    #[arg(long, default_value_t = 0, value_parser = whole::<u64>(0..=1_000_000_000))]
    pub eval_every: u64,
    /// Legacy seeds A..B of evaluation episodes. Do not report scores on seeds used for selection.
    #[arg(long, value_name = "A..B", default_value = "200000..200100", value_parser = legacy_seeds)]
    pub eval_seeds: Range<u64>,
    /// Actions executed per plan in evaluations and in the policy file [default: --n-action-steps].
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..=64))]
    pub eval_action_steps: Option<usize>,
    /// Device for the computation; weights of a GPU differ from a CPU's in their last digits.
    #[arg(long, value_enum, default_value = "cpu")]
    pub device: DeviceArg,
    /// Threads of tensor operations and evaluations; the weights do not depend on it.
    #[arg(long, default_value_t = 1, value_parser = whole::<u16>(1..=1024))]
    pub threads: u16,
    /// Steps between rows of the log.
    #[arg(long, default_value_t = 100, value_parser = whole::<u64>(1..=1_000_000_000))]
    pub log_every: u64,
    /// Steps between checkpoints.
    #[arg(long, default_value_t = 1000, value_parser = whole::<u64>(1..=1_000_000_000))]
    pub checkpoint_every: u64,
    /// Continue from the newest checkpoint in the folder.
    #[arg(long)]
    pub resume: bool,
}

impl Args {
    /// Checks the options and adds the defaults; `init` is the policy that the run begins with.
    ///
    /// # Errors
    /// If options contradict each other or `init`.
    pub fn settings(&self, init: Option<&(PolicyConfig, Tensors)>) -> Result<Settings> {
        self.check()?;
        let mut unet = UnetConfig {
            input_dim: crate::data::ACTION_DIM,
            local_cond_dim: 0,
            global_cond_dim: N_OBS_STEPS * ObservationKind::from(self.observation).dim(),
            diffusion_step_embed_dim: 32,
            down_dims: self.down_dims.clone(),
            kernel_size: self.kernel_size,
            n_groups: N_GROUPS,
            cond_predict_scale: true,
        };
        if let Some((config, _)) = init {
            unet.diffusion_step_embed_dim = config.unet.diffusion_step_embed_dim;
            let same = config.unet == unet
                && config.observation == Some(self.observation)
                && config.n_obs_steps == N_OBS_STEPS
                && !config.pred_action_steps_only
                && config.oa_step_convention
                && config.action_frame == self.action_frame;
            ensure!(
                same,
                "--init: its network, observation or action frame is another than the options say"
            );
        }
        let n_parameters = unet_config(&unet)?.n_parameters()?;
        ensure!(
            n_parameters <= MAX_PARAMETERS,
            "--down-dims: a network of {n_parameters} parameters, more than the supported {MAX_PARAMETERS}"
        );
        Ok(Settings {
            steps: self.steps,
            batch: self.batch as usize,
            shares: self.shares(),
            seed: self.seed,
            observation: self.observation,
            learning_rate: self.learning_rate,
            warmup_steps: self.warmup_steps,
            weight_decay: 1e-6,
            n_relabelled_goals: self.relabel_goal,
            mirror: !self.no_mirror,
            validation_episodes: self.validation_episodes,
            n_obs_steps: N_OBS_STEPS,
            horizon: self.horizon,
            n_action_steps: self.n_action_steps,
            action_frame: self.action_frame,
            unet,
            scheduler: SchedulerConfig {
                kind: self.scheduler,
                prediction_type: match self.scheduler {
                    SchedulerKind::FlowMatchEuler => "flow_prediction".into(),
                    _ => self.prediction_type.clone(),
                },
                timestep_spacing: self.timestep_spacing.clone(),
                ..SchedulerConfig::default()
            },
            num_inference_steps: self.passes,
            train_timesteps: self.train_timesteps,
            init_crc32: init.map(|(_, tensors)| crc32(tensors)),
            rounding: Rounding {
                bits: self
                    .weight_bits
                    .as_deref()
                    .and_then(|bits| bits.parse().ok()),
                in_8_bits: self.in_8_bits.clone(),
            },
        })
    }

    fn check(&self) -> Result<()> {
        ensure!(
            self.warmup_steps < self.steps,
            "--warmup-steps {} is not below --steps {}",
            self.warmup_steps,
            self.steps
        );
        // No row's mean may span a checkpoint: a resumed run writes the same log.
        for (name, every) in [
            ("checkpoint", self.checkpoint_every),
            ("eval", self.eval_every),
        ] {
            ensure!(
                every.is_multiple_of(self.log_every),
                "--{name}-every {every} is not a multiple of --log-every {}",
                self.log_every
            );
        }
        self.check_shares()?;
        self.check_network()
    }

    fn check_shares(&self) -> Result<()> {
        if self.shares.is_empty() {
            return Ok(());
        }
        ensure!(
            self.shares.len() == self.data.len(),
            "--shares: {} of them for {} --data",
            self.shares.len(),
            self.data.len()
        );
        // Rounding changes a pool's part of a batch by up to two windows.
        let least = 2.0 / f64::from(self.batch);
        let shares = self.shares();
        for (share, given) in shares.iter().zip(&self.shares) {
            if !(share.is_finite() && *share >= least) {
                bail!("--shares: {given} is not a number that leaves 2 windows of a batch");
            }
        }
        Ok(())
    }

    fn check_network(&self) -> Result<()> {
        ensure!(
            self.kernel_size % 2 == 1,
            "--kernel-size {} is not odd",
            self.kernel_size
        );
        for &channels in &self.down_dims {
            ensure!(
                channels.is_multiple_of(N_GROUPS),
                "--down-dims {channels} is not a multiple of {N_GROUPS}"
            );
        }
        // Each level but the last halves the length.
        let halvings = self.down_dims.len() - 1;
        ensure!(
            halvings < 6
                && self.horizon.is_multiple_of(1 << halvings)
                && self.horizon >> halvings >= 2,
            "--down-dims: {} levels, but --horizon {} can't be halved {halvings} times to 2 or more",
            self.down_dims.len(),
            self.horizon
        );
        for (name, steps) in [
            ("n", self.n_action_steps),
            ("eval", self.eval_action_steps.unwrap_or(1)),
        ] {
            let most = self.horizon + 1 - N_OBS_STEPS;
            ensure!(
                (1..=most).contains(&steps),
                "--{name}-action-steps {steps} is not 1 to {most}, what --horizon {} leaves after {N_OBS_STEPS} observations",
                self.horizon
            );
        }
        Ok(())
    }

    /// Shares, normalised to a sum of 1.
    fn shares(&self) -> Vec<f64> {
        let sum: f64 = self.shares.iter().sum();
        self.shares.iter().map(|share| share / sum).collect()
    }

    /// Command line for the policy file: options that affect the weights, without local paths.
    pub fn command(&self) -> String {
        let name = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        };
        let list = |values: &[String]| values.join(",");
        let mut words: Vec<String> = vec!["pusht train".into()];
        words.extend(
            self.data
                .iter()
                .map(|path| format!("--data {}", name(path))),
        );
        let texts: Vec<String> = self.shares.iter().map(f64::to_string).collect();
        words.extend((!texts.is_empty()).then(|| format!("--shares {}", list(&texts))));
        words.extend(
            self.init
                .iter()
                .map(|path| format!("--init {}", name(path))),
        );
        let dims: Vec<String> = self.down_dims.iter().map(usize::to_string).collect();
        words.push(format!(
            "--out DIR --steps {} --batch {} --seed {} --observation {} --horizon {} --n-action-steps {} \
             --action-frame {} --down-dims {} --kernel-size {} --passes {} --scheduler {} --prediction-type {} --timestep-spacing {} \
             --train-timesteps {} --learning-rate {} --warmup-steps {} --validation-episodes {}",
            self.steps,
            self.batch,
            self.seed,
            word(self.observation),
            self.horizon,
            self.n_action_steps,
            word(self.action_frame),
            list(&dims),
            self.kernel_size,
            self.passes,
            word(self.scheduler),
            self.prediction_type,
            self.timestep_spacing,
            word(self.train_timesteps),
            self.learning_rate,
            self.warmup_steps,
            self.validation_episodes,
        ));
        let executed = self.eval_action_steps;
        words.extend(executed.map(|steps| format!("--eval-action-steps {steps}")));
        words.extend(
            (self.relabel_goal > 0).then(|| format!("--relabel-goal {}", self.relabel_goal)),
        );
        words.extend(self.no_mirror.then(|| "--no-mirror".into()));
        let bits = self.weight_bits.as_ref();
        words.extend(bits.map(|bits| format!("--weight-bits {bits}")));
        let in_8_bits = list(&self.in_8_bits);
        words.extend((!in_8_bits.is_empty()).then(|| format!("--in-8-bits {in_8_bits}")));
        words.join(" ")
    }
}

/// Command line form of a value.
fn word(value: impl clap::ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// CRC-32 (ISO-HDLC) of the values of all tensors, ordered by name.
fn crc32(tensors: &Tensors) -> u32 {
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let mut digest = crc.digest();
    for value in tensors.values().flat_map(|tensor| &tensor.data) {
        digest.update(&value.to_le_bytes());
    }
    digest.finalize()
}
