//! File format of the float policy: one safetensors file.
//!
//! - Tensors are `f32` under the names of diffusion_policy's state dict: `model.<module path>` for
//!   the U-Net (`model.down_modules.0.0.blocks.0.block.0.weight`, ...) in PyTorch's layouts, and
//!   `normalizer.params_dict.{obs,action}.{scale,offset}` (normalised = raw * scale + offset), with
//!   `.center` beside them where a program subtracts first ((raw - center) * scale + offset).
//! - The header's `__metadata__` has a [`PolicyConfig`] as JSON under `pusht_policy`.

mod check;
mod settings;
mod task;

pub use check::MAX_DIM;
pub use settings::{
    Conditioning, PolicyConfig, SchedulerConfig, SchedulerKind, Thresholding, UnetConfig,
};
pub use task::{ActionFrame, CommandedValue, Hold, Observation, ObservedValue, Task};

use crate::{output, regular_file};
use anyhow::{Context, Result, bail, ensure};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::{BTreeMap, HashMap};
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

impl Tensor {
    /// Checks that every value is finite.
    ///
    /// # Errors
    /// If one is not; the error has `name`, the value and its index.
    pub fn check_finite(&self, name: &str) -> Result<()> {
        match self.data.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(index) => bail!(
                "tensor {name}: value {index} is {}, only finite ones are supported",
                self.data[index]
            ),
        }
    }
}

/// Tensors by name, in the order of their names.
pub type Tensors = BTreeMap<String, Tensor>;

/// Whether a setting is left out of the file.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Writes a policy, as [`output::write_whole`] does.
///
/// # Errors
/// If a value is not finite, or the file can't be written; no partial file remains.
pub fn save(path: &Path, config: &PolicyConfig, tensors: &Tensors) -> Result<()> {
    output::write_whole(path, &to_bytes(config, tensors)?)
}

/// Contents of a policy's file.
///
/// # Errors
/// If a value is not finite, or a tensor has another number of values than its shape.
pub fn to_bytes(config: &PolicyConfig, tensors: &Tensors) -> Result<Vec<u8>> {
    for (name, tensor) in tensors {
        tensor.check_finite(name)?;
    }
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
    Ok(safetensors::serialize(views, Some(metadata))?)
}

/// Reads a policy and checks that every value is a finite `f32`.
///
/// # Errors
/// If the file can't be read or is invalid; the error names the file.
pub fn load(path: &Path) -> Result<(PolicyConfig, Tensors)> {
    let bytes = regular_file::read(path)?;
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
        bail!(
            "its metadata has no {METADATA_KEY}: `pusht import` makes a float policy of another program's checkpoint"
        );
    };
    let config = serde_json::from_str(json).with_context(|| format!("metadata {METADATA_KEY}"))?;
    let mut tensors = Tensors::new();
    for (name, view) in file.tensors() {
        ensure!(
            view.dtype() == Dtype::F32,
            "tensor {name} is {:?}, a float policy has F32 only",
            view.dtype()
        );
        let data: Vec<f32> = view
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect();
        let shape = view.shape().to_vec();
        let tensor = Tensor { shape, data };
        tensor.check_finite(&name)?;
        tensors.insert(name, tensor);
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
            n_latency_steps: 0,
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
