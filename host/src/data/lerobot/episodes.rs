//! `meta/episodes`: which rows of the frames are an episode's.

use super::info::Info;
use super::table::Table;
use anyhow::{Result, ensure};
use std::ops::Range;

/// Columns that this program adds to the table of episodes.
pub mod column {
    /// Whether the episode begins in the middle of a motion.
    pub const CONTINUES: &str = "continues";
    /// Whether it ends in the middle of a motion.
    pub const CUT_OFF: &str = "cut_off";
    /// Seed of its start state, -1 for none.
    pub const SEED: &str = "seed";
}

/// Reads the rows of every episode, in the order of the table.
///
/// # Errors
/// If the episodes are not as many as `info` says, or do not follow each other without a gap.
pub fn rows(episodes: &Table, info: &Info) -> Result<Vec<Range<usize>>> {
    ensure!(
        episodes.n_rows() == info.total_episodes,
        "meta/episodes: {} rows in all files, but meta/info.json has total_episodes {}",
        episodes.n_rows(),
        info.total_episodes
    );
    let from = episodes.column("dataset_from_index", 1)?;
    let to = episodes.column("dataset_to_index", 1)?;
    let mut start = 0;
    let mut rows = Vec::with_capacity(from.len());
    for (index, (from, to)) in from.into_iter().zip(to).enumerate() {
        let end = to as usize;
        ensure!(
            from == start as f64 && to > from && end <= info.total_frames,
            "meta/episodes: episode {index} has the rows {from} to {to}; they should begin at \
             {start}, and end within the {} frames",
            info.total_frames
        );
        rows.push(start..end);
        start = end;
    }
    ensure!(
        start == info.total_frames,
        "meta/episodes: the last episode ends at row {start} of {}",
        info.total_frames
    );
    Ok(rows)
}

/// Checks that the frames of each episode carry its number, and count up from 0.
///
/// # Errors
/// If one does not.
pub fn check_frames(frames: &Table, rows: &[Range<usize>]) -> Result<()> {
    let numbers = frames.column("episode_index", 1)?;
    let steps = frames.column("frame_index", 1)?;
    for (episode, rows) in rows.iter().enumerate() {
        for row in rows.clone() {
            let (number, step) = (numbers[row], steps[row]);
            ensure!(
                number == episode as f64 && step == (row - rows.start) as f64,
                "data: row {row} has episode_index {number}, frame_index {step}; {episode}, {} are \
                 needed by meta/episodes",
                row - rows.start
            );
        }
    }
    Ok(())
}

/// What `pusht collect` says about each episode.
#[derive(Debug, Default)]
pub struct Marks {
    /// Column `continues`.
    pub continues: Vec<bool>,
    /// Column `cut_off`.
    pub cut_off: Vec<bool>,
    /// Column `seed`.
    pub seeds: Vec<Option<u64>>,
}

impl Marks {
    /// Reads the columns, with defaults for episodes that other programs recorded.
    ///
    /// # Errors
    /// If one is damaged or of another type.
    pub fn read(episodes: &Table) -> Result<Self> {
        let flags = |name: &str| -> Result<Vec<bool>> {
            let values = episodes.column_or(name, 0.0)?.into_iter();
            Ok(values.map(|value| value != 0.0).collect())
        };
        let seeds = episodes.column_or(column::SEED, -1.0)?.into_iter();
        Ok(Self {
            continues: flags(column::CONTINUES)?,
            cut_off: flags(column::CUT_OFF)?,
            seeds: seeds
                .map(|seed| (seed >= 0.0).then_some(seed as u64))
                .collect(),
        })
    }
}
