//! LeRobot's diffusion policies without images: `config.json`, `model.safetensors`, and since
//! version 0.4 the processors (`policy_{pre,post}processor.json` with their state files), which
//! decide how values are normalised. Before it, the statistics were among the weights.

mod affine;
mod config;
mod folder;
mod old_statistics;
mod processors;
mod steps;

use super::task::{Clues, Decision};
use super::tensors::{self, Converted, describe_types, unwrapped};
use super::{Imported, Options, Summary, report};
use crate::policy_file::{ActionFrame, Hold, Observation, PolicyConfig, Tensor, Tensors};
use crate::regular_file;
use affine::Normalised;
use anyhow::{Context, Result, bail, ensure};
use config::{Config, Sizes};
use folder::Folder;
use std::collections::BTreeMap;
use std::path::Path;

const STATE: &str = "observation.state";
const ENVIRONMENT: &str = "observation.environment_state";
const ACTION: &str = "action";

/// Modules of the network among the weights.
const NETWORK: &str = "diffusion.unet.";

/// Whether `path` is, or holds, a folder of LeRobot.
pub(super) fn is_at(path: &Path) -> bool {
    folder::is_at(path)
}

/// Reads the policy in the folder `path`. Observations are `observation.state`, then
/// `observation.environment_state`; in PushT, the agent is last.
pub(super) fn read(path: &Path, options: &Options) -> Result<Imported> {
    let folder = Folder::find(path, options.weights)?;
    let text = regular_file::read_text(&folder.file("config.json"))?;
    let config: Config = serde_json::from_str(&text).context("config.json")?;
    let sizes = config.sizes()?;
    let weights = tensors::of_file(&folder.file("model.safetensors"))?;
    let normalised = normalised(&folder, &config, &sizes, &weights)?;
    let training = folder.optional("train_config.json");
    let clues = clues(training.as_deref(), &normalised, &sizes)?;
    let (decision, because) = Decision::new(&clues, sizes.obs_dim(), sizes.action, options)?;
    let order = Order::new(&decision, &normalised, &sizes)?;

    let policy = config.policy(&sizes, decision, &normalised, &order)?;
    policy.check(sizes.obs_dim(), sizes.action)?;

    let (mut tensors, names, dtype) = network(weights)?;
    for (name, tensor) in &mut tensors {
        if order.agent_is_first && name.ends_with("cond_encoder.1.weight") {
            config.agent_last(tensor, sizes.obs_dim())?;
        }
    }
    let mut observed = [&normalised.state[..], &normalised.environment[..]].concat();
    if order.agent_is_first {
        observed.rotate_left(sizes.state);
    }
    affine::insert(&mut tensors, "obs", &observed);
    affine::insert(&mut tensors, "action", &normalised.action);
    let original = |name: &str| their_name(name.strip_prefix("model.").unwrap_or(name));
    let unused = super::keep_used(&policy, &mut tensors, original)?;
    let unused = unused.into_iter().map(|name| names[&name].clone());

    let mut ignored = config.ignored();
    ignored.extend(report::unused_tensors(unused));
    ignored.extend(folder.ignored());
    let mut files = ["config.json", "model.safetensors"]
        .map(|file| folder.shown(file))
        .to_vec();
    files.extend(training.map(|path| path.display().to_string()));
    files.extend(normalised.files);
    let summary = Summary {
        program: "LeRobot".to_owned(),
        files,
        weights: folder.weights,
        has_other_weights: folder.has_other,
        dtype,
        task: because,
        observation: report::sizes(
            policy.n_obs_steps,
            &[(STATE, sizes.state), (ENVIRONMENT, sizes.environment)],
        ) + order.note(),
        action: report::sizes(1, &[(ACTION, sizes.action)]),
        normalisation: normalised.modes,
        ignored,
        ..report::settings(&policy)
    };
    Ok(Imported {
        config: policy,
        tensors,
        summary,
    })
}

/// Normalisation of every value, from the processors or from the statistics among the weights.
fn normalised(
    folder: &Folder,
    config: &Config,
    sizes: &Sizes,
    weights: &Converted,
) -> Result<Normalised> {
    match processors::read(folder)? {
        Some(pipelines) => pipelines.normalised(sizes),
        None => old_statistics::normalised(config, sizes, weights),
    }
}

/// What `train_config.json` says about the task; without it, what the features' names say.
fn clues(training: Option<&Path>, normalised: &Normalised, sizes: &Sizes) -> Result<Clues> {
    let name = match training {
        Some(path) => {
            let text = regular_file::read_text(path)?;
            let training = serde_json::from_str(&text).context("train_config.json")?;
            config::task_name(&training)
        }
        None => None,
    };
    let is_swapped = normalised.sources[0] == ENVIRONMENT || normalised.sources[1] == STATE;
    let are_pushts = !is_swapped && (sizes.state, sizes.environment, sizes.action) == (2, 16, 2);
    let features = "observation.state (2), observation.environment_state (16) and action (2)";
    Ok(Clues {
        name,
        features: are_pushts.then_some(features),
    })
}

/// Order of an observation's values: PushT's has the agent last, LeRobot's has it first.
struct Order {
    agent_is_first: bool,
    /// Index of `observation.state` in the policy's observation.
    state_at: usize,
}

impl Order {
    /// # Errors
    /// If an observation of PushT is not made of the agent and the block.
    fn new(decision: &Decision, normalised: &Normalised, sizes: &Sizes) -> Result<Self> {
        let as_it_is = Self {
            agent_is_first: false,
            state_at: 0,
        };
        let Decision::PushT(kind) = decision else {
            return Ok(as_it_is);
        };
        let points_first = matches!(kind, Observation::Vertices | Observation::Keypoints);
        // The environment's features may be renamed into each other.
        let is_swapped = normalised.sources[0] == ENVIRONMENT;
        match (sizes.state, sizes.environment) {
            (_, 0) => Ok(as_it_is),
            (2, _) if points_first && !is_swapped => Ok(Self {
                agent_is_first: true,
                state_at: sizes.environment,
            }),
            (2, _) if !points_first && !is_swapped => Ok(as_it_is),
            (_, 2) if points_first && is_swapped => Ok(as_it_is),
            (state, environment) => bail!(
                "{STATE} has {state} values and {ENVIRONMENT} {environment}: a PushT policy has the agent's 2 in \
                 {STATE} and the block's in {ENVIRONMENT}, or all in {STATE}"
            ),
        }
    }

    fn note(&self) -> &'static str {
        match self.agent_is_first {
            true => "; here the agent's values are last",
            false => "",
        }
    }
}

/// Tensors of the network under diffusion_policy's names, their names in the file, and their types.
fn network(weights: Converted) -> Result<(Tensors, BTreeMap<String, String>, String)> {
    let all = weights.tensors.keys().chain(weights.others.keys());
    for name in all.clone() {
        if unwrapped(name).starts_with(NETWORK) {
            tensors::check_is_float(&weights, name).context("model.safetensors")?;
        }
    }
    let none = format!(
        "model.safetensors: none of its {} tensors is one of the network ({NETWORK}*); the first is {:?}",
        all.clone().count(),
        all.min().map_or("", String::as_str)
    );
    let mut tensors = Tensors::new();
    let mut names = BTreeMap::new();
    for (name, tensor) in weights.tensors {
        if let Some(module) = unwrapped(&name).strip_prefix(NETWORK) {
            tensor.check_finite(&name).context("model.safetensors")?;
            let ours = format!("model.{}", our_name(module));
            tensors.insert(ours.clone(), tensor);
            names.insert(ours, name);
        }
    }
    ensure!(!tensors.is_empty(), none);
    let dtype = describe_types(names.values().map(|name| &weights.types[name]));
    Ok((tensors, names, dtype))
}

/// Translates LeRobot's module names to diffusion_policy's.
fn our_name(name: &str) -> String {
    let name = name
        .replace(".conv1.block.", ".blocks.0.block.")
        .replace(".conv2.block.", ".blocks.1.block.");
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        // In LeRobot, the convolution between two levels is a separate module.
        [modules @ ("down_modules" | "up_modules"), level, "2", kind] => {
            format!("{modules}.{level}.2.conv.{kind}")
        }
        _ => name,
    }
}

/// The reverse of [`our_name`], for messages.
fn their_name(name: &str) -> String {
    let name = name
        .replace(".blocks.0.block.", ".conv1.block.")
        .replace(".blocks.1.block.", ".conv2.block.")
        .replace(".2.conv.", ".2.");
    format!("{NETWORK}{name}")
}

impl Config {
    /// Reorders the columns of FiLM's weight, per observation step: LeRobot has the agent first.
    fn agent_last(&self, weight: &mut Tensor, obs_dim: usize) -> Result<()> {
        let embed_dim = self.diffusion_step_embed_dim;
        let columns = embed_dim.saturating_add(self.n_obs_steps.saturating_mul(obs_dim));
        ensure!(
            weight.shape.len() == 2 && weight.shape[1] == columns,
            "a FiLM weight (cond_encoder.1.weight) has shape {:?}, not {columns} columns: diffusion_step_embed_dim \
             {embed_dim} and {} observations of {obs_dim} values",
            weight.shape,
            self.n_obs_steps
        );
        for row in weight.data.chunks_exact_mut(columns) {
            for observation in row[embed_dim..].chunks_exact_mut(obs_dim) {
                observation.rotate_left(2);
            }
        }
        Ok(())
    }

    fn policy(
        &self,
        sizes: &Sizes,
        decision: Decision,
        normalised: &Normalised,
        order: &Order,
    ) -> Result<PolicyConfig> {
        let mut policy = self.settings(sizes)?;
        let relative = &normalised.relative;
        match decision {
            Decision::PushT(observation) => {
                policy.observation = Some(observation);
                policy.action_frame = match relative.iter().filter(|is| **is).count() {
                    0 => ActionFrame::Window,
                    n if n == sizes.action => ActionFrame::Agent,
                    _ => bail!(
                        "relative_actions_processor: exclude_joints leaves some actions absolute; a PushT policy has \
                         both relative or none"
                    ),
                };
            }
            Decision::Other(mut task) => {
                for (index, value) in task.action.iter_mut().enumerate() {
                    let from = relative.get(index).is_some_and(|is| *is);
                    let from = from.then_some(order.state_at + index);
                    ensure!(
                        value.relative_to.is_none() || value.relative_to == from,
                        "--task: action {} is relative to value {:?}, the checkpoint's processors say {from:?}",
                        value.name,
                        value.relative_to.unwrap_or_default()
                    );
                    if from.is_some() && value.relative_to.is_none() {
                        value.relative_to = from;
                        value.hold = Hold::Observed;
                    }
                    if let Some(name) = normalised.action_names.get(index)
                        && value.name == format!("action_{index}")
                    {
                        value.name = name.clone();
                    }
                }
                policy.task = Some(task);
            }
        }
        Ok(policy)
    }
}
