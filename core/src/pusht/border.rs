//! What lies between the environment and the policy.
//!
//! ```text
//!  environment -- state --> disturbances --> estimator --> goal's frame --> policy
//!       ^                                                                     |
//!       +--------- disturbances <-- estimator <-- goal's frame <---------+
//! ```
//! The disturbances are the world's, estimator and frame the controller's. All of them see states
//! and actions only, so they are the same for every policy and every arithmetic.

use super::disturbance::{Disturbances, DisturbedWorld};
use super::env::{GOAL_ANGLE_RAD, GOAL_PX, PushTEnv, PushTParams, Vec2, WINDOW_PX};
use super::episode::Action;
use super::estimator::Estimator;
use super::geometry::{Pose, length};
use super::observation::STATE_DIM;
use crate::Error;

/// What the policy gets for a state, and the agent for an action.
pub trait Border {
    /// The state that the policy is shown in control tick `tick`, called once per tick before
    /// [`act`](Self::act). The environment can be disturbed first.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if that moves a body out of the range of the simulation.
    fn observe(&mut self, tick: usize, env: &mut PushTEnv) -> Result<[f64; STATE_DIM], Error>;

    /// The action that the agent executes in `tick`, where the policy's is `action`.
    fn act(&mut self, tick: usize, env: &PushTEnv, action: Action) -> Action;
}

/// Nothing in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clear;

impl Border for Clear {
    #[inline]
    fn observe(&mut self, _: usize, env: &mut PushTEnv) -> Result<[f64; STATE_DIM], Error> {
        Ok(env.state())
    }

    #[inline]
    fn act(&mut self, _: usize, _: &PushTEnv, action: Action) -> Action {
        action
    }
}

/// Disturbances of one episode, and what the controller has against them.
#[derive(Clone, Debug)]
pub struct Disturbed {
    world: DisturbedWorld,
    estimator: Option<Estimator>,
    frame: Option<Waypoint>,
}

impl Disturbed {
    /// The border of the episode `seed` with the parameters `params`: those of
    /// [`Disturbances::params`] for the same seed.
    pub fn new(disturbances: &Disturbances, seed: u64, params: &PushTParams) -> Self {
        Self {
            world: DisturbedWorld::new(disturbances, seed),
            estimator: None,
            frame: GoalFrame::of(params).map(Waypoint::new),
        }
    }

    /// With an [`Estimator`] before the policy.
    pub fn with_estimator(mut self) -> Self {
        self.estimator = Some(Estimator::new());
        self
    }

    /// Changes the disturbances between environment and policy, and whether there is an estimator,
    /// from the next observation on. The environment's own parameters and its goal stay.
    pub fn set(&mut self, disturbances: &Disturbances, has_estimator: bool) {
        self.world.set(disturbances);
        let known = self.estimator.take();
        self.estimator = has_estimator.then(|| known.unwrap_or_default());
    }
}

impl Border for Disturbed {
    fn observe(&mut self, tick: usize, env: &mut PushTEnv) -> Result<[f64; STATE_DIM], Error> {
        let mut state = self.world.observe(tick, env)?;
        if let Some(estimator) = &mut self.estimator {
            state = estimator.estimate(&state)?;
        }
        Ok(match &mut self.frame {
            Some(frame) => frame.seen(&state),
            None => state,
        })
    }

    fn act(&mut self, tick: usize, env: &PushTEnv, action: Action) -> Action {
        let mut action = match &self.frame {
            Some(frame) => frame.target(action),
            None => action,
        };
        if let Some(estimator) = &mut self.estimator {
            action = estimator.act(action);
        }
        self.world.act(tick, env, action)
    }
}

/// The frame in which another goal is where a policy expects it: the rigid motion that takes the
/// goal to [`GOAL_PX`], [`GOAL_ANGLE_RAD`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GoalFrame {
    /// The goal.
    goal: Pose,
    /// The goal that the policy knows.
    usual: Pose,
    turn_rad: f64,
}

impl GoalFrame {
    /// The frame of the goal in `params`; `None` where it is the usual one.
    pub fn of(params: &PushTParams) -> Option<Self> {
        let is_usual = params.goal_px == GOAL_PX && params.goal_angle_rad == GOAL_ANGLE_RAD;
        (!is_usual).then(|| Self {
            goal: Pose::new(params.goal_px, params.goal_angle_rad),
            usual: Pose::new(GOAL_PX, GOAL_ANGLE_RAD),
            turn_rad: GOAL_ANGLE_RAD - params.goal_angle_rad,
        })
    }

    /// The state as seen from the frame.
    pub fn seen(&self, state: &[f64; STATE_DIM]) -> [f64; STATE_DIM] {
        let [agent_x, agent_y, block_x, block_y, angle_rad] = *state;
        let seen = |x, y| {
            self.usual
                .transform(self.goal.inverse_transform(Vec2::new(x, y)))
        };
        let (agent, block) = (seen(agent_x, agent_y), seen(block_x, block_y));
        let angle_rad = super::env::wrap_angle(angle_rad + self.turn_rad);
        [agent.x, agent.y, block.x, block.y, angle_rad]
    }

    /// The target position that an action of the policy means.
    pub fn target(&self, [x, y]: Action) -> Action {
        let target = self
            .goal
            .transform(self.usual.inverse_transform(Vec2::new(x, y)));
        [target.x, target.y]
    }
}

/// A goal on the way to one that is farther from the block than a policy has seen.
///
/// In the frame of another goal the block can lie where the window of the policy's demonstrations
/// ends. Then the whole scene is shown shifted, so that the block is within [`KNOWN_PX`]: the policy
/// pushes it towards a nearer goal. Once it is [`NEAR_PX`] from that goal, the next one follows; once
/// it is within [`KNOWN_PX`] by itself, the true one.
#[derive(Clone, Copy, Debug)]
struct Waypoint {
    frame: GoalFrame,
    /// By how much the scene is shown shifted, and the agent in addition, px.
    shift: Vec2,
    agent_shift: Vec2,
}

/// Where a policy knows the middle of the block, and the agent, px.
const KNOWN_PX: [f64; 2] = [120.0, WINDOW_PX - 120.0];
const AGENT_PX: [f64; 2] = [25.0, WINDOW_PX - 25.0];
/// Distance of the block's middle from that of the goal at which the next one follows, px.
const NEAR_PX: f64 = 70.0;
/// The middle of the block in body coordinates, px.
const MIDDLE_PX: Vec2 = Vec2::new(0.0, 45.0);

impl Waypoint {
    fn new(frame: GoalFrame) -> Self {
        Self {
            frame,
            shift: Vec2::zeros(),
            agent_shift: Vec2::zeros(),
        }
    }

    /// The state as the policy sees it.
    fn seen(&mut self, state: &[f64; STATE_DIM]) -> [f64; STATE_DIM] {
        let [agent_x, agent_y, block_x, block_y, angle_rad] = self.frame.seen(state);
        let origin = Vec2::new(block_x, block_y);
        let middle = Pose::new(origin, angle_rad).transform(MIDDLE_PX);
        let goal = self.frame.usual.transform(MIDDLE_PX);
        let nearest = into(middle, KNOWN_PX);
        let shown = middle + self.shift;
        let is_known = nearest == Vec2::zeros();
        let is_lost = into(shown, KNOWN_PX) != Vec2::zeros();
        if is_known || is_lost || length(shown - goal) < NEAR_PX {
            self.shift = nearest;
        }
        let agent = Vec2::new(agent_x, agent_y) + self.shift;
        self.agent_shift = into(agent, AGENT_PX);
        let (agent, block) = (agent + self.agent_shift, origin + self.shift);
        [agent.x, agent.y, block.x, block.y, angle_rad]
    }

    /// The target position that an action of the policy means.
    fn target(&self, [x, y]: Action) -> Action {
        let shown = Vec2::new(x, y) - self.shift - self.agent_shift;
        self.frame.target(shown.into())
    }
}

/// The shortest shift that takes each coordinate of `point` into a range.
fn into(point: Vec2, [low, high]: [f64; 2]) -> Vec2 {
    point.map(|value| value.clamp(low, high) - value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pusht::env::{StartOrder, StartState};

    #[test]
    fn a_block_at_its_goal_is_seen_at_the_usual_goal() {
        let params = PushTParams {
            goal_px: Vec2::new(150.0, 330.0),
            goal_angle_rad: 5.5,
            ..PushTParams::default()
        };
        let frame = GoalFrame::of(&params).unwrap();
        let seen = frame.seen(&[100.0, 200.0, 150.0, 330.0, 5.5]);
        let expected = [GOAL_PX.x, GOAL_PX.y, GOAL_ANGLE_RAD];
        for (value, expected) in seen[2..].iter().zip(expected) {
            assert!((value - expected).abs() < 1e-9, "{seen:?}");
        }
        let back = frame.target([seen[0], seen[1]]);
        assert!((back[0] - 100.0).abs() < 1e-9 && (back[1] - 200.0).abs() < 1e-9);
        assert_eq!(GoalFrame::of(&PushTParams::default()), None);
    }

    #[test]
    fn a_block_far_from_its_goal_is_seen_on_its_way() {
        let params = PushTParams {
            goal_px: Vec2::new(130.0, 130.0),
            goal_angle_rad: GOAL_ANGLE_RAD,
            ..PushTParams::default()
        };
        let mut waypoint = Waypoint::new(GoalFrame::of(&params).unwrap());
        let mut state = [420.0, 300.0, 430.0, 430.0, GOAL_ANGLE_RAD];
        let first = waypoint.seen(&state);
        let turned = 45.0 * libm::sqrt(0.5);
        // The middle is at the edge of what is known; an action keeps its place beside the agent.
        assert!((first[2] - turned - KNOWN_PX[1]).abs() < 1e-9, "{first:?}");
        let [x, y] = waypoint.target([first[0] + 3.0, first[1] - 7.0]);
        assert!((x - 423.0).abs() < 1e-9 && (y - 293.0).abs() < 1e-9);
        // While the block moves, the shift stays; near that goal, the next one follows.
        state[2] -= 20.0;
        assert!((waypoint.seen(&state)[2] - (first[2] - 20.0)).abs() < 1e-9);
        let shift = waypoint.shift;
        (state[2], state[3]) = (430.0 - 120.0, 430.0 - 110.0);
        waypoint.seen(&state);
        assert!(length(waypoint.shift) < length(shift));
        (state[2], state[3]) = (140.0, 140.0);
        assert_eq!(waypoint.seen(&state)[2..], waypoint.frame.seen(&state)[2..]);
    }

    #[test]
    fn a_border_without_disturbances_changes_no_bit() {
        let start = StartState::from_state(&[100.0, 200.0, 300.0, 310.0, 1.0]);
        let params = PushTParams::default();
        let mut env = PushTEnv::new(params, start, StartOrder::Legacy).unwrap();
        let mut border = Disturbed::new(&Disturbances::default(), 7, &params).with_estimator();
        for tick in 0..60 {
            assert_eq!(border.observe(tick, &mut env), Ok(env.state()), "{tick}");
            let action = [100.0 + 5.0 * tick as f64, 200.0 + 2.0 * tick as f64];
            assert_eq!(border.act(tick, &env, action), action);
            env.step(action).unwrap();
        }
    }
}
