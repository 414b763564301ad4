//! Import of policies trained elsewhere, as float policies.

mod checkpoint;
mod lerobot;
mod pickle;
mod report;
mod summary;
mod task;
mod tensors;

pub use summary::Summary;

use crate::float_engine::{FloatPolicy, network_tensors};
use crate::policy_file::{Observation, PolicyConfig, Task, Tensors};
use anyhow::{Context, Result, anyhow, bail, ensure};
use pusht_core::policy::unet::UnetError;
use serde::Serialize;
use std::path::Path;

/// What the caller says about a checkpoint, beside what it says itself.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Another task than PushT, with the names of its values.
    pub task: Option<Task>,
    /// PushT, with this observation.
    pub observation: Option<Observation>,
    /// Weights to take; by default the moving average, if there is one.
    pub weights: Option<Weights>,
}

/// Weights of a training run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// Those of the last training step.
    Live,
    /// Their exponential moving average.
    Ema,
}

/// An imported policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// Settings of the policy.
    pub config: PolicyConfig,
    /// Weights and normalisers.
    pub tensors: Tensors,
    /// What was read, and what it became.
    pub summary: Summary,
}

/// Reads a folder with a LeRobot diffusion policy (`config.json` and `model.safetensors`, directly
/// or in `pretrained_model`) or a checkpoint of diffusion_policy (`.ckpt`).
///
/// Names of features and of the task decide whether it is a policy of PushT; `options` do where
/// there are none.
///
/// # Errors
/// If the policy can't be served (images, another kind, a wrong tensor, a value that is not
/// finite); the error names the file or setting, its value, and what is supported.
pub fn read(path: &Path, options: &Options) -> Result<Imported> {
    let context = || format!("{}: can't import", path.display());
    let mut imported = read_any(path, options).with_context(context)?;
    let provenance = &mut imported.config.provenance;
    let weights = match imported.summary.weights {
        Weights::Live => "live",
        Weights::Ema => "moving average",
    };
    provenance.insert("weights".to_owned(), weights.to_owned());
    // Checks that the engine accepts the policy.
    FloatPolicy::from_parts(imported.config.clone(), &imported.tensors).with_context(context)?;
    Ok(imported)
}

fn read_any(path: &Path, options: &Options) -> Result<Imported> {
    if options.task.is_some() && options.observation.is_some() {
        bail!("--task names another task, --observation PushT: only one of them can be");
    }
    if path.is_dir() {
        if lerobot::is_at(path) {
            return lerobot::read(path, options);
        }
        let inside = ["checkpoints/last", "checkpoints/latest.ckpt", "latest.ckpt"];
        let inside = inside.iter().find(|inside| path.join(inside).exists());
        bail!(
            "a folder without config.json{}; supported are a LeRobot policy (a folder with config.json and \
             model.safetensors, also in pretrained_model) and a checkpoint of diffusion_policy (a .ckpt file)",
            inside.map_or(String::new(), |inside| format!(
                ", but with {inside}: give that"
            ))
        );
    }
    let is_weights = path
        .extension()
        .is_some_and(|extension| extension == "safetensors");
    ensure!(
        !is_weights,
        "a file of weights; a LeRobot policy is the folder that has config.json and model.safetensors"
    );
    checkpoint::read(path, options)
}

/// Removes the tensors that the policy's network does not have, and returns their names.
///
/// # Errors
/// If a setting can't be served, or a tensor is missing or of the wrong shape; the message has its
/// `original` name.
fn keep_used(
    config: &PolicyConfig,
    tensors: &mut Tensors,
    original: impl Fn(&str) -> String,
) -> Result<Vec<String>> {
    let task = config.task()?;
    config.check(task.observation.len(), task.action.len())?;
    let n_network = tensors
        .keys()
        .filter(|name| name.starts_with("model."))
        .count();
    let used = network_tensors(&config.unet, tensors).map_err(|error| {
        match error.downcast_ref::<UnetError>() {
            Some(UnetError::MissingTensor(name)) => anyhow!(
                "no tensor {} among the network's {n_network}: down_dims {:?} need it",
                original(name.as_str()),
                config.unet.down_dims
            ),
            Some(UnetError::TensorShape(name)) => {
                let tensor = tensors.get(&format!("model.{}", name.as_str()));
                anyhow!(
                    "tensor {} has shape {:?}, which does not fit {:?}",
                    original(name.as_str()),
                    tensor.map_or(&[][..], |tensor| &tensor.shape),
                    config.unet
                )
            }
            _ => error,
        }
    })?;
    let is_unused = |name: &&String| name.starts_with("model.") && !used.contains(name.as_str());
    let unused: Vec<String> = tensors.keys().filter(is_unused).cloned().collect();
    tensors.retain(|name, _| !unused.contains(name));
    Ok(unused)
}
