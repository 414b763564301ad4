//! Low-dimensional checkpoints of diffusion_policy: a PyTorch archive with its Hydra configuration.

mod archive;
mod expression;
mod hydra;
mod settings;

use super::pickle::{Id, Pickle};
use super::task::{Clues, Decision};
use super::tensors::{describe_types, unwrapped};
use super::{Imported, Options, Summary, Weights, report};
use crate::policy_file::Tensors;
use anyhow::{Context, Result, bail};
use archive::Archive;
use hydra::Node;
use std::collections::BTreeMap;
use std::path::Path;

/// Workspace attributes that diffusion_policy saves the live and the averaged policy under.
const LIVE: &str = "model";
const EMA: &str = "ema_model";

/// Reads the checkpoint at `path`, by default with the moving average of its weights.
pub(super) fn read(path: &Path, options: &Options) -> Result<Imported> {
    let mut archive = Archive::open(path)?;
    let root = archive.pickle.root();
    let cfg = item(&archive.pickle, root, "cfg")?;
    let states = item(&archive.pickle, root, "state_dicts")?;
    let config = Node::root(&archive.pickle, cfg);
    let (mut policy, obs_dim, action_dim) = settings::policy(&config)?;
    let (decision, because) = Decision::new(&clues(&config)?, obs_dim, action_dim, options)?;
    match decision {
        Decision::PushT(observation) => policy.observation = Some(observation),
        Decision::Other(task) => policy.task = Some(task),
    }
    let mut ignored = settings::ignored(&config)?;
    let (weights, which, has_other) = choose(&archive.pickle, states, options.weights)?;

    let names = names(&archive.pickle, weights);
    let mut tensors = Tensors::new();
    let mut types = Vec::new();
    for (name, (original, id)) in &names {
        let affine = name.ends_with(".scale") || name.ends_with(".offset");
        let is_normalizer = name.starts_with("normalizer.params_dict.") && affine;
        if !name.starts_with("model.") && !is_normalizer {
            continue;
        }
        let read = archive.tensor(*id);
        let (tensor, kind) = read.with_context(|| format!("tensor {original}"))?;
        tensor.check_finite(original)?;
        tensors.insert(name.clone(), tensor);
        types.push(kind);
    }
    if !tensors.keys().any(|name| name.starts_with("model.")) {
        let first = names.values().next().map_or("", |(name, _)| name);
        bail!(
            "state_dicts.{}: none of its {} tensors is one of the network (model.*); the first is {first:?}",
            key_of(which),
            names.len()
        );
    }
    let original = |name: &str| format!("state_dicts.{}.model.{name}", key_of(which));
    let unused = super::keep_used(&policy, &mut tensors, original)?;
    ignored.extend(report::unused_tensors(unused.into_iter()));
    let summary = Summary {
        program: "diffusion_policy".to_owned(),
        files: vec![path.display().to_string()],
        weights: which,
        has_other_weights: has_other,
        dtype: describe_types(types.iter()),
        task: because,
        observation: report::sizes(policy.n_obs_steps, &[("obs", obs_dim)]),
        action: report::sizes(1, &[("action", action_dim)]),
        normalisation: vec!["obs and action by the checkpoint's LinearNormalizer".to_owned()],
        ignored,
        ..report::settings(&policy)
    };
    Ok(Imported {
        config: policy,
        tensors,
        summary,
    })
}

/// Entry of the checkpoint.
fn item(pickle: &Pickle, root: Id, key: &str) -> Result<Id> {
    pickle.item(root, key).with_context(|| {
        let keys = pickle.entries(root).iter();
        let keys: Vec<_> = keys.filter_map(|(key, _)| pickle.text(*key)).take(8).collect();
        let has = match keys[..] {
            [] => format!("is {}", pickle.get(root).kind()),
            _ => format!("has {keys:?}"),
        };
        format!(
            "a checkpoint of PyTorch without {key:?}; diffusion_policy's has cfg and state_dicts, this one {has}"
        )
    })
}

fn key_of(weights: Weights) -> &'static str {
    match weights {
        Weights::Live => LIVE,
        Weights::Ema => EMA,
    }
}

/// State of the policy with the weights that are asked for, and whether there are the others.
fn choose(pickle: &Pickle, states: Id, wanted: Option<Weights>) -> Result<(Id, Weights, bool)> {
    let (live, ema) = (pickle.item(states, LIVE), pickle.item(states, EMA));
    let has_other = live.is_some() && ema.is_some();
    match (wanted, live, ema) {
        (Some(Weights::Live), Some(live), _) | (None, Some(live), None) => {
            Ok((live, Weights::Live, has_other))
        }
        (Some(Weights::Ema) | None, _, Some(ema)) => Ok((ema, Weights::Ema, has_other)),
        (Some(Weights::Ema), _, None) => {
            bail!("--ema: there is no moving average: state_dicts has no {EMA}")
        }
        _ => bail!("state_dicts has no {LIVE}, the live weights"),
    }
}

/// Original names and tensors by their names without wrappers.
fn names(pickle: &Pickle, weights: Id) -> BTreeMap<String, (String, Id)> {
    let entries = pickle.entries(weights).iter();
    entries
        .filter_map(|(name, id)| {
            let name = pickle.text(*name)?;
            Some((unwrapped(name), (name.to_owned(), *id)))
        })
        .collect()
}

/// What the configuration says about the task: its name, else its runner.
fn clues(cfg: &Node<'_>) -> Result<Clues> {
    let task = cfg.find("task")?;
    let mut name = None;
    if let Some(task) = &task {
        name = task.text("name")?.map(|name| (name, "cfg.task.name"));
    }
    if name.is_none() {
        name = cfg.text("task_name")?.map(|name| (name, "cfg.task_name"));
    }
    if let (None, Some(task)) = (&name, &task)
        && let Some(runner) = task.find("env_runner")?
        && let Some(target) = runner.text("_target_")?
    {
        let class = target.rsplit('.').next().unwrap_or_default().to_owned();
        name = Some((class, "cfg.task.env_runner._target_"));
    }
    Ok(Clues {
        name,
        features: None,
    })
}
