//! `meta/info.json`: version, counts and features.

use crate::regular_file;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Place of the file in a dataset.
pub const INFO: &str = "meta/info.json";
/// Version that is read and written.
pub const VERSION: &str = "v3.0";

/// Contents of the file, as far as they are used.
#[derive(Debug, Deserialize)]
pub struct Info {
    codebase_version: String,
    /// Episodes of the dataset.
    pub total_episodes: usize,
    /// Rows of all episodes.
    pub total_frames: usize,
    features: BTreeMap<String, Feature>,
}

#[derive(Debug, Deserialize)]
struct Feature {
    dtype: String,
    shape: Vec<usize>,
}

impl Info {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it is missing, damaged, or of another version.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = regular_file::read(path)?;
        let info: Self = serde_json::from_slice(&bytes).with_context(|| INFO.to_owned())?;
        if !info.codebase_version.starts_with("v3.") {
            bail!(
                "{INFO}: codebase_version {:?}; {VERSION} is supported (lerobot's \
                 convert_dataset_v21_to_v30 makes it from v2.1)",
                info.codebase_version
            );
        }
        ensure!(
            info.total_episodes > 0 && info.total_frames > 0,
            "{INFO}: no episodes (total_episodes {}, total_frames {})",
            info.total_episodes,
            info.total_frames
        );
        Ok(info)
    }

    /// Number of values of a feature of numbers in one dimension; `None` if there is none.
    pub fn dim(&self, name: &str) -> Option<usize> {
        let Feature { dtype, shape } = self.features.get(name)?;
        match (dtype.as_str(), shape.as_slice()) {
            ("float32" | "float64", &[dim]) => Some(dim),
            _ => None,
        }
    }

    /// All features with their shapes.
    pub fn listed(&self) -> String {
        let listed = self.features.iter();
        let listed =
            listed.map(|(name, Feature { dtype, shape })| format!("{name} {dtype} {shape:?}"));
        listed.collect::<Vec<_>>().join(", ")
    }
}
