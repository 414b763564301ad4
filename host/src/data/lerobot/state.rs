//! PushT's demonstrations from the features of a dataset.

use super::LeRobotDataset;
use super::feature::{ACTION, ENV_STATE, OBS_STATE, STATE};
use super::pose::{self, CORNERS_DIM};
use crate::data::{ACTION_DIM, Demonstrations, Episode};
use anyhow::{Result, bail, ensure};
use pusht_core::pusht::observation::STATE_DIM;

/// Largest distance of a corner from where the fitted T has it, px. Single precision takes 1e-4.
const CORNER_PX: f64 = 0.1;

impl LeRobotDataset {
    /// PushT's states and actions: the state of five values from `state` or `observation.state`, or
    /// the agent from `observation.state` and the block from its corners in
    /// `observation.environment_state`.
    ///
    /// # Errors
    /// If the features have no pose of the block, or values are damaged or not finite.
    pub fn demonstrations(&self) -> Result<Demonstrations> {
        let states = self.states()?;
        ensure!(
            self.info.dim(ACTION) == Some(ACTION_DIM),
            "feature action: {ACTION_DIM} floats (the agent's target position, px) are needed; \
             the features are {}",
            self.info.listed()
        );
        let actions = self.feature(ACTION, ACTION_DIM)?;
        let actions = actions.as_chunks::<ACTION_DIM>().0;
        let episodes = self.rows.iter().enumerate().map(|(index, rows)| Episode {
            states: states[rows.clone()].to_vec(),
            actions: actions[rows.clone()].to_vec(),
            continues: self.marks.continues[index],
            cut_off: self.marks.cut_off[index],
            seed: self.marks.seeds[index],
        });
        Ok(Demonstrations {
            episodes: episodes.collect(),
        })
    }

    fn states(&self) -> Result<Vec<[f64; STATE_DIM]>> {
        let dims = [STATE, OBS_STATE, ENV_STATE].map(|name| self.info.dim(name));
        match dims {
            [Some(STATE_DIM), ..] => self.whole_states(STATE),
            [_, Some(STATE_DIM), _] => self.whole_states(OBS_STATE),
            [_, Some(2), Some(CORNERS_DIM)] => self.fitted_states(),
            _ => bail!(
                "no feature has the block's pose; supported: {STATE} or {OBS_STATE} of {STATE_DIM} \
                 floats (agent x, y, block x, y, angle), or {OBS_STATE} of 2 (agent x, y) with \
                 {ENV_STATE} of {CORNERS_DIM} (corners of the T, as gym-pusht lists them); the \
                 features are {}",
                self.info.listed()
            ),
        }
    }

    fn whole_states(&self, name: &str) -> Result<Vec<[f64; STATE_DIM]>> {
        Ok(self.feature(name, STATE_DIM)?.as_chunks().0.to_vec())
    }

    fn fitted_states(&self) -> Result<Vec<[f64; STATE_DIM]>> {
        let agents = self.feature(OBS_STATE, 2)?;
        let corners = self.feature(ENV_STATE, CORNERS_DIM)?;
        let rows = agents.as_chunks::<2>().0.iter().zip(corners.as_chunks().0);
        rows.enumerate()
            .map(|(row, ([agent_x, agent_y], corners))| {
                let ([x, y, angle], off) = pose::fit(corners);
                ensure!(
                    off <= CORNER_PX,
                    "feature {ENV_STATE}: row {row} is {off:.3} px off the T's corners in \
                     gym-pusht's order"
                );
                Ok([*agent_x, *agent_y, x, y, angle])
            })
            .collect()
    }
}
