//! Recorded demonstrations: diffusion_policy's replay buffer (`common/replay_buffer.py`) and
//! LeRobot's datasets.

#[cfg(feature = "demonstrations")]
pub mod lerobot;
#[cfg(feature = "demonstrations")]
pub mod reader;
#[cfg(feature = "train")]
mod relabel;

use pusht_core::pusht::env::WINDOW_PX;
use pusht_core::pusht::observation::STATE_DIM;
use std::f64::consts::FRAC_PI_2;

/// Length of an action: x, y of the agent's target position (px).
pub const ACTION_DIM: usize = 2;

/// Why a program without the feature `demonstrations` reads no dataset.
#[cfg(not(feature = "demonstrations"))]
pub const MISSING_FEATURE: &str = "this program is built without the feature `demonstrations`, \
     which reads it; with it: cargo build --release --features demonstrations";

/// A set of recorded episodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Demonstrations {
    /// Episodes in recorded order; none is empty.
    pub episodes: Vec<Episode>,
}

/// One recorded episode, one row per control tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Episode {
    /// State before the action of the same row: agent x, y, block x, y (px), block angle (rad).
    pub states: Vec<[f64; STATE_DIM]>,
    /// Target positions of the agent (px).
    pub actions: Vec<[f64; ACTION_DIM]>,
    /// Whether it begins in the middle of a motion; windows are then not padded before it.
    pub continues: bool,
    /// Whether it ends in the middle of a motion. Windows are then not padded after its last row.
    pub cut_off: bool,
    /// Seed of its start state, if recorded.
    pub seed: Option<u64>,
}

impl Episode {
    /// The episode reflected at the line x + y = 512, the axis of T, goal and window: an equally
    /// valid recording. (x, y) becomes (512 - y, 512 - x), and the angle a becomes pi/2 - a.
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
    /// Placeholder without the feature `demonstrations`, which needs Zarr and Parquet.
    ///
    /// # Errors
    /// Always, with the names of the file and the feature.
    #[cfg(not(feature = "demonstrations"))]
    pub fn open(path: &std::path::Path) -> anyhow::Result<Self> {
        anyhow::bail!("{}: {MISSING_FEATURE}", path.display())
    }

    /// Number of control ticks in all episodes.
    pub fn n_steps(&self) -> usize {
        self.episodes.iter().map(|e| e.states.len()).sum()
    }

    /// CRC-32 (ISO-HDLC) of every row's state and action as little-endian `f32`, in any archive.
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

#[cfg(test)]
mod tests;
