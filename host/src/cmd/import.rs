//! `pusht import`.

use crate::{import, policy_file};
use std::path::PathBuf;

/// Turn a policy trained elsewhere into a float policy.
///
/// Reads LeRobot diffusion policies without images and low-dimensional checkpoints of diffusion_policy.
#[derive(clap::Args)]
#[command(
    after_help = "Example: pusht import outputs/train/checkpoints/last/pretrained_model --out policy.safetensors\n         \
                  pusht import latest.ckpt --out policy.safetensors"
)]
pub struct Args {
    /// Folder with config.json and model.safetensors, or a .ckpt file
    path: PathBuf,
    /// Float policy to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// If the policy can't be served, by name; nothing is written then.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let (config, tensors) = import::read(&args.path)?;
    policy_file::save(&args.out, &config, &tensors)?;
    println!("{}", args.out.display());
    Ok(())
}
