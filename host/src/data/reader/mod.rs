//! Reader of demonstrations from an archive or a folder: Zarr, or a dataset of LeRobot.

pub mod bounds;
pub mod zarr;

use super::lerobot::{INFO, LeRobotDataset};
use super::{ACTION_DIM, Demonstrations, Episode};
use anyhow::{Context, Result, bail, ensure};
use pusht_core::pusht::observation::STATE_DIM;
use std::path::Path;

impl Demonstrations {
    /// Reads the Zarr arrays (v2 or v3) `data/state` (N, 5), `data/action` (N, 2), both `f32` or
    /// `f64`, and `meta/episode_ends` (first row after each episode) from a `.zarr` folder or a zip
    /// archive with one (the authors' `pusht.zip`). `meta/continues`, `meta/cut_off` (`bool`) and
    /// `meta/seed` (-1 for none), with one value per episode, are optional extensions.
    ///
    /// A folder with `meta/info.json` is read as a [`LeRobotDataset`].
    ///
    /// # Errors
    /// If an array is missing, truncated, of another shape or type, or not finite, or if the
    /// episode ends do not increase. The error names the file and the array.
    pub fn open(path: &Path) -> Result<Self> {
        let read = || -> Result<Self> {
            if path.join(INFO).exists() {
                return LeRobotDataset::open(path)?.demonstrations();
            }
            let store = zarr::open_store(path)?;
            ensure!(
                zarr::contains(&store, "data/state")?,
                "neither an array data/state (Zarr) nor a file {INFO} (LeRobot)"
            );
            let states: Vec<[f64; STATE_DIM]> = finite_rows(&store, "data/state")?;
            let actions: Vec<[f64; ACTION_DIM]> = finite_rows(&store, "data/action")?;
            let ends = zarr::read_integers(&store, "meta/episode_ends")?;
            let mut demonstrations = split_episodes(&states, &actions, &ends)?;
            let episodes = &mut demonstrations.episodes;
            let flags = zarr::read_flags;
            mark(
                &store,
                "meta/continues",
                flags,
                episodes,
                |episode, value| {
                    episode.continues = value;
                },
            )?;
            mark(&store, "meta/cut_off", flags, episodes, |episode, value| {
                episode.cut_off = value;
            })?;
            mark(
                &store,
                "meta/seed",
                zarr::read_integers,
                episodes,
                |episode, seed| {
                    episode.seed = u64::try_from(seed).ok();
                },
            )?;
            Ok(demonstrations)
        };
        read().with_context(|| format!("{}: not a demonstration dataset", path.display()))
    }
}

/// Sets a field of every episode from the array `name`, if it exists.
fn mark<T>(
    store: &zarr::Store,
    name: &str,
    read: fn(&zarr::Store, &str) -> Result<Vec<T>>,
    episodes: &mut [Episode],
    set: fn(&mut Episode, T),
) -> Result<()> {
    if !zarr::contains(store, name)? {
        return Ok(());
    }
    let values = read(store, name)?;
    ensure!(
        values.len() == episodes.len(),
        "array {name}: {} values for {} episodes",
        values.len(),
        episodes.len()
    );
    for (episode, value) in episodes.iter_mut().zip(values) {
        set(episode, value);
    }
    Ok(())
}

/// Reads an (N, `D`) array and checks that its values are finite.
fn finite_rows<const D: usize>(store: &zarr::Store, name: &str) -> Result<Vec<[f64; D]>> {
    let rows = zarr::read_rows::<D>(store, name)?;
    for (row, values) in rows.iter().enumerate() {
        if let Some(value) = values.iter().find(|v| !v.is_finite()) {
            bail!("array {name}: row {row} is not finite: {value}");
        }
    }
    Ok(rows)
}

/// Splits the rows at `ends`, each the first row after an episode.
fn split_episodes(
    states: &[[f64; STATE_DIM]],
    actions: &[[f64; ACTION_DIM]],
    ends: &[i64],
) -> Result<Demonstrations> {
    ensure!(
        states.len() == actions.len(),
        "array data/action: {} rows, but data/state has {}",
        actions.len(),
        states.len()
    );
    let mut episodes = Vec::with_capacity(ends.len());
    let mut start = 0;
    for (index, &end) in ends.iter().enumerate() {
        let Some(stop) = usize::try_from(end).ok().filter(|&stop| stop > start) else {
            bail!(
                "array meta/episode_ends: entry {index} is {end}; each must be above the one \
                 before, here {start}"
            );
        };
        ensure!(
            stop <= states.len(),
            "array meta/episode_ends: entry {index} is {end}, but data/state has {} rows",
            states.len()
        );
        episodes.push(Episode {
            states: states[start..stop].to_vec(),
            actions: actions[start..stop].to_vec(),
            ..Episode::default()
        });
        start = stop;
    }
    ensure!(
        !episodes.is_empty(),
        "array meta/episode_ends: it is empty; at least one episode is needed"
    );
    ensure!(
        start == states.len(),
        "array meta/episode_ends: the last entry is {start}, but data/state has {} rows",
        states.len()
    );
    Ok(Demonstrations { episodes })
}

#[cfg(test)]
mod tests;
