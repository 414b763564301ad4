//! Hindsight goal relabelling (Andrychowicz et al., arXiv 1707.01495): a pose that the block
//! reached is declared the goal.

use super::Episode;
use anyhow::{Result, ensure};
use pusht_core::pusht::env::{GOAL_ANGLE_RAD, GOAL_PX, Vec2, coverage_at};
use pusht_core::pusht::geometry::Pose;
use pusht_core::pusht::observation::STATE_DIM;

/// Least coverage of a pose that becomes the goal. Walls do not move with the goal, so it must be
/// near the recorded one.
const MIN_COVERAGE: f64 = 0.5;
/// Control ticks between two poses of an episode that become goals.
const TICKS_APART: usize = 8;

impl Episode {
    /// The episode with up to `n_goals` of its poses as the goal, one copy for each: the pose of
    /// highest coverage, and poses before it while their coverage is 0.5 or more.
    ///
    /// # Errors
    /// If the coverage of no row is 0.5 or more.
    pub fn relabelled(&self, n_goals: usize) -> Result<Vec<Self>> {
        let coverages = self.states.iter().map(|state| {
            let [_, _, x, y, angle_rad] = *state;
            coverage_at(Vec2::new(x, y), angle_rad)
        });
        let coverages: Vec<f64> = coverages.collect();
        let highest = coverages.iter().copied().fold(0.0, f64::max);
        ensure!(
            highest >= MIN_COVERAGE,
            "its highest coverage is {highest:.3}, and a relabelled goal takes {MIN_COVERAGE}"
        );
        let last = coverages.iter().position(|&coverage| coverage == highest);
        let rows = (0..=last.unwrap_or_default()).rev().step_by(TICKS_APART);
        let near = rows.take_while(|&row| coverages[row] >= MIN_COVERAGE);
        Ok(near.take(n_goals).map(|row| self.ending_at(row)).collect())
    }

    /// The episode up to `row`, moved as a rigid body such that its last pose of the block is the
    /// goal. Distances between agent, block and actions stay as they are.
    fn ending_at(&self, row: usize) -> Self {
        let [_, _, x, y, reached_rad] = self.states[row];
        let reached = Pose::new(Vec2::new(x, y), reached_rad);
        let goal = Pose::new(GOAL_PX, GOAL_ANGLE_RAD);
        let point = |[x, y]: [f64; 2]| {
            let moved = goal.transform(reached.inverse_transform(Vec2::new(x, y)));
            [moved.x, moved.y]
        };
        let state = |&[agent_x, agent_y, block_x, block_y, angle_rad]: &[f64; STATE_DIM]| {
            let ([ax, ay], [bx, by]) = (point([agent_x, agent_y]), point([block_x, block_y]));
            [ax, ay, bx, by, angle_rad - reached_rad + GOAL_ANGLE_RAD]
        };
        let n_rows = row + 1;
        Self {
            states: self.states[..n_rows].iter().map(state).collect(),
            actions: self.actions[..n_rows].iter().copied().map(point).collect(),
            continues: self.continues,
            cut_off: self.cut_off && n_rows == self.states.len(),
            seed: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block that is pushed along x towards the goal, past it and away again.
    fn pushed() -> Episode {
        let agent_x = |row: u32| 156.0 + 1.5 * f64::from(row);
        let state = |row| {
            let angle_rad = GOAL_ANGLE_RAD - 0.1 + 0.01 * f64::from(row);
            [agent_x(row), 300.0, agent_x(row) + 70.0, 260.0, angle_rad]
        };
        Episode {
            states: (0..30).map(state).collect(),
            actions: (0..30).map(|row| [agent_x(row) + 9.0, 298.0]).collect(),
            cut_off: true,
            seed: Some(1),
            ..Episode::default()
        }
    }

    fn coverage(state: &[f64; STATE_DIM]) -> f64 {
        coverage_at(Vec2::new(state[2], state[3]), state[4])
    }

    #[test]
    fn a_relabelled_episode_ends_at_the_goal() {
        let recorded = pushed();
        let highest = recorded.states.iter().map(coverage).fold(0.0, f64::max);
        assert!((MIN_COVERAGE..0.95).contains(&highest), "{highest}");
        let episodes = recorded.relabelled(2).unwrap();
        let lengths: Vec<usize> = episodes.iter().map(|e| e.states.len()).collect();
        assert_eq!(lengths, [lengths[0], lengths[0] - 8]);
        assert_eq!(coverage(&recorded.states[lengths[0] - 1]), highest);
        for episode in episodes {
            assert_eq!(episode.actions.len(), episode.states.len());
            let [.., x, y, angle_rad] = *episode.states.last().unwrap();
            let off = [x - GOAL_PX.x, y - GOAL_PX.y, angle_rad - GOAL_ANGLE_RAD];
            assert!(off.iter().all(|value| value.abs() < 1e-9), "{off:?}");
            assert!(coverage(episode.states.last().unwrap()) > 1.0 - 1e-9);
            // What follows is known, and the start state is no seed's any more.
            assert!(!episode.cut_off && episode.seed.is_none());
        }
    }

    #[test]
    fn agent_and_action_keep_their_places_in_the_blocks_frame() {
        let recorded = pushed();
        let in_block = |state: &[f64; STATE_DIM], [x, y]: [f64; 2]| {
            let block = Pose::new(Vec2::new(state[2], state[3]), state[4]);
            block.inverse_transform(Vec2::new(x, y))
        };
        for episode in recorded.relabelled(2).unwrap() {
            for (index, (state, action)) in episode.states.iter().zip(&episode.actions).enumerate()
            {
                let before = (&recorded.states[index], recorded.actions[index]);
                let agent = |state: &[f64; STATE_DIM]| in_block(state, [state[0], state[1]]);
                let moved = [
                    agent(state) - agent(before.0),
                    in_block(state, *action) - in_block(before.0, before.1),
                ];
                assert!(
                    moved.iter().all(|by| by.norm() < 1e-9),
                    "row {index}: {moved:?}"
                );
            }
        }
    }

    #[test]
    fn an_episode_at_the_goal_stays_as_it_is() {
        let mut recorded = pushed();
        recorded.states[29] = [100.0, 300.0, GOAL_PX.x, GOAL_PX.y, GOAL_ANGLE_RAD];
        let episodes = recorded.relabelled(1).unwrap();
        for (a, b) in episodes[0].states.iter().zip(&recorded.states) {
            assert!(
                a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9),
                "{a:?} {b:?}"
            );
        }
        assert!(episodes[0].cut_off, "nothing was cut");
    }

    #[test]
    fn an_episode_that_stays_away_from_the_goal_is_refused() {
        let mut recorded = pushed();
        recorded.states.iter_mut().for_each(|state| state[4] += 3.0);
        let error = recorded.relabelled(1).unwrap_err().to_string();
        assert!(error.starts_with("its highest coverage is 0."), "{error}");
    }
}
