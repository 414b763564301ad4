//! Import of policies trained elsewhere, as float policies.

mod checkpoint;
mod lerobot;
mod pickle;

use crate::float_engine::FloatPolicy;
use crate::policy_file::{PolicyConfig, Task, Tensors};
use anyhow::{Context, Result, bail};
use std::path::Path;

/// First bytes of a zip archive, and so of a PyTorch checkpoint.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";

/// Reads a folder with a LeRobot diffusion policy (`config.json` and `model.safetensors`, directly
/// or in `pretrained_model`) or a checkpoint of diffusion_policy (`.ckpt`).
///
/// `task` names the values of observations and actions. Without it, a policy of PushT's dimensions
/// is a PushT policy, and the values of other policies have no names.
///
/// # Errors
/// If the policy is not supported (images, another kind, a wrong tensor); the error says why.
pub fn read(path: &Path, task: Option<Task>) -> Result<(PolicyConfig, Tensors)> {
    let context = || format!("{}: can't import", path.display());
    let (config, tensors) = read_any(path, task).with_context(context)?;
    // Checks that the engine accepts the policy.
    FloatPolicy::from_parts(config.clone(), &tensors).with_context(context)?;
    Ok((config, tensors))
}

fn read_any(path: &Path, task: Option<Task>) -> Result<(PolicyConfig, Tensors)> {
    let nested = path.join("pretrained_model");
    let folder = if nested.is_dir() { &nested } else { path };
    if folder.join("config.json").is_file() {
        return lerobot::read(folder, task);
    }
    if path.is_file() && starts_with(path, ZIP_MAGIC)? {
        return checkpoint::read(path, task);
    }
    bail!(
        "neither a LeRobot policy (a folder with config.json and model.safetensors) nor a PyTorch checkpoint"
    )
}

fn starts_with(path: &Path, magic: &[u8]) -> Result<bool> {
    use std::io::Read;
    let mut start = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(magic.len() as u64).read_to_end(&mut start)?;
    Ok(start == magic)
}
