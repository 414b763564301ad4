//! Incremental writer of demonstrations: a Zarr v2 folder in diffusion_policy's layout.
//!
//! Files are replaced as a whole, data first and `meta/` last, so that a kill keeps earlier
//! episodes. A resumed run overwrites the rows beyond `meta/episode_ends`.

use super::episode::{Attempt, Settings};
use crate::data::{ACTION_DIM, Episode};
use crate::policy_file::write_whole;
use anyhow::{Context, Result, ensure};
use pusht_core::pusht::observation::{BLOCK_KEYPOINTS_PX, ObservationKind, STATE_DIM, observe};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Rows per chunk, in `data/` and `meta/`.
const CHUNK_ROWS: usize = 1024;
/// Attribute of the group that holds the settings.
const SETTINGS: &str = "pusht_collect";
/// Log with the outcome of every attempt.
const LOG: &str = "episodes.csv";
const LOG_HEADER: &str =
    "attempt,seed,near_goal,noisy,solved,steps,max_coverage,recorded_episodes,recorded_steps\n";

/// An array that grows by rows.
struct Column {
    name: &'static str,
    dtype: &'static str,
    /// Extents after the first.
    shape: &'static [usize],
    /// Bytes per row.
    row_bytes: usize,
    /// Bytes of the last, incomplete chunk.
    tail: Vec<u8>,
    n_rows: usize,
}

/// Writer of a folder.
pub struct Writer {
    folder: PathBuf,
    columns: [Column; 8],
    log: String,
    next_attempt: u64,
}

const STATE: usize = 0;
const ACTION: usize = 1;
const KEYPOINT: usize = 2;
const EPISODE_ENDS: usize = 3;
const CONTINUES: usize = 4;
const CUT_OFF: usize = 5;
const SEED: usize = 6;
const ATTEMPT: usize = 7;
/// Number of columns with one row per control step; those with one row per episode follow.
const N_STEP_COLUMNS: usize = 3;

fn columns() -> [Column; 8] {
    let column = |name, dtype, shape: &'static [usize], row_bytes| Column {
        name,
        dtype,
        shape,
        row_bytes,
        tail: Vec::new(),
        n_rows: 0,
    };
    [
        column("data/state", "<f4", &[STATE_DIM], 4 * STATE_DIM),
        column("data/action", "<f4", &[ACTION_DIM], 4 * ACTION_DIM),
        column("data/keypoint", "<f4", &[9, 2], 4 * 18),
        column("meta/episode_ends", "<i8", &[], 8),
        column("meta/continues", "|b1", &[], 1),
        column("meta/cut_off", "|b1", &[], 1),
        column("meta/seed", "<i8", &[], 8),
        column("meta/attempt", "<i8", &[], 8),
    ]
}

impl Writer {
    /// Creates a folder at `path`.
    ///
    /// # Errors
    /// If `path` already exists or can't be written.
    pub fn create(path: &Path, settings: &Settings) -> Result<Self> {
        ensure!(
            !path.exists(),
            "{}: already there; go on with --resume, or name another folder",
            path.display()
        );
        for part in ["data", "meta"] {
            let folder = path.join(part);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("{}: can't make the folder", folder.display()))?;
            write_json(&folder.join(".zgroup"), &json!({ "zarr_format": 2 }))?;
        }
        write_json(&path.join(".zattrs"), &json!({ SETTINGS: settings }))?;
        let writer = Self {
            folder: path.to_owned(),
            columns: columns(),
            log: LOG_HEADER.to_owned(),
            next_attempt: 0,
        };
        write_whole(&path.join(LOG), writer.log.as_bytes())?;
        for column in &writer.columns {
            let folder = path.join(column.name);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("{}: can't make the folder", folder.display()))?;
            column.write_shape(path)?;
        }
        write_json(&path.join(".zgroup"), &json!({ "zarr_format": 2 }))?;
        Ok(writer)
    }

    /// Resumes the folder at `path` after its last complete episode.
    ///
    /// # Errors
    /// If it does not exist, is damaged, or has other settings.
    pub fn resume(path: &Path, settings: &Settings) -> Result<Self> {
        let read = || -> Result<Self> {
            let attributes: serde_json::Value =
                serde_json::from_slice(&std::fs::read(path.join(".zattrs"))?)?;
            let (found, asked) = (&attributes[SETTINGS], serde_json::to_value(settings)?);
            for (name, value) in found.as_object().into_iter().flatten() {
                ensure!(
                    asked[name] == *value,
                    "it was begun with {name} {value}, now {}",
                    asked[name]
                );
            }
            let mut columns = columns();
            columns[ATTEMPT].load(path, None)?;
            let n_episodes = columns[ATTEMPT].n_rows;
            for column in &mut columns[N_STEP_COLUMNS..] {
                column.load(path, Some(n_episodes))?;
            }
            let last = |column: &Column| -> Option<i64> {
                let bytes = column.tail.last_chunk::<8>()?;
                Some(i64::from_le_bytes(*bytes))
            };
            let n_rows = last(&columns[EPISODE_ENDS]).unwrap_or(0) as usize;
            let next_attempt = last(&columns[ATTEMPT]).map_or(0, |attempt| attempt as u64 + 1);
            for column in &mut columns[..N_STEP_COLUMNS] {
                column.load(path, Some(n_rows))?;
            }
            let log = std::fs::read_to_string(path.join(LOG))?;
            let kept = log.lines().skip(1).filter(|row| {
                let number = row.split(',').next().and_then(|n| n.parse::<u64>().ok());
                number.is_some_and(|number| number < next_attempt)
            });
            Ok(Self {
                folder: path.to_owned(),
                log: std::iter::once(LOG_HEADER.trim_end())
                    .chain(kept)
                    .flat_map(|row| [row, "\n"])
                    .collect(),
                columns,
                next_attempt,
            })
        };
        read().with_context(|| format!("{}: can't go on", path.display()))
    }

    /// Number of the next attempt.
    pub fn next_attempt(&self) -> u64 {
        self.next_attempt
    }

    /// Stores an attempt.
    ///
    /// # Errors
    /// If a file can't be written.
    pub fn add(&mut self, attempt: &Attempt) -> Result<()> {
        let n_steps: usize = attempt.recorded.iter().map(|e| e.states.len()).sum();
        self.log += &format!(
            "{},{},{},{},{},{},{},{},{n_steps}\n",
            self.next_attempt,
            attempt.seed,
            attempt.near_goal,
            attempt.noisy,
            attempt.solved,
            attempt.steps,
            attempt.max_coverage,
            attempt.recorded.len()
        );
        for episode in &attempt.recorded {
            self.add_episode(episode)?;
        }
        // The log has a row per attempt, written with the next recorded episode at the latest.
        if attempt.recorded.is_empty() {
            self.next_attempt += 1;
            return Ok(());
        }
        for column in &mut self.columns[..N_STEP_COLUMNS] {
            column.flush(&self.folder)?;
        }
        write_whole(&self.folder.join(LOG), self.log.as_bytes())?;
        for column in &mut self.columns[N_STEP_COLUMNS..] {
            column.flush(&self.folder)?;
        }
        self.next_attempt += 1;
        Ok(())
    }

    /// Writes the log rows of the last attempts without recorded episodes.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn finish(&self) -> Result<()> {
        write_whole(&self.folder.join(LOG), self.log.as_bytes())
    }

    fn add_episode(&mut self, episode: &Episode) -> Result<()> {
        for (state, action) in episode.states.iter().zip(&episode.actions) {
            let mut keypoints = [0.0; 20];
            observe(ObservationKind::Keypoints, state, &mut keypoints)
                .map_err(|error| anyhow::anyhow!("{error}"))?;
            self.columns[STATE].push_f32s(state);
            self.columns[ACTION].push_f32s(action);
            self.columns[KEYPOINT].push_f32s(&keypoints[..2 * BLOCK_KEYPOINTS_PX.len()]);
        }
        let end = self.columns[STATE].n_rows as i64;
        self.columns[EPISODE_ENDS].push(&end.to_le_bytes());
        self.columns[CONTINUES].push(&[u8::from(episode.continues)]);
        self.columns[CUT_OFF].push(&[u8::from(episode.cut_off)]);
        let seed = episode.seed.map_or(-1, |seed| seed as i64);
        self.columns[SEED].push(&seed.to_le_bytes());
        self.columns[ATTEMPT].push(&(self.next_attempt as i64).to_le_bytes());
        Ok(())
    }
}

impl Column {
    fn push(&mut self, row: &[u8]) {
        self.tail.extend_from_slice(row);
        self.n_rows += 1;
    }

    fn push_f32s(&mut self, row: &[f64]) {
        let bytes: Vec<u8> = row.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect();
        self.push(&bytes);
    }

    /// Writes the changed chunks, then the new length.
    fn flush(&mut self, folder: &Path) -> Result<()> {
        let chunk_bytes = CHUNK_ROWS * self.row_bytes;
        let mut first = (self.n_rows - self.tail.len() / self.row_bytes) / CHUNK_ROWS;
        while !self.tail.is_empty() {
            let full = self.tail.len() >= chunk_bytes;
            let mut chunk = self.tail[..self.tail.len().min(chunk_bytes)].to_vec();
            // The last chunk has its full size; bytes after the end are ignored.
            chunk.resize(chunk_bytes, 0);
            write_whole(&self.chunk_path(folder, first), &chunk)?;
            if !full {
                break;
            }
            self.tail.drain(..chunk_bytes);
            first += 1;
        }
        self.write_shape(folder)
    }

    fn chunk_path(&self, folder: &Path, index: usize) -> PathBuf {
        let zeros = ".0".repeat(self.shape.len());
        folder.join(self.name).join(format!("{index}{zeros}"))
    }

    fn write_shape(&self, folder: &Path) -> Result<()> {
        let with = |rows: usize| [&[rows], self.shape].concat();
        let metadata = json!({
            "zarr_format": 2, "shape": with(self.n_rows), "chunks": with(CHUNK_ROWS), "dtype": self.dtype,
            "compressor": null, "fill_value": 0, "order": "C", "filters": null,
        });
        write_json(&folder.join(self.name).join(".zarray"), &metadata)
    }

    /// Loads the array, or its first `n_rows` rows.
    fn load(&mut self, folder: &Path, n_rows: Option<usize>) -> Result<()> {
        let path = folder.join(self.name).join(".zarray");
        let metadata: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        let stored = metadata["shape"][0].as_u64().unwrap_or(0) as usize;
        self.n_rows = n_rows.unwrap_or(stored);
        ensure!(
            self.n_rows <= stored,
            "{}: {stored} rows are too few",
            path.display()
        );
        // Keeps at least one row in memory, so that the last one can be read.
        let first = self.n_rows.saturating_sub(1) / CHUNK_ROWS;
        let left = (self.n_rows - first * CHUNK_ROWS) * self.row_bytes;
        if left > 0 {
            let path = self.chunk_path(folder, first);
            let mut chunk = std::fs::read(&path).with_context(|| path.display().to_string())?;
            ensure!(chunk.len() >= left, "{}: too short", path.display());
            chunk.truncate(left);
            self.tail = chunk;
        }
        Ok(())
    }
}

fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    write_whole(path, &serde_json::to_vec_pretty(value)?)
}
