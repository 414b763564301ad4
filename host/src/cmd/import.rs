//! `pusht import`.

use crate::policy_file::Task;
use crate::{import, policy_file};
use anyhow::Context;
use std::path::{Path, PathBuf};

/// Convert a policy trained elsewhere to a float policy.
///
/// Reads LeRobot diffusion policies without images and low-dimensional checkpoints of
/// diffusion_policy. Without --task, a policy of PushT's dimensions is a PushT policy.
#[derive(clap::Args)]
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
    #[arg(long, value_name = "FILE")]
    task: Option<PathBuf>,
    /// Float policy to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// If the policy is not supported, with the reason; nothing is written then.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let task = args.task.as_deref().map(read_task).transpose()?;
    let (config, tensors) = import::read(&args.path, task)?;
    policy_file::save(&args.out, &config, &tensors)?;
    println!("{}", args.out.display());
    Ok(())
}

fn read_task(path: &Path) -> anyhow::Result<Task> {
    let file = || path.display().to_string();
    let text = std::fs::read_to_string(path)
        .context("can't read")
        .with_context(file)?;
    serde_json::from_str(&text).with_context(file)
}
