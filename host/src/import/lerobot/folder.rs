//! Folder of a LeRobot policy, with its moving average beside it.

use crate::import::Weights;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// Names that LeRobot's training gives the folders of a checkpoint.
const LIVE: &str = "pretrained_model";
const EMA: &str = "pretrained_model_ema";

/// A folder with `config.json` and `model.safetensors`.
pub(super) struct Folder {
    path: PathBuf,
    pub(super) weights: Weights,
    /// Whether the checkpoint has the other weights as well.
    pub(super) has_other: bool,
}

/// Whether `path` is or holds such a folder.
pub(super) fn is_at(path: &Path) -> bool {
    [path, &path.join(LIVE), &path.join(EMA)]
        .iter()
        .any(|folder| folder.join("config.json").exists())
}

impl Folder {
    /// Finds the folder with the weights that are asked for: by default the moving average, if
    /// there is one.
    ///
    /// # Errors
    /// If there are none of these weights.
    pub(super) fn find(path: &Path, wanted: Option<Weights>) -> Result<Self> {
        let (live, ema) = beside(path);
        let (weights, folder) = match (wanted, &live, &ema) {
            (Some(Weights::Live), Some(live), _) => (Weights::Live, live),
            (Some(Weights::Ema) | None, _, Some(ema)) => (Weights::Ema, ema),
            (None, Some(live), None) => (Weights::Live, live),
            (Some(Weights::Ema), _, None) => {
                bail!("--ema: there is no moving average: no folder {EMA} with config.json")
            }
            _ => bail!("--live: there are no live weights: no folder {LIVE} with config.json"),
        };
        Ok(Self {
            path: folder.clone(),
            weights,
            has_other: live.is_some() && ema.is_some(),
        })
    }

    /// Path of a file.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Path of a file for the summary.
    pub(super) fn shown(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    /// Path of a file, if it is there.
    pub(super) fn optional(&self, name: &str) -> Option<PathBuf> {
        let path = self.file(name);
        path.exists().then_some(path)
    }

    /// Names of the other files.
    pub(super) fn ignored(&self) -> Vec<String> {
        let known = |name: &str| {
            let ours = ["config.json", "model.safetensors", "train_config.json"];
            ours.contains(&name) || name.starts_with("policy_p") || name.starts_with('.')
        };
        let Ok(entries) = std::fs::read_dir(&self.path) else {
            return Vec::new();
        };
        let names = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut others: Vec<_> = names.filter(|name| !known(name)).collect();
        others.sort();
        others
    }
}

/// Folders with the live weights and with the moving average that `path` means.
fn beside(path: &Path) -> (Option<PathBuf>, Option<PathBuf>) {
    let with_config = |folder: PathBuf| folder.join("config.json").exists().then_some(folder);
    if !path.join("config.json").exists() {
        return (with_config(path.join(LIVE)), with_config(path.join(EMA)));
    }
    // The name behind a link or a `.`.
    let whole = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = whole.file_name().unwrap_or_default();
    let sibling = |name: &str| {
        let parent = path.parent().filter(|_| path.file_name().is_some());
        with_config(parent.map_or_else(|| whole.with_file_name(name), |folder| folder.join(name)))
    };
    if name == EMA {
        (sibling(LIVE), Some(path.to_owned()))
    } else if name == LIVE {
        (Some(path.to_owned()), sibling(EMA))
    } else {
        (Some(path.to_owned()), None)
    }
}
