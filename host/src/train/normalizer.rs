//! diffusion_policy's `LinearNormalizer` in mode "limits", fitted to windows.

use crate::policy_file::{Tensor, Tensors};
use anyhow::{Context, Result};

/// Features whose values spread less than this are shifted, but not stretched.
const MIN_RANGE: f64 = 1e-4;

/// How values become numbers near 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Normalizers {
    /// Of the observations.
    pub obs: Normalizer,
    /// Of the actions.
    pub action: Normalizer,
}

impl Normalizers {
    /// Adds their tensors to those of a policy file.
    pub fn store(&self, tensors: &mut Tensors) {
        self.obs.store("obs", tensors);
        self.action.store("action", tensors);
    }

    /// Those of a policy file.
    ///
    /// # Errors
    /// If it has none.
    pub fn load(tensors: &Tensors) -> Result<Self> {
        Ok(Self {
            obs: Normalizer::load("obs", tensors)?,
            action: Normalizer::load("action", tensors)?,
        })
    }
}

/// Maps each feature's range to [-1, 1]: `normalised = raw * scale + offset`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Normalizer {
    /// Factor of each feature.
    pub scale: Vec<f32>,
    /// Offset of each feature, after the factor.
    pub offset: Vec<f32>,
}

impl Normalizer {
    /// Fits the range of every column of `rows` (all of length `dim`).
    pub fn fit(rows: impl Iterator<Item = impl AsRef<[f64]>>, dim: usize) -> Self {
        let mut lowest = vec![f64::INFINITY; dim];
        let mut highest = vec![f64::NEG_INFINITY; dim];
        for row in rows {
            for (column, value) in row.as_ref().iter().enumerate() {
                lowest[column] = lowest[column].min(*value);
                highest[column] = highest[column].max(*value);
            }
        }
        let scale = |column: usize| match highest[column] - lowest[column] {
            range if range < MIN_RANGE => 1.0,
            range => 2.0 / range,
        };
        let middle = |column: usize| (lowest[column] + highest[column]) / 2.0;
        Self {
            scale: (0..dim).map(|c| scale(c) as f32).collect(),
            offset: (0..dim).map(|c| (-middle(c) * scale(c)) as f32).collect(),
        }
    }

    /// Normalises one row.
    pub fn apply<'a>(&'a self, row: &'a [f64]) -> impl Iterator<Item = f32> + 'a {
        let columns = row.iter().zip(&self.scale).zip(&self.offset);
        columns.map(|((value, scale), offset)| *value as f32 * scale + offset)
    }

    /// Adds the tensors `normalizer.params_dict.<field>.{scale,offset}`.
    fn store(&self, field: &str, tensors: &mut Tensors) {
        for (name, values) in [("scale", &self.scale), ("offset", &self.offset)] {
            let tensor = Tensor {
                shape: vec![values.len()],
                data: values.clone(),
            };
            tensors.insert(name_of(field, name), tensor);
        }
    }

    fn load(field: &str, tensors: &Tensors) -> Result<Self> {
        let values = |name| {
            let name = name_of(field, name);
            let tensor = tensors.get(&name);
            let data = tensor.map(|tensor| tensor.data.clone());
            data.with_context(|| format!("no tensor {name}"))
        };
        Ok(Self {
            scale: values("scale")?,
            offset: values("offset")?,
        })
    }
}

fn name_of(field: &str, values: &str) -> String {
    format!("normalizer.params_dict.{field}.{values}")
}
