//! The PushT environment: an action is where the agent is to go, the reward how much of the goal the block covers.
//!
//! Faithful to gym-pusht 0.1.8 (`gym_pusht/envs/pusht.py`) and, by [`Seeding::Legacy`], to diffusion_policy.

mod coverage;
mod params;
mod side_by_side;
mod start;

pub use crate::pusht::geometry::Vec2;
pub use crate::pusht::physics::Phase;
pub use params::PushTParams;
pub use side_by_side::step_side_by_side;
pub use start::{Seeding, StartOrder, StartSequence, StartState};

use crate::Error;
use crate::pusht::geometry::Pose;
use crate::pusht::math;
use crate::pusht::observation::STATE_DIM;
use crate::pusht::physics::{Block, Contacts, PHYSICS_DT_S, World};
use core::f64::consts::{FRAC_PI_4, TAU};

/// Physics steps in a control step: 100 Hz by 10 Hz.
pub const PHYSICS_STEPS: usize = 10;
/// Length of a control step, s.
pub const CONTROL_DT_S: f64 = 0.1;
const _: () = assert!(PHYSICS_STEPS as f64 * PHYSICS_DT_S == CONTROL_DT_S);
/// Side of the square window, px.
pub const WINDOW_PX: f64 = 512.0;
/// Where the block is to go, px and rad.
pub const GOAL_PX: Vec2 = Vec2::new(256.0, 256.0);
/// How the block is to be turned, rad.
pub const GOAL_ANGLE_RAD: f64 = FRAC_PI_4;
/// Coverage above which an episode is won.
pub const SUCCESS_THRESHOLD: f64 = 0.95;

/// Gains of the controller: of the way to the goal, 1/s^2, and of the velocity, 1/s.
const K_P: f64 = 100.0;
const K_V: f64 = 20.0;

/// Nothing overflows in a control step from positions (px), velocities (px/s) and angles (rad) below this.
const FAR_OUT: f64 = 1e6;

/// The environment. A plain value: a copy is a snapshot, and continues with the same bits.
#[derive(Clone, Copy, Debug)]
pub struct PushTEnv {
    params: PushTParams,
    world: World,
    n_steps: u32,
    n_contact_points: usize,
    goal: Pose,
    /// The coverage at `covering`.
    coverage: f64,
    covering: Pose,
}

/// What a control step brings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Coverage by the threshold of success, at most 1.
    pub reward: f64,
    /// Share of the goal that is covered.
    pub coverage: f64,
    /// Whether the episode is won.
    pub terminated: bool,
    /// Whether the time limit has come.
    pub truncated: bool,
}

/// gym-pusht's `info`, and what it leaves out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Info {
    /// Where the agent is, px.
    pub agent_pos_px: Vec2,
    /// How it moves, px/s.
    pub agent_vel: Vec2,
    /// Where the block's origin is, px.
    pub block_pos_px: Vec2,
    /// How the block is turned, rad; any number of full turns.
    pub block_angle_rad: f64,
    /// Where the block is to go, px.
    pub goal_pos_px: Vec2,
    /// How it is to be turned, rad.
    pub goal_angle_rad: f64,
    /// Contact points a physics step of the last control step, rounded up. (gym-pusht divides by 1000 where 10 is
    /// meant, and so says 1 for any contact.)
    pub n_contacts: usize,
    /// Contact points of all physics steps of the last control step.
    pub n_contact_points: usize,
    /// Whether the coverage is above the threshold.
    pub is_success: bool,
}

impl PushTEnv {
    /// The environment at the start of an episode.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`], [`Error::NonFiniteState`], [`Error::OutOfRange`].
    pub fn new(params: PushTParams, start: StartState, order: StartOrder) -> Result<Self, Error> {
        params.check()?;
        if !start.is_finite() {
            return Err(Error::NonFiniteState);
        }
        let block = Block::new(params.block_cog_px, params.block_moment);
        let damping_factor = math::pow(params.damping, PHYSICS_DT_S);
        let mut env = Self {
            params,
            world: World::new(block, damping_factor),
            n_steps: 0,
            n_contact_points: 0,
            goal: Pose::new(GOAL_PX, GOAL_ANGLE_RAD),
            coverage: 0.0,
            covering: block.pose,
        };
        env.place(start, order);
        // One physics step, for the bodies to take notice (gym-pusht `_set_state`).
        env.n_contact_points = env.world.step(&mut Contacts::new(), &mut |_| ());
        if !env.is_in_range() {
            return Err(Error::OutOfRange);
        }
        env.measure();
        Ok(env)
    }

    /// Starts another episode.
    ///
    /// # Errors
    /// Those of [`Self::new`]; the environment is then as it was.
    pub fn reset(&mut self, start: StartState, order: StartOrder) -> Result<(), Error> {
        *self = Self::new(self.params, start, order)?;
        Ok(())
    }

    fn place(&mut self, start: StartState, order: StartOrder) {
        self.world.agent.pos = start.agent_px;
        match order {
            StartOrder::Legacy => {
                self.world.block.set_position(start.block_px);
                self.world.block.set_angle(start.block_angle_rad);
            }
            StartOrder::AngleFirst => {
                self.world.block.set_angle(start.block_angle_rad);
                self.world.block.set_position(start.block_px);
            }
        }
        self.world.update_shapes();
    }

    /// A control step: the agent goes towards `action`, px, for [`CONTROL_DT_S`]. Actions outside of the window are
    /// legal.
    ///
    /// # Errors
    /// [`Error::NonFiniteAction`], [`Error::OutOfRange`]; the environment is then as it was.
    pub fn step(&mut self, action: [f64; 2]) -> Result<Step, Error> {
        self.step_watched(action, |_| ())
    }

    /// [`Self::step`], for a benchmark: `probe` is told what begins.
    ///
    /// # Errors
    /// The same.
    pub fn step_watched(
        &mut self,
        action: [f64; 2],
        mut probe: impl FnMut(Phase),
    ) -> Result<Step, Error> {
        let mut step = ControlStep::new(action)?;
        let before = if self.may_leave_range(step.goal) {
            Some(*self)
        } else {
            None
        };
        let mut contacts = Contacts::new();
        for _ in 0..PHYSICS_STEPS {
            step.advance(self, &mut contacts, &mut probe);
        }
        if let Some(before) = before
            && !self.is_in_range()
        {
            *self = before;
            return Err(Error::OutOfRange);
        }
        probe(Phase::Coverage);
        Ok(step.end(self))
    }

    /// Whether something is so far out that a control step could leave the range of `f64`.
    fn may_leave_range(&self, goal: Vec2) -> bool {
        let block = &self.world.block;
        [
            self.world.agent.pos,
            self.world.agent.vel,
            block.cog,
            block.velocity.linear,
            goal,
        ]
        .iter()
        .any(|v| v.amax() > FAR_OUT)
            || block.angle_rad.abs() > FAR_OUT
            || block.velocity.angular.abs() > FAR_OUT
    }

    fn is_in_range(&self) -> bool {
        let agent = &self.world.agent;
        [agent.pos, agent.vel, self.world.block.velocity.linear]
            .iter()
            .all(|v| v.x.is_finite() && v.y.is_finite())
            && self.state().iter().all(|value| value.is_finite())
    }

    /// The PD controller: it sets the agent's acceleration.
    fn control(&mut self, goal: Vec2) {
        let agent = &mut self.world.agent;
        let acceleration = (goal - agent.pos) * K_P + (Vec2::zeros() - agent.vel) * K_V;
        agent.vel += acceleration * PHYSICS_DT_S;
    }

    /// Brings the coverage up to date; a block that lies still covers what it did.
    fn measure(&mut self) {
        if self.covering != self.world.block.pose {
            self.covering = self.world.block.pose;
            self.coverage = coverage::coverage(&self.covering, &self.goal);
        }
    }

    fn outcome(&self) -> Step {
        Step {
            reward: (self.coverage / SUCCESS_THRESHOLD).clamp(0.0, 1.0),
            coverage: self.coverage,
            terminated: self.coverage > SUCCESS_THRESHOLD,
            truncated: self
                .params
                .max_episode_steps
                .is_some_and(|most| self.n_steps >= most),
        }
    }

    /// Agent x, y, block x, y, px; block angle in [0, 2 pi), rad.
    pub fn state(&self) -> [f64; STATE_DIM] {
        let (agent, block) = (&self.world.agent, &self.world.block);
        let angle_rad = wrap_angle(block.angle_rad);
        [
            agent.pos.x,
            agent.pos.y,
            block.pose.origin.x,
            block.pose.origin.y,
            angle_rad,
        ]
    }

    /// Share of the goal that the block covers.
    pub fn coverage(&self) -> f64 {
        self.coverage
    }

    /// Reward and the rest for the state as it is.
    pub fn current(&self) -> Step {
        self.outcome()
    }

    /// More about the state.
    pub fn info(&self) -> Info {
        let (agent, block) = (&self.world.agent, &self.world.block);
        Info {
            agent_pos_px: agent.pos,
            agent_vel: agent.vel,
            block_pos_px: block.pose.origin,
            block_angle_rad: block.angle_rad,
            goal_pos_px: GOAL_PX,
            goal_angle_rad: GOAL_ANGLE_RAD,
            n_contacts: self.n_contact_points.div_ceil(PHYSICS_STEPS),
            n_contact_points: self.n_contact_points,
            is_success: self.coverage > SUCCESS_THRESHOLD,
        }
    }

    /// The parameters.
    pub fn params(&self) -> &PushTParams {
        &self.params
    }
}

/// Share of the goal that a block covers whose origin is at `pos`, px, and which is turned by `angle_rad`.
pub fn coverage_at(pos: Vec2, angle_rad: f64) -> f64 {
    let goal = Pose::new(GOAL_PX, GOAL_ANGLE_RAD);
    coverage::coverage(&Pose::new(pos, angle_rad), &goal)
}

/// A control step that is taken one physics step at a time, for example in a timer's interrupt: [`PHYSICS_STEPS`] times
/// [`physics_step`](Self::physics_step), then [`finish`](Self::finish), are [`PushTEnv::step`].
#[derive(Clone, Copy, Debug)]
pub struct ControlStep {
    goal: Vec2,
    n_contact_points: usize,
}

impl ControlStep {
    /// The agent is to go towards `action`, px.
    ///
    /// # Errors
    /// [`Error::NonFiniteAction`].
    pub fn new(action: [f64; 2]) -> Result<Self, Error> {
        if !action.iter().all(|value| value.is_finite()) {
            return Err(Error::NonFiniteAction);
        }
        Ok(Self {
            goal: Vec2::from(action),
            n_contact_points: 0,
        })
    }

    /// PD control and a physics step.
    pub fn physics_step(&mut self, env: &mut PushTEnv) {
        self.advance(env, &mut Contacts::new(), &mut |_| ());
    }

    #[inline]
    fn advance(
        &mut self,
        env: &mut PushTEnv,
        contacts: &mut Contacts,
        probe: &mut impl FnMut(Phase),
    ) {
        env.control(self.goal);
        self.n_contact_points += env.world.step(contacts, probe);
    }

    /// What the control step brought.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]; there is then no way back.
    pub fn finish(self, env: &mut PushTEnv) -> Result<Step, Error> {
        if !env.is_in_range() {
            return Err(Error::OutOfRange);
        }
        Ok(self.end(env))
    }

    fn end(self, env: &mut PushTEnv) -> Step {
        env.n_steps = env.n_steps.saturating_add(1);
        env.n_contact_points = self.n_contact_points;
        env.measure();
        env.outcome()
    }
}

/// The angle in [0, 2 pi), as Python's `%` has it.
fn wrap_angle(angle_rad: f64) -> f64 {
    let rest = angle_rad % TAU;
    if rest == 0.0 {
        0.0
    } else if rest < 0.0 {
        rest + TAU
    } else {
        rest
    }
}
