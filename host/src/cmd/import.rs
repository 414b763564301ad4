//! `pusht import`.

use crate::import::{self, Options, Weights};
use crate::outln;
use crate::output::check_file;
use crate::policy_file::{self, Observation, Task};
use crate::regular_file;
use anyhow::Context;
use std::path::{Path, PathBuf};

/// Convert a policy trained elsewhere to a float policy.
///
/// Reads LeRobot diffusion policies without images and low-dimensional checkpoints of
/// diffusion_policy, and ends with a summary of what was read. Names of features and of the task
/// decide whether it is a policy of PushT; where there are none, --observation or --task is asked
/// for.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: pusht import outputs/train/checkpoints/last/pretrained_model --out policy.safetensors\n         \
                  pusht import latest.ckpt --out policy.safetensors"
)]
pub struct Args {
    /// Folder with config.json and model.safetensors, or a .ckpt file
    path: PathBuf,
    /// JSON file with the task and its values: {"name": .., "observation": [{"name": .., "unit":
    /// ..}, ..], "action": [{"name": .., "unit": .., "relative_to": index of an observation's
    /// value, "hold": "last", "observed" or "zero"}, ..]}; unit, relative_to and hold are optional
    #[arg(long, value_name = "FILE", conflicts_with = "observation")]
    task: Option<PathBuf>,
    /// Take it as a policy of PushT with this observation [default: what the checkpoint says]
    #[arg(long, value_enum, value_name = "KIND")]
    observation: Option<Observation>,
    /// Take the weights of the last training step, not their moving average
    #[arg(long, conflicts_with = "ema")]
    live: bool,
    /// Take the moving average of the weights; refuse a checkpoint without one [default: if there
    /// is one]
    #[arg(long)]
    ema: bool,
    /// Float policy to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// If the policy is not supported, with the reason; nothing is written then.
pub fn run(args: &Args) -> anyhow::Result<()> {
    check_file(&args.out)?;
    let options = Options {
        task: args.task.as_deref().map(read_task).transpose()?,
        observation: args.observation,
        weights: match (args.live, args.ema) {
            (true, _) => Some(Weights::Live),
            (_, true) => Some(Weights::Ema),
            _ => None,
        },
    };
    let imported = import::read(&args.path, &options)?;
    policy_file::save(&args.out, &imported.config, &imported.tensors)?;
    outln!("{}", imported.summary);
    outln!("{:<16}{}", "written", args.out.display());
    Ok(())
}

fn read_task(path: &Path) -> anyhow::Result<Task> {
    let text = regular_file::read_text(path)?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}
