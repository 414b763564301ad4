//! Settings of a float policy, as they stand in its file.

use super::{ActionFrame, Observation, Task, is_default};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// Predicted actions skipped before the executed ones: as many control ticks as a plan takes
    /// from its newest observation to its first action.
    #[serde(default, skip_serializing_if = "is_default")]
    pub n_latency_steps: usize,
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
    /// Positions of the trajectory: `Tp`, or the executed and skipped actions if only they are
    /// predicted.
    pub fn trajectory_len(&self) -> usize {
        match self.pred_action_steps_only {
            true => self.n_latency_steps.saturating_add(self.n_action_steps),
            false => self.horizon,
        }
    }

    /// Index of the first executed prediction.
    pub fn first_action(&self) -> usize {
        let first = match (self.pred_action_steps_only, self.oa_step_convention) {
            (true, _) => 0,
            (false, true) => self.n_obs_steps.saturating_sub(1),
            (false, false) => self.n_obs_steps,
        };
        first.saturating_add(self.n_latency_steps)
    }

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

/// File form of [`pusht_core::policy::Conditioning`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
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
