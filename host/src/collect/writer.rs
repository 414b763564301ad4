//! Incremental writer of demonstrations: a Zarr v2 folder in diffusion_policy's layout.
//!
//! A kill or a power failure at any point leaves a folder that starts (nothing but an empty folder
//! is there) or resumes (`.zattrs` is there, which is written first). The root's `.zgroup` is written
//! last: without it, a resumed run makes what is missing. Each file is replaced as a whole and
//! synchronised with the disk before the next, data first and `meta/` last, so that the episodes of
//! earlier commits remain. A resumed run overwrites the rows beyond `meta/attempt`.

use super::camera::{PICTURE_LEN, SIDE};
use super::column::{Column, Per, read_json, write_json};
use super::episode::{Attempt, Recording, Settings};
use crate::data::ACTION_DIM;
use crate::output::{make_folder, remove_unfinished, sync_all, write_whole};
use crate::regular_file;
use anyhow::{Context, Result, ensure};
use pusht_core::pusht::observation::{BLOCK_KEYPOINTS_PX, ObservationKind, STATE_DIM, observe};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Attributes of the group.
const ATTRIBUTES: &str = ".zattrs";
/// Attribute that holds the settings.
const SETTINGS: &str = "pusht_collect";
/// What makes a folder a group.
const GROUP: &str = ".zgroup";
/// Log with the outcome of every attempt.
const LOG: &str = "episodes.csv";
const LOG_HEADER: &str =
    "attempt,seed,near_goal,noisy,solved,steps,max_coverage,recorded_episodes,recorded_steps\n";

/// Writer of a folder.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    columns: Vec<Column>,
    log: String,
    next_attempt: u64,
    /// Whether there are episodes that are not committed.
    is_pending: bool,
}

const STATE: usize = 0;
const ACTION: usize = 1;
const KEYPOINT: usize = 2;
const N_CONTACTS: usize = 3;
const NEXT_COVERAGE: usize = 4;
const EPISODE_ENDS: usize = 5;
const CONTINUES: usize = 6;
const CUT_OFF: usize = 7;
const SEED: usize = 8;
const ATTEMPT: usize = 9;
/// Where there are pictures.
const IMG: usize = 10;

/// Column of pictures: values of 0 to 255 in single precision, as in the authors' archive.
pub fn pictures() -> Column {
    Column::pictures("data/img", "<f4", &[SIDE, SIDE, 3])
}

fn columns(settings: &Settings) -> Vec<Column> {
    let mut columns = vec![
        Column::new("data/state", Per::Step, "<f4", &[STATE_DIM]),
        Column::new("data/action", Per::Step, "<f4", &[ACTION_DIM]),
        Column::new("data/keypoint", Per::Step, "<f4", &[9, 2]),
        Column::new("data/n_contacts", Per::Step, "<f4", &[1]),
        Column::new("data/next_coverage", Per::Step, "<f8", &[1]),
        Column::new("meta/episode_ends", Per::Episode, "<i8", &[]),
        Column::new("meta/continues", Per::Episode, "|b1", &[]),
        Column::new("meta/cut_off", Per::Episode, "|b1", &[]),
        Column::new("meta/seed", Per::Episode, "<i8", &[]),
        Column::new("meta/attempt", Per::Episode, "<i8", &[]),
    ];
    if settings.images {
        columns.push(pictures());
    }
    columns
}

impl Writer {
    /// Creates a folder at `path`; one without attributes, that a killed run has left, is used.
    ///
    /// # Errors
    /// If `path` already exists or can't be written.
    pub fn create(path: &Path, settings: &Settings) -> Result<Self> {
        ensure!(
            !path.exists() || is_unused(path)?,
            "{}: already there; go on with --resume, or name another folder",
            path.display()
        );
        make_folder(path)?;
        write_json(&path.join(ATTRIBUTES), json!({ SETTINGS: settings }))?;
        Self::complete(path, &columns(settings))?;
        Self::open(path, settings)
    }

    /// Resumes the folder at `path` after its last complete episode.
    ///
    /// # Errors
    /// If it does not exist, is damaged, or has other settings.
    pub fn resume(path: &Path, settings: &Settings) -> Result<Self> {
        let resume = || -> Result<Self> {
            check_settings(path, settings)?;
            if !path.join(GROUP).exists() {
                Self::complete(path, &columns(settings))?;
            }
            Self::open(path, settings)
        };
        resume().with_context(|| format!("{}: can't go on", path.display()))
    }

    /// Makes what a folder with attributes has before its first episode, as far as it is missing.
    fn complete(path: &Path, columns: &[Column]) -> Result<()> {
        for part in ["data", "meta"] {
            make_folder(&path.join(part))?;
            write_json(&path.join(part).join(GROUP), json!({ "zarr_format": 2 }))?;
        }
        if !path.join(LOG).exists() {
            write_whole(&path.join(LOG), LOG_HEADER.as_bytes())?;
        }
        for column in columns {
            column.begin(path)?;
        }
        write_json(&path.join(GROUP), json!({ "zarr_format": 2 }))
    }

    /// Reads the state after the last complete episode, and removes files that were never finished.
    fn open(path: &Path, settings: &Settings) -> Result<Self> {
        let mut columns = columns(settings);
        let parts = columns.iter().map(|column| path.join(column.name));
        for folder in parts.chain(["", "data", "meta"].map(|part| path.join(part))) {
            remove_unfinished(&folder)?;
        }
        columns[ATTEMPT].load(path, None)?;
        let n_episodes = columns[ATTEMPT].n_rows;
        for column in columns.iter_mut().filter(|c| c.per == Per::Episode) {
            column.load(path, Some(n_episodes))?;
        }
        let n_rows = columns[EPISODE_ENDS].last_i64().unwrap_or(0) as usize;
        let next_attempt = columns[ATTEMPT].last_i64();
        let next_attempt = next_attempt.map_or(0, |attempt| attempt as u64 + 1);
        for column in columns.iter_mut().filter(|c| c.per == Per::Step) {
            column.load(path, Some(n_rows))?;
        }
        let log = regular_file::read_text(&path.join(LOG))?;
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
            is_pending: false,
        })
    }

    /// Number of the next attempt.
    pub fn next_attempt(&self) -> u64 {
        self.next_attempt
    }

    /// Adds an attempt, which [`commit`](Self::commit) stores.
    ///
    /// # Errors
    /// If a state can't be observed.
    pub fn add(&mut self, attempt: &Attempt) -> Result<()> {
        let n_steps: usize = attempt.recorded.iter().map(|e| e.steps.len()).sum();
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
        for recording in &attempt.recorded {
            self.add_episode(recording)?;
        }
        self.is_pending |= !attempt.recorded.is_empty();
        self.next_attempt += 1;
        Ok(())
    }

    /// Stores the attempts that were added, so that their episodes survive a power failure. The log
    /// has a row per attempt, written with the next recorded episode at the latest.
    ///
    /// # Errors
    /// If a file can't be written.
    pub fn commit(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_pending) {
            self.flush(Per::Step)?;
            write_whole(&self.folder.join(LOG), self.log.as_bytes())?;
            self.flush(Per::Episode)?;
        }
        Ok(())
    }

    /// Commits, writes the log rows of the last attempts without recorded episodes, and synchronises
    /// the folder with the disk.
    ///
    /// # Errors
    /// If a file can't be written.
    pub fn finish(&mut self) -> Result<()> {
        self.commit()?;
        write_whole(&self.folder.join(LOG), self.log.as_bytes())?;
        sync_all(&self.folder)
    }

    /// Stores all attempts of `part`, numbered after those that are stored already.
    ///
    /// # Errors
    /// If a file can't be read or written.
    pub(super) fn append(&mut self, part: &Part) -> Result<()> {
        let shifts = [
            (EPISODE_ENDS, self.columns[STATE].n_rows as i64),
            (ATTEMPT, self.next_attempt as i64),
        ];
        for (index, other) in part.stored.columns.iter().enumerate() {
            let shift = shifts.iter().find(|(column, _)| *column == index);
            let shift = shift.map_or(0, |(_, shift)| *shift);
            self.columns[index].append(other, &part.stored.folder, shift, &self.folder)?;
        }
        for row in &part.log {
            let (_, rest) = row.split_once(',').unwrap_or_default();
            self.log += &format!("{},{rest}\n", self.next_attempt);
            self.next_attempt += 1;
        }
        Ok(())
    }

    fn flush(&mut self, per: Per) -> Result<()> {
        let mut columns = self.columns.iter_mut().filter(|column| column.per == per);
        columns.try_for_each(|column| column.flush(&self.folder, write_whole))
    }

    fn add_episode(&mut self, recording: &Recording) -> Result<()> {
        let Recording {
            episode,
            steps,
            pictures,
        } = recording;
        for picture in pictures.chunks_exact(PICTURE_LEN) {
            let bytes = picture.iter().flat_map(|v| f32::from(*v).to_le_bytes());
            self.columns[IMG].push(&bytes.collect::<Vec<u8>>());
        }
        let rows = episode.states.iter().zip(&episode.actions).zip(steps);
        for ((state, action), step) in rows {
            let mut keypoints = [0.0; 20];
            observe(ObservationKind::Keypoints, state, &mut keypoints)?;
            self.columns[STATE].push_f32s(state);
            self.columns[ACTION].push_f32s(action);
            self.columns[KEYPOINT].push_f32s(&keypoints[..2 * BLOCK_KEYPOINTS_PX.len()]);
            self.columns[N_CONTACTS].push_f32s(&[step.n_contacts as f64]);
            self.columns[NEXT_COVERAGE].push(&step.next_coverage.to_le_bytes());
        }
        let end = self.columns[STATE].n_rows as i64;
        let seed = episode.seed.map_or(-1, |seed| seed as i64);
        self.columns[EPISODE_ENDS].push(&end.to_le_bytes());
        self.columns[CONTINUES].push(&[u8::from(episode.continues)]);
        self.columns[CUT_OFF].push(&[u8::from(episode.cut_off)]);
        self.columns[SEED].push(&seed.to_le_bytes());
        self.columns[ATTEMPT].push(&(self.next_attempt as i64).to_le_bytes());
        Ok(())
    }
}

/// Whether nothing is in the folder at `path` but files that were never finished.
pub(super) fn is_unused(path: &Path) -> Result<bool> {
    remove_unfinished(path)?;
    let mut entries = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
    Ok(entries.next().is_none())
}

/// Settings that the folder at `path` was begun with.
///
/// # Errors
/// If it has none, or not all; the error names the file.
fn stored_settings(path: &Path) -> Result<Settings> {
    let mut attributes = read_json(&path.join(ATTRIBUTES))?;
    let settings = attributes.get_mut(SETTINGS).map(Value::take);
    let settings = settings.with_context(|| {
        format!("{ATTRIBUTES} has no {SETTINGS}: pusht collect did not write it")
    })?;
    serde_json::from_value(settings).with_context(|| format!("{ATTRIBUTES}, {SETTINGS}"))
}

/// Checks that the folder at `path` was begun with `settings`.
fn check_settings(path: &Path, settings: &Settings) -> Result<()> {
    let stored = serde_json::to_value(stored_settings(path)?)?;
    let asked = serde_json::to_value(settings)?;
    for (name, asked) in asked.as_object().into_iter().flatten() {
        ensure!(
            stored[name] == *asked,
            "it was begun with {name} {}, now {asked}",
            stored[name]
        );
    }
    Ok(())
}

/// The folder of a run that has ended.
pub(super) struct Part {
    pub(super) settings: Settings,
    stored: Writer,
    /// One row for each attempt.
    log: Vec<String>,
}

impl Part {
    /// Opens the folder at `path`.
    ///
    /// # Errors
    /// If it is missing, damaged or of an interrupted run; the error names it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let open = || -> Result<Self> {
            let settings = stored_settings(path)?;
            let stored = Writer::resume(path, &settings)?;
            let log = regular_file::read_text(&path.join(LOG))?;
            let log: Vec<String> = log.lines().skip(1).map(str::to_owned).collect();
            let episodes = |row: &String| row.split(',').nth(7)?.parse::<usize>().ok();
            ensure!(
                log.iter().map(episodes).sum::<Option<usize>>()
                    == Some(stored.columns[ATTEMPT].n_rows),
                "{LOG} does not have the recorded episodes: finish the run first"
            );
            Ok(Self {
                settings,
                stored,
                log,
            })
        };
        open().with_context(|| path.display().to_string())
    }

    /// Number of attempts, recorded or not.
    pub(super) fn n_attempts(&self) -> u64 {
        self.log.len() as u64
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.stored.folder
    }
}
