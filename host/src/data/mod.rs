//! Recorded demonstrations: the replay buffer of diffusion_policy (`diffusion_policy/common/replay_buffer.py`).

#[cfg(feature = "demonstrations")]
mod reader;

use pusht_core::pusht::env::WINDOW_PX;
use pusht_core::pusht::observation::STATE_DIM;
use std::f64::consts::FRAC_PI_2;

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
    /// Built without the feature `demonstrations`, it reads nothing: Zarr and Blosc are half of a build.
    ///
    /// # Errors
    /// Always: one line naming the file and the feature.
    #[cfg(not(feature = "demonstrations"))]
    pub fn open(path: &std::path::Path) -> anyhow::Result<Self> {
        anyhow::bail!(
            "{}: this program is built without the feature `demonstrations`, which reads it; \
             with it: cargo build --release --features demonstrations",
            path.display()
        )
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

#[cfg(test)]
mod tests;
