//! Steps of a processor's pipeline, as its JSON file and state files have them.

use super::affine::{self, Affine, Guard, Side};
use super::config::Feature;
use super::folder::Folder;
use crate::import::tensors;
use crate::policy_file::Tensors;
use crate::regular_file;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A step, as far as it changes values.
#[derive(Debug)]
pub(super) enum Step {
    /// New name of each observation by its old name.
    Rename(BTreeMap<String, String>),
    Normalize(Normalizer),
    Unnormalize(Normalizer),
    Relative(RelativeActions),
    /// Whether it adds the state that [`Step::Relative`] has seen.
    Absolute(bool),
    /// Batches, devices: no value changes.
    Neutral,
}

/// Settings and statistics of a (un-)normalising step.
#[derive(Debug)]
pub(super) struct Normalizer {
    settings: NormalizerSettings,
    statistics: Tensors,
    /// State file; empty if there is none.
    pub(super) file: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NormalizerSettings {
    #[serde(default = "default_eps")]
    eps: f32,
    features: BTreeMap<String, Feature>,
    norm_map: BTreeMap<String, String>,
    #[serde(default)]
    normalize_observation_keys: Option<BTreeSet<String>>,
    #[serde(default, rename = "device")]
    _device: Value,
}

fn default_eps() -> f32 {
    1e-8
}

/// Settings of `relative_actions_processor`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RelativeActions {
    pub(super) enabled: bool,
    exclude_joints: Vec<String>,
    pub(super) action_names: Option<Vec<String>>,
}

impl RelativeActions {
    /// Whether each of `n` actions is relative: all but those whose name contains an excluded one.
    pub(super) fn mask(&self, n: usize) -> Vec<bool> {
        let tokens = self.exclude_joints.iter().map(|name| name.to_lowercase());
        let tokens: Vec<_> = tokens.filter(|name| !name.is_empty()).collect();
        let names = self.action_names.as_deref().unwrap_or_default();
        let is_relative = |index: usize| match names.get(index) {
            Some(name) => {
                let name = name.to_lowercase();
                !tokens.iter().any(|token| name.contains(token))
            }
            None => true,
        };
        (0..n).map(is_relative).collect()
    }
}

#[derive(Deserialize)]
struct PipelineFile {
    steps: Vec<StepEntry>,
}

#[derive(Deserialize)]
struct StepEntry {
    registry_name: Option<String>,
    class: Option<String>,
    #[serde(default)]
    config: Value,
    state_file: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RenameSettings {
    #[serde(default)]
    rename_map: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceSettings {
    #[serde(default, rename = "device")]
    _device: Value,
    float_dtype: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AbsoluteSettings {
    #[serde(default)]
    enabled: bool,
}

/// Reads the steps of the pipeline in `file`.
///
/// # Errors
/// If it can't be read, or has a step that can't be served; the error names it.
pub(super) fn read(folder: &Folder, file: &str) -> Result<Vec<Step>> {
    let text = regular_file::read_text(&folder.file(file))?;
    let pipeline: PipelineFile = serde_json::from_str(&text).with_context(|| file.to_owned())?;
    let steps = pipeline.steps.into_iter().enumerate();
    steps
        .map(|(index, entry)| {
            let name = entry.registry_name.as_deref().or(entry.class.as_deref());
            let name = name.unwrap_or("without registry_name and class").to_owned();
            step(folder, &name, entry).with_context(|| format!("{file}: step {index} ({name})"))
        })
        .collect()
}

fn step(folder: &Folder, name: &str, entry: StepEntry) -> Result<Step> {
    fn settings<T: for<'a> Deserialize<'a>>(config: Value) -> Result<T> {
        let config = match config {
            Value::Null => Value::Object(serde_json::Map::new()),
            config => config,
        };
        serde_json::from_value(config).context("config")
    }
    let class = name.rsplit('.').next().unwrap_or(name);
    Ok(match class {
        "rename_observations_processor" | "RenameObservationsProcessorStep" => {
            Step::Rename(settings::<RenameSettings>(entry.config)?.rename_map)
        }
        "normalizer_processor" | "NormalizerProcessorStep" => Step::Normalize(normalizer(
            folder,
            settings(entry.config)?,
            entry.state_file,
        )?),
        "unnormalizer_processor" | "UnnormalizerProcessorStep" => Step::Unnormalize(normalizer(
            folder,
            settings(entry.config)?,
            entry.state_file,
        )?),
        "relative_actions_processor" | "RelativeActionsProcessorStep" => {
            Step::Relative(settings(entry.config)?)
        }
        "absolute_actions_processor" | "AbsoluteActionsProcessorStep" => {
            Step::Absolute(settings::<AbsoluteSettings>(entry.config)?.enabled)
        }
        "device_processor" | "DeviceProcessorStep" => {
            let settings: DeviceSettings = settings(entry.config)?;
            let dtype = settings.float_dtype.as_deref();
            ensure!(
                matches!(dtype, None | Some("float32" | "float")),
                "float_dtype {:?} is not supported, only float32: the values would be rounded",
                dtype.unwrap_or_default()
            );
            Step::Neutral
        }
        "to_batch_processor"
        | "to_batch_processor_action"
        | "to_batch_processor_observation"
        | "to_batch_processor_complementary_data"
        | "AddBatchDimensionProcessorStep"
        | "IdentityProcessorStep" => Step::Neutral,
        _ => bail!(
            "is not supported, only rename_observations_processor, to_batch_processor, device_processor, \
             normalizer_processor, unnormalizer_processor, relative_actions_processor and absolute_actions_processor"
        ),
    })
}

fn normalizer(
    folder: &Folder,
    settings: NormalizerSettings,
    state_file: Option<String>,
) -> Result<Normalizer> {
    let Some(name) = state_file else {
        return Ok(Normalizer {
            settings,
            statistics: Tensors::new(),
            file: String::new(),
        });
    };
    let is_beside = Path::new(&name)
        .file_name()
        .is_some_and(|file| *file == *name);
    ensure!(
        is_beside,
        "state_file {name:?} is not the name of a file beside it"
    );
    let state = tensors::of_file(&folder.file(&name))?;
    Ok(Normalizer {
        settings,
        statistics: state.tensors,
        file: name,
    })
}

impl Normalizer {
    /// Normalisation of the observation `key`: mode and values; `None` if it passes through.
    ///
    /// # Errors
    /// As [`affine::of_feature`].
    pub(super) fn observed(&self, key: &str, dim: usize) -> Result<Option<(String, Vec<Affine>)>> {
        let keys = self.settings.normalize_observation_keys.as_ref();
        let Some(feature) = self.settings.features.get(key) else {
            return Ok(None);
        };
        if keys.is_some_and(|keys| !keys.contains(key)) || feature.kind == "ACTION" {
            return Ok(None);
        }
        self.transform((key, dim), &feature.kind, Side::Observed)
    }

    /// Normalisation of the action; `None` if it passes through.
    ///
    /// # Errors
    /// As [`affine::of_feature`].
    pub(super) fn commanded(&self, dim: usize) -> Result<Option<(String, Vec<Affine>)>> {
        self.transform((super::ACTION, dim), "ACTION", Side::Commanded)
    }

    /// Upstream passes a feature through that has no mode or no statistics at all.
    fn transform(
        &self,
        (key, dim): (&str, usize),
        kind: &str,
        side: Side,
    ) -> Result<Option<(String, Vec<Affine>)>> {
        let mode = self.settings.norm_map.get(kind);
        let prefix = format!("{key}.");
        let is_of_feature = |name: &String| match name.strip_prefix(&prefix) {
            Some(statistic) => !statistic.contains('.'),
            None => false,
        };
        let Some(mode) = mode.filter(|mode| *mode != "IDENTITY") else {
            return Ok(None);
        };
        if !self.statistics.keys().any(is_of_feature) {
            return Ok(None);
        }
        let guard = Guard::Instead(self.settings.eps);
        let values = affine::of_feature((mode, key, dim), &self.statistics, side, guard);
        let values = values.with_context(|| self.file.clone())?;
        let eps = match self.settings.eps {
            eps if eps == default_eps() => String::new(),
            eps => format!(" with eps {eps}"),
        };
        Ok(Some((format!("{mode}{eps}"), values)))
    }
}
