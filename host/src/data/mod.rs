//! Recorded demonstrations: the replay buffer of diffusion_policy (`diffusion_policy/common/replay_buffer.py`).

mod zarr;

use anyhow::{Context, Result, bail, ensure};
use pusht_core::env::WINDOW_PX;
use pusht_core::observation::STATE_DIM;
use std::f64::consts::FRAC_PI_2;
use std::path::Path;

/// Values of an action: goal x, goal y of the agent (px).
pub const ACTION_DIM: usize = 2;

/// A set of recorded episodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Demonstrations {
    /// The episodes in the order of the record; none is empty.
    pub episodes: Vec<Episode>,
}

/// One recorded episode, a row a control tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Episode {
    /// State before the action of the same row: agent x, y, block x, y (px), block angle (rad).
    pub states: Vec<[f64; STATE_DIM]>,
    /// Goal position of the agent (px).
    pub actions: Vec<[f64; ACTION_DIM]>,
    /// Whether it begins in the middle of a motion, so that its first row is no start from rest. Nothing may then be
    /// put before that row when windows are cut.
    pub continues: bool,
    /// Whether it ends in the middle of a motion, so that its last action is not held. Nothing may then be put behind it.
    pub cut_off: bool,
    /// The seed of its start state, if the record says it.
    pub seed: Option<u64>,
}

impl Episode {
    /// The episode as a mirror on the line x + y = 512 shows it, the axis of the goal T: an episode that could have been
    /// recorded as well, since T, goal and window are their own mirror images there. (x, y) becomes (512 - y, 512 - x), and
    /// the angle a becomes pi/2 - a.
    pub fn mirrored(&self) -> Self {
        let point = |[x, y]: [f64; 2]| [WINDOW_PX - y, WINDOW_PX - x];
        let state = |&[agent_x, agent_y, block_x, block_y, angle_rad]: &[f64; STATE_DIM]| {
            let ([ax, ay], [bx, by]) = (point([agent_x, agent_y]), point([block_x, block_y]));
            [ax, ay, bx, by, FRAC_PI_2 - angle_rad]
        };
        Self {
            states: self.states.iter().map(state).collect(),
            actions: self.actions.iter().copied().map(point).collect(),
            continues: self.continues,
            cut_off: self.cut_off,
            seed: None,
        }
    }
}

impl Demonstrations {
    /// Reads the Zarr v2 arrays `data/state` (N, 5), `data/action` (N, 2), both `f32`, and
    /// `meta/episode_ends` (`i64`, first row after each episode) from a `.zarr` folder or from a zip
    /// archive that holds one (the authors' `pusht.zip`). `meta/continues`, `meta/cut_off` (`bool`) and `meta/seed` (`i64`, -1
    /// for none), a value an episode, are ours and may be missing.
    ///
    /// # Errors
    /// One line naming the file, the array and what is wrong: missing, truncated, of another shape or
    /// type, not finite, episodes that do not follow each other.
    pub fn open(path: &Path) -> Result<Self> {
        let read = || -> Result<Self> {
            let store = zarr::open_store(path)?;
            let states: Vec<[f32; STATE_DIM]> = finite_rows(&store, "data/state")?;
            let actions: Vec<[f32; ACTION_DIM]> = finite_rows(&store, "data/action")?;
            let ends = zarr::read_1d::<i64>(&store, "meta/episode_ends")?;
            let mut demonstrations = split_episodes(&states, &actions, &ends)?;
            let episodes = &mut demonstrations.episodes;
            mark(&store, "meta/continues", episodes, |episode, value| {
                episode.continues = value
            })?;
            mark(&store, "meta/cut_off", episodes, |episode, value| {
                episode.cut_off = value
            })?;
            mark(&store, "meta/seed", episodes, |episode, seed: i64| {
                episode.seed = u64::try_from(seed).ok();
            })?;
            Ok(demonstrations)
        };
        read().with_context(|| format!("{}: not a demonstration dataset", path.display()))
    }

    /// Control ticks in all episodes.
    pub fn n_steps(&self) -> usize {
        self.episodes.iter().map(|e| e.states.len()).sum()
    }

    /// CRC-32 (ISO-HDLC) of every state and then action, row by row, as little-endian `f32`: names the
    /// data a policy was trained on, whatever archive it came in.
    pub fn crc32(&self) -> u32 {
        let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
        let mut digest = crc.digest();
        for episode in &self.episodes {
            for (state, action) in episode.states.iter().zip(&episode.actions) {
                for value in state.iter().chain(action) {
                    digest.update(&(*value as f32).to_le_bytes());
                }
            }
            for (is_set, name) in [
                (episode.continues, "continues"),
                (episode.cut_off, "cut off"),
            ] {
                if is_set {
                    digest.update(name.as_bytes());
                }
            }
        }
        digest.finalize()
    }
}

/// Tells the episodes the values of the array `name`, if it is there.
fn mark<T: zarrs::array::ElementOwned>(
    store: &zarr::Store,
    name: &str,
    episodes: &mut [Episode],
    set: fn(&mut Episode, T),
) -> Result<()> {
    if !zarr::contains(store, name)? {
        return Ok(());
    }
    let values: Vec<T> = zarr::read_1d(store, name)?;
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

/// An (N, `D`) array whose values are all finite.
fn finite_rows<const D: usize>(store: &zarr::Store, name: &str) -> Result<Vec<[f32; D]>> {
    let rows = zarr::read_rows::<f32, D>(store, name)?;
    for (row, values) in rows.iter().enumerate() {
        ensure!(
            values.iter().all(|v| v.is_finite()),
            "array {name}: row {row} is not finite"
        );
    }
    Ok(rows)
}

/// Cuts the rows at `ends`, each the first row after an episode.
fn split_episodes(
    states: &[[f32; STATE_DIM]],
    actions: &[[f32; ACTION_DIM]],
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
            bail!("array meta/episode_ends: entry {index} is {end}, not above {start}");
        };
        ensure!(
            stop <= states.len(),
            "array meta/episode_ends: entry {index} is {end}, but data/state has {} rows",
            states.len()
        );
        episodes.push(Episode {
            states: states[start..stop]
                .iter()
                .map(|s| s.map(f64::from))
                .collect(),
            actions: actions[start..stop]
                .iter()
                .map(|a| a.map(f64::from))
                .collect(),
            ..Episode::default()
        });
        start = stop;
    }
    ensure!(!episodes.is_empty(), "array meta/episode_ends: no episodes");
    ensure!(
        start == states.len(),
        "array meta/episode_ends: ends at row {start} of {}",
        states.len()
    );
    Ok(Demonstrations { episodes })
}

#[cfg(test)]
mod tests;
