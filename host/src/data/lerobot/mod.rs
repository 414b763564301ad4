//! LeRobot datasets (v3.0): `meta/info.json`, and tables of frames and of episodes in Parquet.
//!
//! ```text
//! info: features, counts -> table: columns of all files -> episodes: their rows -> state: PushT's
//! ```

mod episodes;
mod info;
mod pages;
mod pose;
mod state;
mod table;

pub use episodes::column as episode_column;
pub use info::{INFO, VERSION};

use anyhow::{Context, Result, bail, ensure};
use info::Info;
use std::ops::Range;
use std::path::{Path, PathBuf};
use table::Table;

/// Names of the features that are read and written here.
pub mod feature {
    /// What the robot senses of itself: in PushT the agent's x and y.
    pub const OBS_STATE: &str = "observation.state";
    /// What surrounds it: in PushT x and y of the T's eight corners, in gym-pusht's order.
    pub const ENV_STATE: &str = "observation.environment_state";
    /// All five values of PushT's state, as diffusion_policy's `data/state` has them.
    pub const STATE: &str = "state";
    /// Target position of the agent.
    pub const ACTION: &str = "action";
}

/// A dataset whose tables have been found.
pub struct LeRobotDataset {
    info: Info,
    frames: Table,
    /// Rows of each episode in `frames`.
    rows: Vec<Range<usize>>,
    /// Values per episode that only this program writes.
    marks: episodes::Marks,
}

impl LeRobotDataset {
    /// Opens the folder at `path`.
    ///
    /// # Errors
    /// If a file is missing, damaged or of another version, or if the episodes do not tile the
    /// frames; the error names the file.
    pub fn open(path: &Path) -> Result<Self> {
        let info = Info::read(&path.join(INFO))?;
        let frames = Table::open(&path.join("data"))?;
        ensure!(
            frames.n_rows() == info.total_frames,
            "data: {} rows in all files, but {INFO} has total_frames {}",
            frames.n_rows(),
            info.total_frames
        );
        let table = Table::open(&path.join("meta/episodes"))?;
        let rows = episodes::rows(&table, &info)?;
        episodes::check_frames(&frames, &rows)?;
        let marks = episodes::Marks::read(&table)?;
        Ok(Self {
            info,
            frames,
            rows,
            marks,
        })
    }

    /// Values of a feature, row by row, `dim` values each.
    fn feature(&self, name: &str, dim: usize) -> Result<Vec<f64>> {
        let values = self.frames.column(name, dim)?;
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            let (row, value) = (index / dim, values[index]);
            bail!("feature {name}: row {row} is not finite: {value}");
        }
        Ok(values)
    }

    /// Observations of any policy, row by row: `observation.state`, then
    /// `observation.environment_state` if there is one. Returns the rows of every episode.
    ///
    /// # Errors
    /// If they have not `obs_dim` values together; the error lists the features.
    pub fn observations(&self, obs_dim: usize) -> Result<Vec<Vec<Vec<f64>>>> {
        let parts = [feature::OBS_STATE, feature::ENV_STATE]
            .into_iter()
            .filter_map(|name| Some((name, self.info.dim(name)?)));
        let parts: Vec<(&str, usize)> = parts.collect();
        ensure!(
            parts.iter().map(|(_, dim)| dim).sum::<usize>() == obs_dim,
            "observation.state and observation.environment_state have not {obs_dim} values \
             together, as the policy's observation; the features are {}",
            self.info.listed()
        );
        let columns = parts
            .iter()
            .map(|&(name, dim)| Ok((self.feature(name, dim)?, dim)))
            .collect::<Result<Vec<_>>>()?;
        let row = |index: usize| -> Vec<f64> {
            let values = columns
                .iter()
                .flat_map(|(values, dim)| &values[index * dim..][..*dim]);
            values.copied().collect()
        };
        Ok(self
            .rows
            .iter()
            .map(|rows| rows.clone().map(row).collect())
            .collect())
    }
}

/// The Parquet files of a folder in LeRobot's order: `chunk-*/file-*.parquet`, sorted by name.
fn parquet_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = |folder: &Path| -> Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(folder)
            .with_context(|| format!("{}: can't read the folder", folder.display()))?;
        let mut paths = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    };
    let mut files = Vec::new();
    for chunk in list(folder)?.into_iter().filter(|path| path.is_dir()) {
        let inside = list(&chunk)?.into_iter();
        files.extend(inside.filter(|path| path.extension().is_some_and(|e| e == "parquet")));
    }
    ensure!(
        !files.is_empty(),
        "{}: no chunk-*/file-*.parquet",
        folder.display()
    );
    Ok(files)
}

#[cfg(test)]
mod tests;
