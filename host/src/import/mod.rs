//! Policies trained elsewhere, as our float policy.

mod lerobot;

use crate::float_engine::FloatPolicy;
use crate::policy_file::{PolicyConfig, Tensors};
use anyhow::{Context, Result, bail};
use std::path::Path;

/// Finds out what `path` is and reads it: a folder with a LeRobot diffusion policy (`config.json` and
/// `model.safetensors`, the folder itself or its `pretrained_model`).
///
/// # Errors
/// One line naming what can't be served: images, another kind of policy, a missing or misshapen tensor.
pub fn read(path: &Path) -> Result<(PolicyConfig, Tensors)> {
    let nested = path.join("pretrained_model");
    let folder = if nested.is_dir() { &nested } else { path };
    if !folder.join("config.json").is_file() {
        bail!(
            "{}: not a LeRobot policy (a folder with config.json and model.safetensors)",
            path.display()
        );
    }
    let (config, tensors) =
        lerobot::read(folder).with_context(|| format!("{}: can't import", folder.display()))?;
    // What the engine accepts is written; nothing else is.
    FloatPolicy::from_parts(config.clone(), &tensors)
        .with_context(|| format!("{}: can't import", folder.display()))?;
    Ok((config, tensors))
}
