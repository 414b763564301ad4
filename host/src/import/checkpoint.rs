//! Low-dimensional checkpoints of diffusion_policy: a PyTorch archive with its Hydra configuration.

use super::pickle::{Id, Object, Pickle};
use crate::policy_file::{
    ActionFrame, Conditioning, Observation, PolicyConfig, SchedulerConfig, SchedulerKind, Task,
    Tensor, Tensors, Thresholding, UnetConfig,
};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use zip::ZipArchive;

const POLICY: &str = "DiffusionUnetLowdimPolicy";

/// Largest size of a pickle, bytes: weights are stored outside of it.
const MAX_PICKLE_BYTES: u64 = 1 << 26;

/// Reads the checkpoint at `path`, with EMA weights if present. Without a `task`, it is a policy of
/// PushT if it has PushT's dimensions.
pub fn read(path: &Path, task: Option<Task>) -> Result<(PolicyConfig, Tensors)> {
    let mut archive = ZipArchive::new(File::open(path)?)?;
    let name = archive
        .file_names()
        .find(|name| name.ends_with("/data.pkl"));
    let name = name.context("the archive has no data.pkl")?.to_owned();
    let mut bytes = Vec::new();
    let entry = archive.by_name(&name)?;
    entry.take(MAX_PICKLE_BYTES).read_to_end(&mut bytes)?;
    let pickle = Pickle::parse(&bytes)?;

    let root = pickle.root();
    let cfg = pickle.item(root, "cfg").context("it has no cfg")?;
    let config = Node {
        pickle: &pickle,
        root: cfg,
        id: cfg,
    };
    let policy = policy_config(config, task)?;

    let states = pickle
        .item(root, "state_dicts")
        .context("it has no state_dicts")?;
    let averaged = pickle.item(states, "ema_model");
    let weights = averaged.or_else(|| pickle.item(states, "model"));
    let weights = weights.context("state_dicts has no model")?;
    let folder = name.trim_end_matches("data.pkl");
    let mut tensors = Tensors::new();
    for (name, value) in pickle.entries(weights) {
        let Some(name) = pickle.text(*name) else {
            continue;
        };
        let affine = name.ends_with(".scale") || name.ends_with(".offset");
        if name.starts_with("model.") || (name.starts_with("normalizer.params_dict.") && affine) {
            let tensor = tensor(&pickle, *value, &mut archive, folder);
            tensors.insert(
                name.to_owned(),
                tensor.with_context(|| format!("tensor {name}"))?,
            );
        }
    }
    Ok((policy, tensors))
}

/// Reads `torch._utils._rebuild_tensor_v2((.., FloatStorage, key, ..), offset, size, stride, ..)`.
fn tensor(pickle: &Pickle, id: Id, archive: &mut ZipArchive<File>, folder: &str) -> Result<Tensor> {
    let Object::Call {
        function,
        arguments,
        ..
    } = pickle.get(id)
    else {
        bail!("is no tensor");
    };
    let rebuild = Object::Global("torch._utils._rebuild_tensor_v2".into());
    ensure!(*pickle.get(*function) == rebuild, "is not a plain tensor");
    let [storage, offset, size, stride, ..] = pickle.elements(*arguments) else {
        bail!("has too few parts");
    };
    let Object::Persistent(storage) = pickle.get(*storage) else {
        bail!("has no storage");
    };
    let [_, kind, key, ..] = pickle.elements(*storage) else {
        bail!("has no storage");
    };
    let floats = Object::Global("torch.FloatStorage".into());
    ensure!(*pickle.get(*kind) == floats, "is not of float32");
    let key = pickle.text(*key).context("its storage has no name")?;
    let shape = sizes(pickle, *size)?;
    let strides = sizes(pickle, *stride)?;
    let mut contiguous = 1;
    for (size, stride) in shape.iter().zip(&strides).rev() {
        ensure!(*size <= 1 || *stride == contiguous, "is not contiguous");
        contiguous *= size;
    }
    let offset = match pickle.get(*offset) {
        Object::Int(offset) => usize::try_from(*offset)?,
        _ => bail!("has no offset"),
    };
    let mut bytes = Vec::new();
    archive
        .by_name(&format!("{folder}data/{key}"))?
        .read_to_end(&mut bytes)?;
    let values = bytes.as_chunks().0;
    let values = values.get(offset..offset.saturating_add(contiguous));
    let values = values.context("reaches past its storage")?;
    let data: Vec<f32> = values.iter().map(|b| f32::from_le_bytes(*b)).collect();
    ensure!(
        data.iter().all(|v| v.is_finite()),
        "has values that are not finite"
    );
    Ok(Tensor { shape, data })
}

fn sizes(pickle: &Pickle, id: Id) -> Result<Vec<usize>> {
    let sizes = pickle.elements(id).iter();
    sizes
        .map(|id| match pickle.get(*id) {
            Object::Int(size) if (0..1 << 32).contains(size) => Ok(*size as usize),
            _ => bail!("has a size that is no number"),
        })
        .collect()
}

/// Node of the Hydra configuration, an OmegaConf object with `_content` or `_val`.
#[derive(Clone, Copy)]
struct Node<'p> {
    pickle: &'p Pickle,
    root: Id,
    id: Id,
}

impl<'p> Node<'p> {
    /// Attribute `name` of a node's object.
    fn kept(self, name: &str) -> Option<Id> {
        match self.pickle.get(self.id) {
            Object::Call {
                state: Some(state), ..
            } => self.pickle.item(*state, name),
            _ => None,
        }
    }

    fn find(self, key: &str) -> Option<Self> {
        let content = self.kept("_content").unwrap_or(self.id);
        let id = self.pickle.item(content, key)?;
        Some(Self { id, ..self })
    }

    fn child(self, key: &str) -> Result<Self> {
        self.find(key).with_context(|| format!("cfg has no {key}"))
    }

    /// Plain value, with `${name}` resolved at the top level.
    fn value(self) -> Result<&'p Object> {
        let value = self.pickle.get(self.kept("_val").unwrap_or(self.id));
        let Object::Text(text) = value else {
            return Ok(value);
        };
        match text
            .strip_prefix("${")
            .and_then(|text| text.strip_suffix('}'))
        {
            None => Ok(value),
            Some(name) => {
                let top = Self {
                    id: self.root,
                    ..self
                };
                let target = top.child(name)?;
                let value = self.pickle.get(target.kept("_val").unwrap_or(target.id));
                ensure!(
                    !matches!(value, Object::Text(text) if text.starts_with("${")),
                    "cfg: {name} is not resolved"
                );
                Ok(value)
            }
        }
    }

    fn int(self, key: &str) -> Result<usize> {
        match self.child(key)?.value()? {
            Object::Int(value) => Ok(usize::try_from(*value)?),
            other => bail!("cfg: {key} is {other:?}, no size"),
        }
    }

    fn int_or(self, key: &str, default: usize) -> Result<usize> {
        match self.find(key).map(Self::value).transpose()? {
            None | Some(Object::None) => Ok(default),
            Some(_) => self.int(key),
        }
    }

    fn float_or(self, key: &str, default: f64) -> Result<f32> {
        match self.find(key).map(Self::value).transpose()? {
            None => Ok(default as f32),
            Some(Object::Float(value)) => Ok(*value as f32),
            Some(Object::Int(value)) => Ok(*value as f32),
            Some(other) => bail!("cfg: {key} is {other:?}, no number"),
        }
    }

    fn flag_or(self, key: &str, default: bool) -> Result<bool> {
        match self.find(key).map(Self::value).transpose()? {
            None => Ok(default),
            Some(Object::Bool(value)) => Ok(*value),
            Some(other) => bail!("cfg: {key} is {other:?}, neither true nor false"),
        }
    }

    fn text_or(self, key: &str, default: &str) -> Result<String> {
        match self.find(key).map(Self::value).transpose()? {
            None => Ok(default.to_owned()),
            Some(Object::Text(value)) => Ok(value.clone()),
            Some(other) => bail!("cfg: {key} is {other:?}, no text"),
        }
    }

    /// Elements of a list node.
    fn elements(self) -> impl Iterator<Item = Self> {
        let content = self.kept("_content").unwrap_or(self.id);
        let elements = self.pickle.elements(content).iter();
        elements.map(move |id| Self { id: *id, ..self })
    }

    fn ints(self, key: &str) -> Result<Vec<usize>> {
        self.child(key)?
            .elements()
            .map(|element| match element.value()? {
                Object::Int(value) => Ok(usize::try_from(*value)?),
                other => bail!("cfg: {key} holds {other:?}"),
            })
            .collect()
    }

    fn floats(self, key: &str) -> Result<Option<Vec<f32>>> {
        let Some(list) = self.find(key) else {
            return Ok(None);
        };
        if *list.value()? == Object::None {
            return Ok(None);
        }
        let numbers = list.elements().map(|element| match element.value()? {
            Object::Float(value) => Ok(*value as f32),
            Object::Int(value) => Ok(*value as f32),
            other => bail!("cfg: {key} holds {other:?}"),
        });
        numbers.collect::<Result<_>>().map(Some)
    }
}

fn policy_config(cfg: Node<'_>, task: Option<Task>) -> Result<PolicyConfig> {
    let policy = cfg.child("policy")?;
    let target = policy.text_or("_target_", "")?;
    if target.rsplit('.').next() != Some(POLICY) {
        bail!("policies of class {target:?} are not served, only {POLICY}");
    }
    let (obs_dim, action_dim) = (policy.int("obs_dim")?, policy.int("action_dim")?);
    let observation = match &task {
        None if action_dim == crate::data::ACTION_DIM => Observation::of_dim(obs_dim),
        _ => None,
    };
    let task = match observation {
        Some(_) => None,
        None => Some(task.unwrap_or_else(|| Task::unnamed(obs_dim, action_dim))),
    };
    let mut scheduler = scheduler(policy.child("noise_scheduler")?)?;
    // Other arguments of the policy are passed to the scheduler's step.
    scheduler.eta = policy.float_or("eta", 0.0)?;
    scheduler.use_clipped_model_output = policy.flag_or("use_clipped_model_output", false)?;
    let n_obs_steps = policy.int("n_obs_steps")?;
    let (local, global) = (
        policy.flag_or("obs_as_local_cond", false)?,
        policy.flag_or("obs_as_global_cond", false)?,
    );
    let conditioning = match (local, global) {
        (false, true) => Conditioning::Global,
        (true, false) => Conditioning::Local,
        (false, false) => Conditioning::Inpainting,
        (true, true) => bail!("obs_as_local_cond and obs_as_global_cond contradict each other"),
    };
    Ok(PolicyConfig {
        observation,
        task,
        n_obs_steps,
        horizon: policy.int("horizon")?,
        n_action_steps: policy.int("n_action_steps")?,
        conditioning,
        pred_action_steps_only: policy.flag_or("pred_action_steps_only", false)?,
        oa_step_convention: policy.flag_or("oa_step_convention", false)?,
        unet: unet(policy.child("model")?)?,
        num_inference_steps: policy.int_or("num_inference_steps", scheduler.num_train_timesteps)?,
        scheduler,
        action_frame: ActionFrame::Window,
        provenance: BTreeMap::from([("imported from".into(), "diffusion_policy".into())]),
    })
}

/// Reads the U-Net's options, with the defaults of `ConditionalUnet1D`.
fn unet(model: Node<'_>) -> Result<UnetConfig> {
    Ok(UnetConfig {
        input_dim: model.int("input_dim")?,
        local_cond_dim: model.int_or("local_cond_dim", 0)?,
        global_cond_dim: model.int_or("global_cond_dim", 0)?,
        diffusion_step_embed_dim: model.int_or("diffusion_step_embed_dim", 256)?,
        down_dims: model.ints("down_dims")?,
        kernel_size: model.int_or("kernel_size", 3)?,
        n_groups: model.int_or("n_groups", 8)?,
        cond_predict_scale: model.flag_or("cond_predict_scale", false)?,
    })
}

/// Reads the scheduler's options, with the defaults of diffusers.
fn scheduler(options: Node<'_>) -> Result<SchedulerConfig> {
    let target = options.text_or("_target_", "")?;
    let kind = match target.rsplit('.').next() {
        Some("DDPMScheduler") => SchedulerKind::Ddpm,
        Some("DDIMScheduler") => SchedulerKind::Ddim,
        _ => bail!("schedulers of class {target:?} are not served"),
    };
    let thresholding = options.flag_or("thresholding", false)?;
    let thresholding = thresholding.then_some(Thresholding {
        dynamic_thresholding_ratio: options.float_or("dynamic_thresholding_ratio", 0.995)?,
        sample_max_value: options.float_or("sample_max_value", 1.0)?,
    });
    Ok(SchedulerConfig {
        kind,
        num_train_timesteps: options.int_or("num_train_timesteps", 1000)?,
        beta_start: options.float_or("beta_start", 1e-4)?,
        beta_end: options.float_or("beta_end", 0.02)?,
        beta_schedule: options.text_or("beta_schedule", "linear")?,
        prediction_type: options.text_or("prediction_type", "epsilon")?,
        clip_sample: options.flag_or("clip_sample", true)?,
        clip_sample_range: options.float_or("clip_sample_range", 1.0)?,
        variance_type: options.text_or("variance_type", "fixed_small")?,
        set_alpha_to_one: options.flag_or("set_alpha_to_one", true)?,
        steps_offset: options.int_or("steps_offset", 0)?,
        timestep_spacing: options.text_or("timestep_spacing", "leading")?,
        trained_betas: options.floats("trained_betas")?,
        rescale_betas_zero_snr: options.flag_or("rescale_betas_zero_snr", false)?,
        thresholding,
        eta: 0.0,
        use_clipped_model_output: false,
    })
}
