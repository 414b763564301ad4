//! LeRobot's diffusion policies without images: `config.json`, `model.safetensors`, and since
//! version 0.4 the normalisation statistics in `policy_{pre,post}processor*.safetensors`.

use crate::policy_file::{
    ActionFrame, Conditioning, Observation, PolicyConfig, SchedulerConfig, SchedulerKind, Task,
    Tensor, Tensors, UnetConfig,
};
use anyhow::{Context, Result, bail, ensure};
use safetensors::tensor::{Dtype, SafeTensors};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

const STATE: &str = "observation.state";
const ENVIRONMENT: &str = "observation.environment_state";
const ACTION: &str = "action";

/// Dimensions of the features in PushT with keypoints.
const PUSHT_DIMS: Dims = Dims {
    state: 2,
    environment: 16,
    action: 2,
};

/// Lower bound of denominators (`eps` in `normalize_processor.py`).
const EPS: f32 = 1e-8;

/// Options of `config.json` that inference needs, with LeRobot's defaults.
#[derive(Deserialize)]
struct Config {
    #[serde(rename = "type")]
    kind: Option<String>,
    input_features: Option<BTreeMap<String, Feature>>,
    output_features: Option<BTreeMap<String, Feature>>,
    normalization_mapping: Option<BTreeMap<String, String>>,
    // Field names before version 0.2.
    input_shapes: Option<BTreeMap<String, Vec<usize>>>,
    output_shapes: Option<BTreeMap<String, Vec<usize>>>,
    input_normalization_modes: Option<BTreeMap<String, String>>,
    output_normalization_modes: Option<BTreeMap<String, String>>,
    n_obs_steps: usize,
    horizon: usize,
    n_action_steps: usize,
    down_dims: Vec<usize>,
    kernel_size: usize,
    n_groups: usize,
    diffusion_step_embed_dim: usize,
    use_film_scale_modulation: bool,
    noise_scheduler_type: String,
    num_train_timesteps: usize,
    beta_schedule: String,
    beta_start: f32,
    beta_end: f32,
    prediction_type: String,
    clip_sample: bool,
    clip_sample_range: f32,
    num_inference_steps: Option<usize>,
}

#[derive(Deserialize)]
struct Feature {
    #[serde(rename = "type")]
    kind: String,
    shape: Vec<usize>,
}

/// Dimensions of a policy's features; 0 for a missing feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dims {
    state: usize,
    environment: usize,
    action: usize,
}

/// Reads the policy in `folder`. Observations are `observation.state`, then
/// `observation.environment_state`; with PushT's dimensions and no `task`, the agent is last.
pub fn read(folder: &Path, task: Option<Task>) -> Result<(PolicyConfig, Tensors)> {
    let text = std::fs::read_to_string(folder.join("config.json")).context("config.json")?;
    let config: Config = serde_json::from_str(&text).context("config.json")?;
    if let Some(kind) = config.kind.as_deref().filter(|kind| *kind != "diffusion") {
        bail!("policies of type {kind:?} are not served, only \"diffusion\"");
    }
    let dims = config.dims()?;
    let is_pusht = task.is_none() && dims == PUSHT_DIMS;
    let weights = f32_tensors(&folder.join("model.safetensors"))?;
    let statistics = statistics(folder, &weights)?;
    let mut tensors = Tensors::new();
    for (name, tensor) in &weights {
        if let Some(name) = name.strip_prefix("diffusion.unet.") {
            let tensor = match is_pusht && name.ends_with("cond_encoder.1.weight") {
                true => config.agent_last(tensor)?,
                false => tensor.clone(),
            };
            tensors.insert(format!("model.{}", our_name(name)), tensor);
        }
    }
    let environment = config.affine(ENVIRONMENT, dims.environment, &statistics)?;
    let state = config.affine(STATE, dims.state, &statistics)?;
    let action = config.affine(ACTION, dims.action, &statistics)?;
    let observation = match is_pusht {
        true => [environment, state],
        false => [state, environment],
    };
    insert_affine(&mut tensors, "obs", observation.concat());
    insert_affine(&mut tensors, "action", action);
    let task = match is_pusht {
        true => None,
        false => {
            Some(task.unwrap_or_else(|| Task::unnamed(dims.state + dims.environment, dims.action)))
        }
    };
    Ok((config.policy(dims, task)?, tensors))
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

impl Config {
    /// Shapes of the inputs or outputs, by feature.
    fn shapes(&self, inputs: bool) -> Result<BTreeMap<&str, &[usize]>> {
        let (features, shapes) = match inputs {
            true => (&self.input_features, &self.input_shapes),
            false => (&self.output_features, &self.output_shapes),
        };
        match (features, shapes) {
            (Some(features), _) => Ok(features
                .iter()
                .map(|(name, feature)| (name.as_str(), feature.shape.as_slice()))
                .collect()),
            (None, Some(shapes)) => Ok(shapes
                .iter()
                .map(|(name, shape)| (name.as_str(), shape.as_slice()))
                .collect()),
            (None, None) => bail!("config.json names no features"),
        }
    }

    /// Dimensions of the features; fails for features that are not vectors.
    fn dims(&self) -> Result<Dims> {
        let (inputs, outputs) = (self.shapes(true)?, self.shapes(false)?);
        if let Some(image) = inputs.keys().find(|name| name.contains("image")) {
            bail!("its input {image:?} is an image; only low-dimensional policies are served");
        }
        if let Some(other) = inputs.keys().find(|n| ![STATE, ENVIRONMENT].contains(n)) {
            bail!("its input {other:?} is not served, only {STATE:?} and {ENVIRONMENT:?}");
        }
        let dim = |shapes: &BTreeMap<&str, &[usize]>, name| match shapes.get(name).copied() {
            None => Ok(0),
            Some([dim]) => Ok(*dim),
            Some(shape) => bail!("{name:?} has shape {shape:?}, not one row of values"),
        };
        let dims = Dims {
            state: dim(&inputs, STATE)?,
            environment: dim(&inputs, ENVIRONMENT)?,
            action: dim(&outputs, ACTION)?,
        };
        ensure!(
            dims.state + dims.environment > 0 && dims.action > 0,
            "it has no {STATE:?} or no {ACTION:?}"
        );
        Ok(dims)
    }

    /// Normalisation mode of a feature: `MIN_MAX`, `MEAN_STD` or `IDENTITY`.
    fn normalization(&self, feature: &str) -> String {
        let old = [
            &self.input_normalization_modes,
            &self.output_normalization_modes,
        ];
        let old = old
            .into_iter()
            .flatten()
            .find_map(|modes| modes.get(feature));
        let features = [&self.input_features, &self.output_features];
        let features = features.into_iter().flatten();
        let kind = features.flat_map(|all| all.get(feature)).next();
        let new = kind.and_then(|f| self.normalization_mapping.as_ref()?.get(&f.kind));
        new.or(old)
            .map_or("IDENTITY".to_owned(), |mode| mode.to_uppercase())
    }

    /// Scale and offset of each value of a feature.
    fn affine(&self, feature: &str, dim: usize, statistics: &Tensors) -> Result<Vec<[f32; 2]>> {
        let find = |kind: &str| {
            let tensor = statistics.get(&format!("{feature}.{kind}"));
            let tensor =
                tensor.with_context(|| format!("no statistics for {feature:?} ({kind})"))?;
            ensure!(
                tensor.data.len() == dim,
                "the statistics for {feature:?} ({kind}) have {} values, not {dim}",
                tensor.data.len()
            );
            Ok(&tensor.data)
        };
        let pairs = |first: &[f32], second: &[f32], affine: fn(f32, f32) -> [f32; 2]| {
            first
                .iter()
                .zip(second)
                .map(|(a, b)| affine(*a, *b))
                .collect()
        };
        if dim == 0 {
            return Ok(Vec::new());
        }
        match self.normalization(feature).as_str() {
            "IDENTITY" => Ok(vec![[1.0, 0.0]; dim]),
            "MIN_MAX" => Ok(pairs(find("min")?, find("max")?, |min, max| {
                let range = if max == min { EPS } else { max - min };
                let scale = 2.0 / range;
                [scale, -1.0 - min * scale]
            })),
            "MEAN_STD" => Ok(pairs(find("mean")?, find("std")?, |mean, std| {
                let scale = 1.0 / (std + EPS);
                [scale, -mean * scale]
            })),
            other => bail!("normalisation {other} of {feature:?} is not served"),
        }
    }

    /// Reorders the columns of FiLM's weight, per observation step: LeRobot has the agent first.
    fn agent_last(&self, weight: &Tensor) -> Result<Tensor> {
        let obs_dim = PUSHT_DIMS.state + PUSHT_DIMS.environment;
        let columns = self.diffusion_step_embed_dim + self.n_obs_steps * obs_dim;
        ensure!(
            weight.shape.len() == 2 && weight.shape[1] == columns,
            "a FiLM weight has shape {:?}, not {columns} columns",
            weight.shape
        );
        let mut data = weight.data.clone();
        for row in data.chunks_exact_mut(columns) {
            for observation in row[self.diffusion_step_embed_dim..].chunks_exact_mut(obs_dim) {
                observation.rotate_left(PUSHT_DIMS.state);
            }
        }
        let shape = weight.shape.clone();
        Ok(Tensor { shape, data })
    }

    fn policy(&self, dims: Dims, task: Option<Task>) -> Result<PolicyConfig> {
        let kind = match self.noise_scheduler_type.as_str() {
            "DDPM" => SchedulerKind::Ddpm,
            "DDIM" => SchedulerKind::Ddim,
            other => bail!("noise_scheduler_type {other:?} is not served"),
        };
        Ok(PolicyConfig {
            observation: task.is_none().then_some(Observation::Vertices),
            task,
            n_obs_steps: self.n_obs_steps,
            horizon: self.horizon,
            n_action_steps: self.n_action_steps,
            conditioning: Conditioning::Global,
            pred_action_steps_only: false,
            oa_step_convention: true,
            unet: UnetConfig {
                input_dim: dims.action,
                local_cond_dim: 0,
                global_cond_dim: self.n_obs_steps * (dims.state + dims.environment),
                diffusion_step_embed_dim: self.diffusion_step_embed_dim,
                down_dims: self.down_dims.clone(),
                kernel_size: self.kernel_size,
                n_groups: self.n_groups,
                cond_predict_scale: self.use_film_scale_modulation,
            },
            scheduler: SchedulerConfig {
                kind,
                num_train_timesteps: self.num_train_timesteps,
                beta_start: self.beta_start,
                beta_end: self.beta_end,
                beta_schedule: self.beta_schedule.clone(),
                prediction_type: self.prediction_type.clone(),
                clip_sample: self.clip_sample,
                clip_sample_range: self.clip_sample_range,
                ..SchedulerConfig::default()
            },
            num_inference_steps: self.num_inference_steps.unwrap_or(self.num_train_timesteps),
            action_frame: ActionFrame::Window,
            provenance: BTreeMap::from([("imported from".into(), "LeRobot".into())]),
        })
    }
}

fn insert_affine(tensors: &mut Tensors, field: &str, affine: Vec<[f32; 2]>) {
    for (index, kind) in ["scale", "offset"].into_iter().enumerate() {
        let data: Vec<f32> = affine.iter().map(|pair| pair[index]).collect();
        let shape = vec![data.len()];
        let name = format!("normalizer.params_dict.{field}.{kind}");
        tensors.insert(name, Tensor { shape, data });
    }
}

/// Statistics as `<feature>.<kind>`, from the processors' files or the buffers among the weights.
fn statistics(folder: &Path, weights: &Tensors) -> Result<Tensors> {
    let mut found = Tensors::new();
    for feature in [STATE, ENVIRONMENT, ACTION] {
        let owner = match feature {
            ACTION => "unnormalize_outputs",
            _ => "normalize_inputs",
        };
        let buffer = format!("{owner}.buffer_{}.", feature.replace('.', "_"));
        for (name, tensor) in weights {
            if let Some(kind) = name.strip_prefix(&buffer) {
                found.insert(format!("{feature}.{kind}"), tensor.clone());
            }
        }
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let processor =
            name.starts_with("policy_preprocessor") || name.starts_with("policy_postprocessor");
        if processor && name.ends_with(".safetensors") {
            found.extend(f32_tensors(&path)?);
        }
    }
    Ok(found)
}

/// Reads the `f32` tensors of a safetensors file.
fn f32_tensors(path: &Path) -> Result<Tensors> {
    let context = || path.display().to_string();
    let bytes = std::fs::read(path).with_context(context)?;
    let file = SafeTensors::deserialize(&bytes).with_context(context)?;
    let tensors = file.tensors().into_iter();
    let tensors = tensors.filter(|(_, view)| view.dtype() == Dtype::F32);
    Ok(tensors
        .map(|(name, view)| {
            let chunks = view.data().as_chunks().0.iter();
            let data = chunks.map(|b| f32::from_le_bytes(*b)).collect();
            let shape = view.shape().to_vec();
            (name, Tensor { shape, data })
        })
        .collect())
}
