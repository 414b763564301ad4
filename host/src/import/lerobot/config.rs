//! LeRobot's `config.json` and `train_config.json`.

use super::{ACTION, ENVIRONMENT, STATE};
use crate::policy_file::{
    ActionFrame, Conditioning, MAX_DIM, PolicyConfig, SchedulerConfig, SchedulerKind, UnetConfig,
};
use anyhow::{Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Options of `config.json` that inference needs.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct Config {
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
    use_peft: bool,
    pub(super) n_obs_steps: usize,
    horizon: usize,
    n_action_steps: usize,
    down_dims: Vec<usize>,
    kernel_size: usize,
    n_groups: usize,
    pub(super) diffusion_step_embed_dim: usize,
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

impl Default for Config {
    /// LeRobot's defaults (`DiffusionConfig`).
    fn default() -> Self {
        Self {
            kind: None,
            input_features: None,
            output_features: None,
            normalization_mapping: None,
            input_shapes: None,
            output_shapes: None,
            input_normalization_modes: None,
            output_normalization_modes: None,
            use_peft: false,
            n_obs_steps: 2,
            horizon: 64,
            n_action_steps: 32,
            down_dims: vec![512, 1024, 2048],
            kernel_size: 5,
            n_groups: 8,
            diffusion_step_embed_dim: 128,
            use_film_scale_modulation: true,
            noise_scheduler_type: "DDPM".into(),
            num_train_timesteps: 100,
            beta_schedule: "squaredcos_cap_v2".into(),
            beta_start: 1e-4,
            beta_end: 0.02,
            prediction_type: "epsilon".into(),
            clip_sample: true,
            clip_sample_range: 1.0,
            num_inference_steps: None,
        }
    }
}

/// Type and shape of a feature.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Feature {
    #[serde(rename = "type")]
    pub(super) kind: String,
    shape: Vec<usize>,
}

/// Numbers of values of a policy's features; 0 for a missing feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) state: usize,
    pub(super) environment: usize,
    pub(super) action: usize,
}

impl Sizes {
    pub(super) fn obs_dim(&self) -> usize {
        self.state.saturating_add(self.environment)
    }
}

impl Config {
    /// Features of the inputs or outputs; before version 0.2 their names are their types.
    fn features(&self, inputs: bool) -> Result<BTreeMap<String, Feature>> {
        let (features, shapes, field) = match inputs {
            true => (&self.input_features, &self.input_shapes, "input_features"),
            false => (
                &self.output_features,
                &self.output_shapes,
                "output_features",
            ),
        };
        let kind = |name: &str| match name {
            STATE => "STATE",
            ENVIRONMENT => "ENV",
            ACTION => "ACTION",
            _ => "VISUAL",
        };
        match (features, shapes) {
            (Some(features), _) => Ok(features.clone()),
            (None, Some(shapes)) => Ok(shapes
                .iter()
                .map(|(name, shape)| {
                    let (kind, shape) = (kind(name).to_owned(), shape.clone());
                    (name.clone(), Feature { kind, shape })
                })
                .collect()),
            (None, None) => bail!("config.json: has no {field}"),
        }
    }

    /// Sizes of the features that the network sees.
    ///
    /// # Errors
    /// If the policy is of another type, sees images, or has features that are not vectors.
    pub(super) fn sizes(&self) -> Result<Sizes> {
        if let Some(kind) = self.kind.as_deref().filter(|kind| *kind != "diffusion") {
            bail!("config.json: type is {kind:?}, only \"diffusion\" is supported");
        }
        ensure!(
            !self.use_peft,
            "config.json: use_peft is true, an adapter of a policy; only whole policies are supported"
        );
        let (inputs, outputs) = (self.features(true)?, self.features(false)?);
        for (name, feature) in &inputs {
            ensure!(
                feature.kind != "VISUAL",
                "config.json: its input {name:?} is an image; only policies without images are supported"
            );
            ensure!(
                feature.kind != "ENV" || name == ENVIRONMENT,
                "config.json: its input {name:?} has the type ENV, only {ENVIRONMENT:?} is supported"
            );
        }
        let size = |features: &BTreeMap<String, Feature>, name, kind| {
            let feature = features.get(name).filter(|feature| feature.kind == kind);
            match feature.map(|feature| &feature.shape[..]) {
                None => Ok(0),
                Some([size]) if *size <= MAX_DIM => Ok(*size),
                Some([size]) => {
                    bail!("config.json: {name:?} has {size} values, up to {MAX_DIM} are supported")
                }
                Some(shape) => {
                    bail!("config.json: {name:?} has shape {shape:?}, only vectors are supported")
                }
            }
        };
        let sizes = Sizes {
            state: size(&inputs, STATE, "STATE")?,
            environment: size(&inputs, ENVIRONMENT, "ENV")?,
            action: size(&outputs, ACTION, "ACTION")?,
        };
        ensure!(
            sizes.obs_dim() > 0,
            "config.json: input_features has neither {STATE:?} (STATE) nor {ENVIRONMENT:?} (ENV)"
        );
        ensure!(
            sizes.action > 0,
            "config.json: output_features has no {ACTION:?} (ACTION)"
        );
        Ok(sizes)
    }

    /// Features that LeRobot's network does not see either.
    pub(super) fn ignored(&self) -> Vec<String> {
        let inputs = self.features(true).unwrap_or_default();
        let outputs = self.features(false).unwrap_or_default();
        let seen = [(STATE, "STATE"), (ENVIRONMENT, "ENV"), (ACTION, "ACTION")];
        let is_seen = |name: &str, kind: &str| seen.contains(&(name, kind));
        let all = inputs.into_iter().chain(outputs);
        all.filter(|(name, feature)| !is_seen(name, &feature.kind))
            .map(|(name, feature)| {
                format!(
                    "feature {name} ({}), which the network does not see",
                    feature.kind
                )
            })
            .collect()
    }

    /// Normalisation mode of a feature before version 0.4.
    pub(super) fn normalization(&self, feature: &str) -> String {
        let old = [
            &self.input_normalization_modes,
            &self.output_normalization_modes,
        ];
        let mut old = old.into_iter().flatten();
        let old = old.find_map(|modes| modes.get(feature));
        let features = [&self.input_features, &self.output_features];
        let mut features = features.into_iter().flatten();
        let kind = features.find_map(|all| all.get(feature));
        let new = kind.and_then(|f| self.normalization_mapping.as_ref()?.get(&f.kind));
        new.or(old)
            .map_or("IDENTITY".to_owned(), |mode| mode.to_uppercase())
    }

    /// Settings of the policy, without a task.
    pub(super) fn settings(&self, sizes: &Sizes) -> Result<PolicyConfig> {
        let kind = match self.noise_scheduler_type.as_str() {
            "DDPM" => SchedulerKind::Ddpm,
            "DDIM" => SchedulerKind::Ddim,
            other => bail!(
                "config.json: noise_scheduler_type is {other:?}, only \"DDPM\" and \"DDIM\" are supported"
            ),
        };
        Ok(PolicyConfig {
            observation: None,
            task: None,
            n_obs_steps: self.n_obs_steps,
            horizon: self.horizon,
            n_action_steps: self.n_action_steps,
            conditioning: Conditioning::Global,
            pred_action_steps_only: false,
            oa_step_convention: true,
            n_latency_steps: 0,
            unet: UnetConfig {
                input_dim: sizes.action,
                local_cond_dim: 0,
                global_cond_dim: self.n_obs_steps.saturating_mul(sizes.obs_dim()),
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

/// Name of the task in `train_config.json`: its environment, else its data set.
pub(super) fn task_name(training: &Value) -> Option<(String, &'static str)> {
    let text = |path: &str| training.pointer(path).and_then(Value::as_str);
    let environment = text("/env/type").map(|name| (name, "env.type of train_config.json"));
    let data = text("/dataset/repo_id").map(|name| (name, "dataset.repo_id of train_config.json"));
    let (name, place) = environment.or(data)?;
    Some((name.to_owned(), place))
}
