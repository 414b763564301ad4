//! What a policy is: its sizes, values, settings and origin.

use crate::engine::{Engine, observed_range};
use crate::float_engine::{FloatPolicy, unet_config};
use crate::policy_file::{Conditioning, PolicyConfig, SchedulerConfig, Tensors, UnetConfig};
use crate::quantize::boards::BOARDS;
use crate::quantize::needs::Widths;
use crate::quantize::{self, CalibrationData};
use anyhow::Result;
use fixed::types::I8F24;
use pusht_core::quant::Model;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Description of a policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Info {
    /// Arithmetic: `integer` or `float`.
    pub engine: &'static str,
    /// Name of the task.
    pub task: String,
    /// Observations per plan.
    pub n_obs_steps: usize,
    /// Actions predicted per plan.
    pub horizon: usize,
    /// Actions executed per plan.
    pub n_action_steps: usize,
    /// Passes of the network per plan.
    pub num_inference_steps: usize,
    /// Values of an observation.
    pub observation: Vec<ValueInfo>,
    /// Values of an action.
    pub action: Vec<ValueInfo>,
    /// The network and its scheduler; absent if the model file has the provenance of another
    /// quantiser.
    #[serde(flatten)]
    pub settings: Option<SettingsInfo>,
    /// Float policy only: what it would need in integers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_integers: Option<InIntegers>,
    /// Model file only: working memory of a plan, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scratch_bytes: Option<usize>,
    /// Model file with weights of 4 bits only: bits of each matrix product's weights, in the file's
    /// order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_bits: Option<Vec<u8>>,
    /// Model file only: program that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantized_by: Option<String>,
    /// Model file only: seeds or file of the calibration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibrated_on: Option<String>,
    /// Origin of the weights.
    pub provenance: BTreeMap<String, String>,
}

/// The network and its scheduler.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SettingsInfo {
    /// Sizes of the network.
    pub network: UnetConfig,
    /// Its conditioning on the observations.
    pub conditioning: Conditioning,
    /// Number of its parameters.
    pub n_parameters: usize,
    /// Multiplications of a pass.
    pub macs_per_pass: usize,
    /// The diffusion process.
    pub scheduler: SchedulerConfig,
}

/// What a float policy would need in integers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InIntegers {
    /// Why it has no integer version.
    Unsupported(String),
    /// A model file, after the usual calibration.
    #[serde(untagged)]
    Needs {
        /// Size of the model file, bytes.
        file_bytes: usize,
        /// Working memory of a plan, bytes.
        scratch_bytes: usize,
        /// Flash, RAM and estimated instructions of a plan, on each board of the firmware.
        boards: Vec<String>,
    },
}

impl InIntegers {
    /// What the policy in a float policy's file would need.
    ///
    /// # Errors
    /// None: the default seeds are valid.
    pub fn of(config: &PolicyConfig, tensors: &Tensors) -> Result<Self> {
        let data = CalibrationData::usual(config)?;
        Ok(
            match quantize::needs(config, tensors, &data, Widths::default()) {
                Err(reason) => Self::Unsupported(format!("{reason:#}")),
                Ok(needs) => Self::Needs {
                    file_bytes: needs.file_bytes,
                    scratch_bytes: 8 * needs.scratch_len,
                    boards: BOARDS.iter().map(|board| board.describe(&needs)).collect(),
                },
            },
        )
    }
}

/// A value of an observation or an action.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValueInfo {
    /// Name; empty if unknown.
    pub name: String,
    /// Unit; empty for a dimensionless value.
    pub unit: String,
    /// Raw value for the normalised value -1.
    pub low: f64,
    /// Raw value for the normalised value 1.
    pub high: f64,
    /// Name of the observed value that it is relative to.
    pub relative_to: Option<String>,
}

/// Provenance that `pusht quantize` writes into an integer model.
#[derive(Debug, Deserialize)]
pub struct Quantized {
    /// The program.
    pub quantized_by: String,
    calibration_seeds: Option<String>,
    calibration_data: Option<String>,
    /// Settings of the float policy.
    pub policy: PolicyConfig,
}

impl Quantized {
    /// Provenance of a model file; `None` for that of another quantiser.
    pub fn of(model: &Model<'_>) -> Option<Self> {
        serde_json::from_str(model.provenance()).ok()
    }

    /// Seeds or file of the calibration.
    pub fn calibrated_on(&self) -> Option<&String> {
        self.calibration_seeds
            .as_ref()
            .or(self.calibration_data.as_ref())
    }
}

impl Info {
    /// Describes a policy.
    ///
    /// # Errors
    /// If the network has too many levels.
    pub fn of(engine: &Engine) -> Result<Self> {
        let shape = engine.shape();
        let (model, config) = match engine {
            Engine::Int(file) => (Some(file.model()), None),
            Engine::Float(policy) => (None, Some(policy.config())),
        };
        let quantized = model.and_then(Quantized::of);
        let config = config.or(quantized.as_ref().map(|quantized| &quantized.policy));
        let (task, observation, action) = match engine {
            Engine::Int(file) => {
                let model = file.model();
                (model.task(), observed_integers(model), integers(model))
            }
            Engine::Float(policy) => {
                let [observation, action] = floats(policy);
                (policy.task().name.as_str(), observation, action)
            }
        };
        Ok(Self {
            engine: if model.is_some() { "integer" } else { "float" },
            task: task.to_owned(),
            n_obs_steps: shape.n_obs_steps,
            horizon: engine.noise_shape()[0],
            n_action_steps: shape.n_action_steps,
            num_inference_steps: engine.passes(),
            observation,
            action,
            settings: config.map(SettingsInfo::of).transpose()?,
            in_integers: None,
            scratch_bytes: model.map(|model| 8 * model.scratch_len()),
            weight_bits: (model.map(Model::weight_bits))
                .filter(|bits| !bits.is_empty())
                .map(<[u8]>::to_vec),
            quantized_by: quantized.as_ref().map(|of| of.quantized_by.clone()),
            calibrated_on: quantized
                .as_ref()
                .and_then(|of| of.calibrated_on().cloned()),
            provenance: config.map_or_else(BTreeMap::new, |config| config.provenance.clone()),
        })
    }

    /// The description as a JSON object.
    ///
    /// # Errors
    /// If a value has no form in JSON.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string(self)?)
    }
}

impl SettingsInfo {
    fn of(config: &PolicyConfig) -> Result<Self> {
        let unet = unet_config(&config.unet)?;
        let predicted = match config.pred_action_steps_only {
            true => config.n_action_steps,
            false => config.horizon,
        };
        Ok(Self {
            network: config.unet.clone(),
            conditioning: config.conditioning,
            n_parameters: unet.n_parameters()?,
            macs_per_pass: unet.n_macs(predicted)?,
            scheduler: config.scheduler.clone(),
        })
    }
}

/// Values of an observation and of an action of a float policy.
fn floats(policy: &FloatPolicy) -> [Vec<ValueInfo>; 2] {
    let task = policy.task();
    let [observed, commanded] = policy.ranges();
    let observation = task.observation.iter().zip(observed);
    let observation = observation.map(|(value, [low, high])| ValueInfo {
        name: value.name.clone(),
        unit: value.unit.clone(),
        low,
        high,
        relative_to: None,
    });
    let action = task.action.iter().zip(commanded);
    let action = action.map(|(value, [low, high])| ValueInfo {
        name: value.name.clone(),
        unit: value.unit.clone(),
        low,
        high,
        relative_to: (value.relative_to).map(|from| task.observation[from].name.clone()),
    });
    [observation.collect(), action.collect()]
}

/// Values of an observation of a model file.
fn observed_integers(model: &Model<'_>) -> Vec<ValueInfo> {
    let value = |index| {
        let [low, high] = observed_range(model, index);
        ValueInfo {
            name: model.value(index).name.to_owned(),
            unit: model.value(index).unit.to_owned(),
            low,
            high,
            relative_to: None,
        }
    };
    (0..model.shape().obs_dim).map(value).collect()
}

/// Values of an action of a model file.
fn integers(model: &Model<'_>) -> Vec<ValueInfo> {
    let shape = model.shape();
    let value = |index| {
        let (of_action, named) = (
            model.action_value(index),
            model.value(shape.obs_dim + index),
        );
        let end = |y| of_action.to_f64(of_action.unnormalize(I8F24::from_num(y), 0));
        ValueInfo {
            name: named.name.to_owned(),
            unit: named.unit.to_owned(),
            low: end(-1),
            high: end(1),
            relative_to: (of_action.relative_to).map(|from| model.value(from).name.to_owned()),
        }
    };
    (0..shape.action_dim).map(value).collect()
}
