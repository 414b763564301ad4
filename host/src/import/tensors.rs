//! Float tensors of any width, converted to `f32`.

use crate::policy_file::{Tensor, Tensors};
use crate::regular_file;
use anyhow::{Context, Result, bail};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::Path;

/// Type of a tensor's values in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Float {
    F32,
    F64,
    F16,
    Bf16,
}

impl Float {
    /// Name in PyTorch.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    /// Bytes per value.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Type of a PyTorch storage's class, such as `torch.HalfStorage`.
    pub(super) fn of_storage(class: &str) -> Option<Self> {
        match class {
            "torch.FloatStorage" => Some(Self::F32),
            "torch.DoubleStorage" => Some(Self::F64),
            "torch.HalfStorage" => Some(Self::F16),
            "torch.BFloat16Storage" => Some(Self::Bf16),
            _ => None,
        }
    }

    fn of_safetensors(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F64 => Some(Self::F64),
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::Bf16),
            _ => None,
        }
    }

    /// Little-endian values as `f32`; a `f64` is rounded to the nearest.
    pub(super) fn values(self, bytes: &[u8]) -> Vec<f32> {
        fn each<const N: usize>(bytes: &[u8], value: fn([u8; N]) -> f32) -> Vec<f32> {
            bytes.as_chunks().0.iter().map(|b| value(*b)).collect()
        }
        match self {
            Self::F32 => each(bytes, f32::from_le_bytes),
            Self::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
            Self::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
        }
    }
}

/// Tensors of a file with the types that they had.
#[derive(Debug, Default)]
pub(super) struct Converted {
    pub(super) tensors: Tensors,
    pub(super) types: BTreeMap<String, Float>,
    /// Tensors that are no floats, with their type.
    pub(super) others: BTreeMap<String, String>,
}

impl Converted {
    pub(super) fn insert(&mut self, name: String, tensor: Tensor, kind: Float) {
        self.types.insert(name.clone(), kind);
        self.tensors.insert(name, tensor);
    }
}

/// Reads the tensors of a safetensors file.
///
/// # Errors
/// If it can't be read or is no such file; the error names it.
pub(super) fn of_file(path: &Path) -> Result<Converted> {
    let bytes = regular_file::read(path)?;
    let file = SafeTensors::deserialize(&bytes)
        .with_context(|| format!("{}: no safetensors file", path.display()))?;
    let mut converted = Converted::default();
    for (name, view) in file.tensors() {
        let Some(kind) = Float::of_safetensors(view.dtype()) else {
            converted.others.insert(name, format!("{:?}", view.dtype()));
            continue;
        };
        let (shape, data) = (view.shape().to_vec(), kind.values(view.data()));
        converted.insert(name, Tensor { shape, data }, kind);
    }
    Ok(converted)
}

/// Name of a module's parameter without the wrappers of `torch.compile` and data parallelism.
pub(super) fn unwrapped(name: &str) -> String {
    let name = name.replace("_orig_mod.", "");
    name.strip_prefix("module.").unwrap_or(&name).to_owned()
}

/// Types of the tensors, with how many there are of each where they differ.
pub(super) fn describe_types<'t>(types: impl Iterator<Item = &'t Float>) -> String {
    let mut counts = BTreeMap::<Float, usize>::new();
    for kind in types {
        *counts.entry(*kind).or_default() += 1;
    }
    let kinds: Vec<_> = counts.iter().collect();
    match kinds[..] {
        [(Float::F32, _)] | [] => Float::F32.name().to_owned(),
        [(kind, _)] => format!("{}, converted to float32", kind.name()),
        _ => {
            let each = kinds
                .iter()
                .map(|(kind, n)| format!("{} ({n} tensors)", kind.name()));
            let each: Vec<_> = each.collect();
            format!("{}, converted to float32", each.join(", "))
        }
    }
}

/// Fails for a tensor that is needed and is no float.
pub(super) fn check_is_float(converted: &Converted, name: &str) -> Result<()> {
    match converted.others.get(name) {
        None => Ok(()),
        Some(kind) => bail!(
            "tensor {name} is of type {kind}; float32, float64, float16 and bfloat16 are supported"
        ),
    }
}
