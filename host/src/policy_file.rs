//! File format of the float policy: one safetensors file.
//!
//! - Tensors are `f32` under the names of diffusion_policy's state dict: `model.<module path>` for
//!   the U-Net (`model.down_modules.0.0.blocks.0.block.0.weight`, ...) in PyTorch's layouts, and
//!   `normalizer.params_dict.{obs,action}.{scale,offset}` (normalised = raw * scale + offset).
//! - The header's `__metadata__` has a [`PolicyConfig`] as JSON under `pusht_policy`.

use anyhow::{Context, Result, bail, ensure};
use pusht_core::pusht::observation::ObservationKind;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

const METADATA_KEY: &str = "pusht_policy";

/// A tensor: shape and row-major values.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Extent of each axis.
    pub shape: Vec<usize>,
    /// Values, last axis fastest.
    pub data: Vec<f32>,
}

/// Tensors by name, in the order of their names.
pub type Tensors = BTreeMap<String, Tensor>;

/// Settings of a float policy: everything but its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    /// Observation of a PushT policy; absent for another [`task`](Self::task).
    #[serde(default, skip_serializing_if = "is_default")]
    pub observation: Option<Observation>,
    /// Observations and actions of another task.
    #[serde(default, skip_serializing_if = "is_default")]
    pub task: Option<Task>,
    /// `To`: observations per plan.
    pub n_obs_steps: usize,
    /// `Tp`: actions predicted per plan.
    pub horizon: usize,
    /// `Ta`: actions executed per plan, from prediction `To - 1` (`To` without
    /// `oa_step_convention`).
    pub n_action_steps: usize,
    /// Conditioning of the network on the observations.
    #[serde(default, skip_serializing_if = "is_default")]
    pub conditioning: Conditioning,
    /// Whether only the executed actions are predicted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pred_action_steps_only: bool,
    /// Whether the first executed action belongs to the newest observation, or to the one after.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub oa_step_convention: bool,
    /// The network.
    pub unet: UnetConfig,
    /// The diffusion process.
    pub scheduler: SchedulerConfig,
    /// Passes of the network per plan.
    pub num_inference_steps: usize,
    /// Origin of the actions' coordinates.
    #[serde(default, skip_serializing_if = "is_default")]
    pub action_frame: ActionFrame,
    /// Origin of the weights: command, data, seed, commit.
    #[serde(default)]
    pub provenance: BTreeMap<String, String>,
}

impl PolicyConfig {
    /// Observations and actions, for PushT too.
    ///
    /// # Errors
    /// If the file has neither or both of PushT's observation and another task.
    pub fn task(&self) -> Result<Task> {
        match (&self.observation, &self.task) {
            (Some(observation), None) => Ok(observation.task(self.action_frame)),
            (None, Some(task)) if self.action_frame == ActionFrame::Window => Ok(task.clone()),
            (None, Some(_)) => bail!("action_frame is PushT's; relative_to belongs to the task"),
            (None, None) => bail!("neither observation nor task"),
            (Some(_), Some(_)) => bail!("both observation and task"),
        }
    }
}

/// Observations and actions of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Name, at most 32 bytes.
    pub name: String,
    /// The `Do` values of an observation.
    pub observation: Vec<ObservedValue>,
    /// The `Da` values of an action.
    pub action: Vec<CommandedValue>,
}

/// A value of an observation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObservedValue {
    /// Name, at most 32 bytes.
    pub name: String,
    /// Unit, at most 16 bytes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unit: String,
}

/// A value of an action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandedValue {
    /// Name, at most 32 bytes.
    pub name: String,
    /// Unit, at most 16 bytes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unit: String,
    /// Index of the value in the newest observation that is added; absent for an absolute value.
    #[serde(default, skip_serializing_if = "is_default")]
    pub relative_to: Option<usize>,
    /// Value while there is no plan.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hold: Hold,
}

/// File form of [`pusht_core::quant::Hold`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Value of the last action: for positions.
    #[default]
    Last,
    /// Observed value that a relative action is relative to.
    Observed,
    /// Zero: for velocities and displacements.
    Zero,
}

impl Task {
    /// Task whose values have no names.
    pub fn unnamed(obs_dim: usize, action_dim: usize) -> Self {
        let observed = |index| ObservedValue {
            name: format!("obs_{index}"),
            ..ObservedValue::default()
        };
        let commanded = |index| CommandedValue {
            name: format!("action_{index}"),
            ..CommandedValue::default()
        };
        Self {
            name: String::new(),
            observation: (0..obs_dim).map(observed).collect(),
            action: (0..action_dim).map(commanded).collect(),
        }
    }
}

/// Origin of the predicted actions' coordinates; planned actions are always absolute positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ActionFrame {
    /// Corner of the window: absolute positions, as in diffusion_policy.
    #[default]
    Window,
    /// Agent in the newest observation: displacements, with a smaller range, so that an error of
    /// the network is fewer pixels (relative trajectories of UMI, arXiv 2402.10329).
    Agent,
}

/// File form of [`pusht_core::policy::Conditioning`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conditioning {
    /// All observations together, through FiLM.
    #[default]
    Global,
    /// One observation per position of the trajectory.
    Local,
    /// As part of the trajectory.
    Inpainting,
}

impl From<Conditioning> for pusht_core::policy::Conditioning {
    fn from(conditioning: Conditioning) -> Self {
        match conditioning {
            Conditioning::Global => Self::Global,
            Conditioning::Local => Self::Local,
            Conditioning::Inpainting => Self::Inpainting,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

/// File form of [`ObservationKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Observation {
    /// Five state values.
    State,
    /// Nine keypoints and the agent.
    Keypoints,
    /// Eight vertices and the agent.
    Vertices,
}

impl Observation {
    /// PushT observation of length `obs_dim`.
    pub fn of_dim(obs_dim: usize) -> Option<Self> {
        let all = [Self::State, Self::Keypoints, Self::Vertices];
        let dim = |kind: &Self| ObservationKind::from(*kind).dim();
        all.into_iter().find(|kind| dim(kind) == obs_dim)
    }

    /// Task with these observations and actions relative to `frame`.
    pub fn task(self, frame: ActionFrame) -> Task {
        let kind = ObservationKind::from(self);
        let value = |name: &str, unit: &str| ObservedValue {
            name: name.to_owned(),
            unit: unit.to_owned(),
        };
        let points = |what: &str, n: usize| {
            let point = |index| ["x", "y"].map(|axis| format!("{what}_{index}_{axis}"));
            let names: Vec<String> = (0..n).flat_map(point).collect();
            let agent = ["agent_x".to_owned(), "agent_y".to_owned()];
            let names = names.into_iter().chain(agent);
            names.map(|name| value(&name, "px")).collect()
        };
        let observation = match self {
            Self::State => ["agent_x", "agent_y", "block_x", "block_y"]
                .map(|name| value(name, "px"))
                .into_iter()
                .chain([value("block_angle", "rad")])
                .collect(),
            Self::Keypoints => points("keypoint", 9),
            Self::Vertices => points("vertex", 8),
        };
        let target = |(axis, name): (usize, &str)| CommandedValue {
            name: name.to_owned(),
            unit: "px".to_owned(),
            relative_to: (frame == ActionFrame::Agent).then_some(kind.agent_at() + axis),
            hold: match frame {
                ActionFrame::Window => Hold::Last,
                ActionFrame::Agent => Hold::Observed,
            },
        };
        Task {
            name: kind.task().to_owned(),
            observation,
            action: ["target_x", "target_y"]
                .into_iter()
                .enumerate()
                .map(target)
                .collect(),
        }
    }
}

impl From<Observation> for ObservationKind {
    fn from(observation: Observation) -> Self {
        match observation {
            Observation::State => Self::State,
            Observation::Keypoints => Self::Keypoints,
            Observation::Vertices => Self::Vertices,
        }
    }
}

/// Options of diffusion_policy's `ConditionalUnet1D`, with its names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnetConfig {
    /// Channels of the sample: `Da`, with inpainting `Da + Do`.
    pub input_dim: usize,
    /// Channels of the local condition at each position: `Do`; 0 for none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub local_cond_dim: usize,
    /// Length of the global condition: `To x Do`; 0 for none.
    pub global_cond_dim: usize,
    /// Length of the diffusion step's embedding.
    pub diffusion_step_embed_dim: usize,
    /// Channels of each level.
    pub down_dims: Vec<usize>,
    /// Taps of the convolutions.
    pub kernel_size: usize,
    /// Groups of the normalisation.
    pub n_groups: usize,
    /// Whether FiLM has a scale in addition to its bias.
    pub cond_predict_scale: bool,
}

/// Options of diffusers' schedulers, with its names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchedulerConfig {
    /// Sampler.
    pub kind: SchedulerKind,
    /// Steps of the forward process.
    pub num_train_timesteps: usize,
    /// First beta, for the schedules that have one.
    pub beta_start: f32,
    /// Last beta, for the same schedules.
    pub beta_end: f32,
    /// `linear`, `scaled_linear`, `squaredcos_cap_v2` or `sigmoid`.
    pub beta_schedule: String,
    /// `epsilon`, `sample` or `v_prediction`; `flow_prediction` with flow matching.
    pub prediction_type: String,
    /// Whether the predicted clean sample is clipped.
    pub clip_sample: bool,
    /// Limit of the clipping.
    pub clip_sample_range: f32,
    /// DDPM only: `fixed_small`, `fixed_small_log`, `fixed_large`, `fixed_large_log`.
    pub variance_type: String,
    /// DDIM only: whether the step before the first has alpha 1.
    pub set_alpha_to_one: bool,
    /// Offset added to the inference steps.
    pub steps_offset: usize,
    /// `leading`, `trailing` or `linspace`.
    pub timestep_spacing: String,
    /// Betas to use instead of `beta_schedule`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub trained_betas: Option<Vec<f32>>,
    /// Rescales the schedule so that the last step is pure noise.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rescale_betas_zero_snr: bool,
    /// Dynamic thresholding instead of clipping.
    #[serde(default, skip_serializing_if = "is_default")]
    pub thresholding: Option<Thresholding>,
    /// DDIM only: weight of the noise that a step adds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub eta: f32,
    /// DDIM only: whether the predicted noise is recomputed from the clipped x_0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub use_clipped_model_output: bool,
}

/// Options of dynamic thresholding, with diffusers' names.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholding {
    /// Quantile of the magnitudes used as threshold.
    pub dynamic_thresholding_ratio: f32,
    /// Upper limit of the threshold.
    pub sample_max_value: f32,
}

impl Default for SchedulerConfig {
    /// diffusion_policy's settings for PushT, with DDIM: 100 steps, squared cosine, noise output.
    fn default() -> Self {
        Self {
            kind: SchedulerKind::Ddim,
            num_train_timesteps: 100,
            beta_start: 1e-4,
            beta_end: 0.02,
            beta_schedule: "squaredcos_cap_v2".into(),
            prediction_type: "epsilon".into(),
            clip_sample: true,
            clip_sample_range: 1.0,
            variance_type: "fixed_small".into(),
            set_alpha_to_one: true,
            steps_offset: 0,
            timestep_spacing: "leading".into(),
            trained_betas: None,
            rescale_betas_zero_snr: false,
            thresholding: None,
            eta: 0.0,
            use_clipped_model_output: false,
        }
    }
}

/// Kind of sampler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum SchedulerKind {
    /// Ho et al. 2020, arXiv 2006.11239.
    #[serde(rename = "DDPM")]
    Ddpm,
    /// Song et al. 2020, arXiv 2010.02502.
    #[serde(rename = "DDIM")]
    Ddim,
    /// Euler's method along a straight flow, arXiv 2210.02747; the network predicts the velocity.
    #[serde(rename = "FlowMatchEuler")]
    FlowMatchEuler,
}

/// Writes a policy; an existing file is replaced atomically.
///
/// # Errors
/// If the file can't be written; no partial file remains.
pub fn save(path: &Path, config: &PolicyConfig, tensors: &Tensors) -> Result<()> {
    let bytes: BTreeMap<&str, Vec<u8>> = tensors
        .iter()
        .map(|(name, tensor)| {
            let bytes = tensor.data.iter().flat_map(|v| v.to_le_bytes()).collect();
            (name.as_str(), bytes)
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, tensor)| {
            let view = TensorView::new(Dtype::F32, tensor.shape.clone(), &bytes[name.as_str()])?;
            Ok((name.as_str(), view))
        })
        .collect::<Result<Vec<_>>>()?;
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), serde_json::to_string(config)?)]);
    let file = safetensors::serialize(views, Some(metadata))?;
    write_whole(path, &file)
}

/// Writes `bytes` to a temporary file and renames it to `path`, so that no reader sees a part.
///
/// # Errors
/// If the file can't be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let context = || format!("{}: can't write", path.display());
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(context)?;
    file.write_all(bytes).with_context(context)?;
    // Temporary files are private to their owner; the result is not.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o644);
        file.as_file().set_permissions(mode).with_context(context)?;
    }
    file.persist(path).with_context(context)?;
    Ok(())
}

/// Reads a policy and checks that every value is a finite `f32`.
///
/// # Errors
/// If the file can't be read or is invalid; the error names the file.
pub fn load(path: &Path) -> Result<(PolicyConfig, Tensors)> {
    let bytes = std::fs::read(path).with_context(|| format!("{}: can't read", path.display()))?;
    parse(&bytes).with_context(|| format!("{}: not a float policy", path.display()))
}

/// Parses the bytes of a policy file.
///
/// # Errors
/// If they are not a valid policy.
pub fn parse(bytes: &[u8]) -> Result<(PolicyConfig, Tensors)> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let file = SafeTensors::deserialize(bytes)?;
    let Some(json) = header.metadata().as_ref().and_then(|m| m.get(METADATA_KEY)) else {
        bail!("its metadata has no {METADATA_KEY}");
    };
    let config = serde_json::from_str(json).with_context(|| format!("metadata {METADATA_KEY}"))?;
    let mut tensors = Tensors::new();
    for (name, view) in file.tensors() {
        ensure!(
            view.dtype() == Dtype::F32,
            "tensor {name} is {:?}, not F32",
            view.dtype()
        );
        let data: Vec<f32> = view
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect();
        ensure!(
            data.iter().all(|v| v.is_finite()),
            "tensor {name} has values that are not finite"
        );
        let shape = view.shape().to_vec();
        tensors.insert(name, Tensor { shape, data });
    }
    Ok((config, tensors))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> PolicyConfig {
        PolicyConfig {
            observation: Some(Observation::Vertices),
            task: None,
            n_obs_steps: 2,
            horizon: 16,
            n_action_steps: 8,
            conditioning: Conditioning::Global,
            pred_action_steps_only: false,
            oa_step_convention: true,
            unet: UnetConfig {
                input_dim: 2,
                local_cond_dim: 0,
                global_cond_dim: 36,
                diffusion_step_embed_dim: 32,
                down_dims: vec![32, 64, 128],
                kernel_size: 3,
                n_groups: 8,
                cond_predict_scale: true,
            },
            scheduler: SchedulerConfig::default(),
            num_inference_steps: 10,
            action_frame: ActionFrame::Window,
            provenance: BTreeMap::from([("seed".into(), "0".into())]),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.safetensors");
        let tensor = Tensor {
            shape: vec![2, 2],
            data: vec![1.0, -2.5, 0.1, 3.0],
        };
        let tensors = Tensors::from([("model.a".into(), tensor)]);
        save(&path, &config(), &tensors).unwrap();
        assert_eq!(load(&path).unwrap(), (config(), tensors));
    }

    #[test]
    fn a_truncated_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.safetensors");
        save(&path, &config(), &Tensors::new()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        let message = format!("{:#}", load(&path).unwrap_err());
        assert!(message.contains("policy.safetensors"), "{message}");
    }
}
