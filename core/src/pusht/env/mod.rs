//! PushT environment: an action is the agent's target position, the reward the share of the goal
//! that the block covers.
//!
//! Equals gym-pusht 0.1.8 (`gym_pusht/envs/pusht.py`) and, with [`Seeding::Legacy`],
//! diffusion_policy.

mod coverage;
mod params;
mod side_by_side;
mod start;

pub use crate::pusht::geometry::Vec2;
pub use crate::pusht::physics::{ContactPoint, MAX_CONTACTS, Phase};
pub use params::PushTParams;
pub use side_by_side::step_side_by_side;
pub use start::{Seeding, StartOrder, StartSequence, StartState};

use crate::Error;
use crate::pusht::geometry::{Pose, dot};
use crate::pusht::math;
use crate::pusht::observation::STATE_DIM;
use crate::pusht::physics::{Block, Contacts, PHYSICS_DT_S, World};
use core::f64::consts::{FRAC_PI_4, TAU};

/// Physics steps per control step (gym-pusht: `dt` = 0.01 s, `control_hz` = 10).
pub const PHYSICS_STEPS: usize = 10;
/// Length of a control step, s (gym-pusht: `control_hz` = 10).
pub const CONTROL_DT_S: f64 = 0.1;
const _: () = assert!(PHYSICS_STEPS as f64 * PHYSICS_DT_S == CONTROL_DT_S);
/// Side of the square window, px (gym-pusht: 512).
pub const WINDOW_PX: f64 = 512.0;
/// Default goal position of the block's origin, px (gym-pusht `_setup`).
pub const GOAL_PX: Vec2 = Vec2::new(256.0, 256.0);
/// Default goal angle of the block, rad (gym-pusht `_setup`).
pub const GOAL_ANGLE_RAD: f64 = FRAC_PI_4;
/// Default coverage above which an episode is a success (gym-pusht `success_threshold`).
pub const SUCCESS_THRESHOLD: f64 = 0.95;

/// Proportional gain of the PD controller, 1/s^2 (gym-pusht `k_p`).
const K_P: f64 = 100.0;
/// Derivative gain of the PD controller, 1/s (gym-pusht `k_v`).
const K_V: f64 = 20.0;

/// Bound on positions (px), velocities (px/s) and angles (rad) within which no control step
/// overflows.
const FAR_OUT: f64 = 1e6;

/// Environment with all its state. A copy is a snapshot and continues with the same bits.
///
/// ```
/// use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
///
/// let start = StartState::from_seed(7, Seeding::Pcg64)?;
/// let mut env = PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy)?;
/// let step = env.step([256.0, 256.0])?;
/// assert!((0.0..=1.0).contains(&step.reward));
///
/// let snapshot = env; // a copy
/// let first = env.step([100.0, 300.0])?;
/// env = snapshot;
/// assert_eq!(env.step([100.0, 300.0])?, first);
///
/// env.reset(StartState::from_seed(8, Seeding::Pcg64)?, StartOrder::Legacy)?;
/// # Ok::<(), pusht_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PushTEnv {
    params: PushTParams,
    world: World,
    n_steps: u32,
    n_contact_points: usize,
    goal: Pose,
    /// Coverage of the block at `coverage_pose`.
    coverage: f64,
    coverage_pose: Pose,
}

/// Outcome of a control step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Coverage divided by [`PushTParams::success_threshold`], at most 1.
    pub reward: f64,
    /// Share of the goal that the block covers, 0 to 1.
    pub coverage: f64,
    /// Whether the coverage is above [`PushTParams::success_threshold`].
    pub terminated: bool,
    /// Whether [`PushTParams::max_episode_steps`] is reached.
    pub truncated: bool,
}

/// gym-pusht's `info`, with additions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Info {
    /// Position of the agent, px.
    pub agent_pos_px: Vec2,
    /// Velocity of the agent, px/s.
    pub agent_vel: Vec2,
    /// Position of the block's origin, px.
    pub block_pos_px: Vec2,
    /// Angle of the block, rad, not wrapped.
    pub block_angle_rad: f64,
    /// Goal position of the block's origin, px.
    pub goal_pos_px: Vec2,
    /// Goal angle of the block, rad.
    pub goal_angle_rad: f64,
    /// Contact points per physics step of the last control step, rounded up. (gym-pusht divides by
    /// 1000 where 10 is meant, and so reports 1 for any contact.)
    pub n_contacts: usize,
    /// Contact points of the last control step, summed over its physics steps.
    pub n_contact_points: usize,
    /// Whether the coverage is above [`PushTParams::success_threshold`].
    pub is_success: bool,
}

impl PushTEnv {
    /// Makes an environment at the start of an episode.
    ///
    /// # Errors
    /// - [`Error::InvalidParameter`] if a parameter is outside of its documented range.
    /// - [`Error::NonFiniteState`] if the start has a NaN or infinite value.
    /// - [`Error::OutOfRange`] if the start is so far out that a physics step overflows.
    pub fn new(params: PushTParams, start: StartState, order: StartOrder) -> Result<Self, Error> {
        params.check()?;
        if !start.is_finite() {
            return Err(Error::NonFiniteState);
        }
        let block = Block::new(params.block_cog_px, params.block_moment, params.block_scale);
        let damping_factor = math::pow(params.damping, PHYSICS_DT_S);
        let mut env = Self {
            params,
            world: World::new(block, damping_factor, params.agent_radius_px),
            n_steps: 0,
            n_contact_points: 0,
            goal: Pose::new(params.goal_px, params.goal_angle_rad),
            coverage: 0.0,
            coverage_pose: block.pose,
        };
        env.place(start, order);
        // One physics step, which moves the bodies out of overlap (gym-pusht `_set_state`).
        env.n_contact_points = env.world.step(&mut Contacts::new(), &mut |_| ());
        if !env.is_in_range() {
            return Err(Error::OutOfRange);
        }
        env.compute_coverage();
        Ok(env)
    }

    /// Starts another episode.
    ///
    /// # Errors
    /// Those of [`Self::new`]. The environment is then unchanged.
    pub fn reset(&mut self, start: StartState, order: StartOrder) -> Result<(), Error> {
        *self = Self::new(self.params, start, order)?;
        Ok(())
    }

    /// Replaces the parameters. Goal, success threshold, speed limit and time limit hold immediately;
    /// the others from the next [`Self::reset`] on.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if a parameter is outside of its documented range. The
    /// environment is then unchanged.
    pub fn set_params(&mut self, params: PushTParams) -> Result<(), Error> {
        params.check()?;
        self.params = params;
        self.goal = Pose::new(params.goal_px, params.goal_angle_rad);
        self.compute_coverage();
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

    /// Advances by [`CONTROL_DT_S`] with the agent's target position `action`, px, which may lie
    /// outside of the window.
    ///
    /// # Errors
    /// The environment is unchanged after either error.
    /// - [`Error::NonFiniteAction`] if a coordinate is NaN or infinite.
    /// - [`Error::OutOfRange`] if values are so large that the motion overflows.
    pub fn step(&mut self, action: [f64; 2]) -> Result<Step, Error> {
        self.step_profiled(action, |_| ())
    }

    /// [`Self::step`] for profiling: `probe` is called with each phase as it begins.
    ///
    /// # Errors
    /// Those of [`Self::step`].
    pub fn step_profiled(
        &mut self,
        action: [f64; 2],
        mut probe: impl FnMut(Phase),
    ) -> Result<Step, Error> {
        let step = ControlStep::new(action)?;
        if self.may_leave_range(step.goal) {
            return self.step_or_restore(step, &mut probe);
        }
        Ok(self.take(step, &mut probe))
    }

    // Not inlined: the copy would be on the stack of every step.
    #[cold]
    #[inline(never)]
    fn step_or_restore(
        &mut self,
        step: ControlStep,
        probe: &mut impl FnMut(Phase),
    ) -> Result<Step, Error> {
        let before = *self;
        let outcome = self.take(step, probe);
        if !self.is_in_range() {
            *self = before;
            return Err(Error::OutOfRange);
        }
        Ok(outcome)
    }

    /// Takes all of `step`. Not inlined: a device has one copy.
    #[inline(never)]
    fn take(&mut self, mut step: ControlStep, probe: &mut impl FnMut(Phase)) -> Step {
        let mut contacts = Contacts::new();
        for _ in 0..PHYSICS_STEPS {
            step.advance(self, &mut contacts, probe);
        }
        probe(Phase::Coverage);
        step.end(self)
    }

    /// Whether a value is so large that a control step could overflow.
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

    /// PD controller: accelerates the agent towards its target.
    fn control(&mut self, goal: Vec2) {
        let agent = &mut self.world.agent;
        agent.vel += acceleration(goal, agent.pos, agent.vel) * PHYSICS_DT_S;
        if let Some(most) = self.params.agent_speed_limit {
            let squared = dot(agent.vel, agent.vel);
            if squared > most * most {
                agent.vel *= most / math::sqrt(squared);
            }
        }
    }

    /// Sets the agent's position, px, and velocity, px/s, of a model of the scene.
    pub(super) fn set_agent(&mut self, pos: Vec2, vel: Vec2) {
        (self.world.agent.pos, self.world.agent.vel) = (pos, vel);
        self.world.wake();
    }

    /// Moves the agent by `agent_px`, and the block's origin by `block_px`; turns the block about it by
    /// `turn_rad`. Nothing is in the way, and velocities stay: a shove, or a correction of a model.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if a value is NaN or infinite, or so large that the motion overflows.
    /// The environment is unchanged then.
    pub fn displace(&mut self, agent_px: Vec2, block_px: Vec2, turn_rad: f64) -> Result<(), Error> {
        let before = *self;
        self.world.agent.pos += agent_px;
        self.world.block.displace(block_px, turn_rad);
        if !self.is_in_range() || self.may_leave_range(Vec2::zeros()) {
            *self = before;
            return Err(Error::OutOfRange);
        }
        self.world.update_shapes();
        self.update_coverage();
        Ok(())
    }

    /// Updates the coverage if the block moved.
    fn update_coverage(&mut self) {
        if self.coverage_pose != self.world.block.pose {
            self.compute_coverage();
        }
    }

    fn compute_coverage(&mut self) {
        self.coverage_pose = self.world.block.pose;
        self.coverage = coverage::coverage(&self.coverage_pose, &self.goal, self.world.block.scale);
    }

    fn outcome(&self) -> Step {
        Step {
            reward: (self.coverage / self.params.success_threshold).clamp(0.0, 1.0),
            coverage: self.coverage,
            terminated: self.coverage > self.params.success_threshold,
            truncated: self
                .params
                .max_episode_steps
                .is_some_and(|most| self.n_steps >= most),
        }
    }

    /// State vector: agent x, y, block x, y, px; block angle, rad, from 0 to 2 pi. It is exactly
    /// 2 pi for an angle so little below 0 that the sum with 2 pi is rounded to that, as in Python.
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

    /// Share of the goal that the block covers, 0 to 1.
    pub fn coverage(&self) -> f64 {
        self.coverage
    }

    /// Outcome of the last control step, or of the start.
    pub fn current(&self) -> Step {
        self.outcome()
    }

    /// State in detail.
    pub fn info(&self) -> Info {
        let (agent, block) = (&self.world.agent, &self.world.block);
        Info {
            agent_pos_px: agent.pos,
            agent_vel: agent.vel,
            block_pos_px: block.pose.origin,
            block_angle_rad: block.angle_rad,
            goal_pos_px: self.params.goal_px,
            goal_angle_rad: self.params.goal_angle_rad,
            n_contacts: self.n_contact_points.div_ceil(PHYSICS_STEPS),
            n_contact_points: self.n_contact_points,
            is_success: self.coverage > self.params.success_threshold,
        }
    }

    /// Calls `visit` with each contact point of the last physics step, in the order of the solver:
    /// at most [`MAX_CONTACTS`].
    pub fn visit_contacts(&self, visit: impl FnMut(&ContactPoint)) {
        self.world.visit_contacts(visit);
    }

    /// Parameters of the environment.
    pub fn params(&self) -> &PushTParams {
        &self.params
    }
}

/// The PD controller's acceleration of an agent at `pos` towards `goal`.
#[inline]
fn acceleration(goal: Vec2, pos: Vec2, vel: Vec2) -> Vec2 {
    (goal - pos) * K_P + (Vec2::zeros() - vel) * K_V
}

/// Position and velocity of an agent after a control step towards `goal`: contacts do not change
/// its motion.
pub(super) fn agent_after_step(goal: Vec2, mut pos: Vec2, mut vel: Vec2) -> (Vec2, Vec2) {
    for _ in 0..PHYSICS_STEPS {
        vel += acceleration(goal, pos, vel) * PHYSICS_DT_S;
        pos += vel * PHYSICS_DT_S;
    }
    (pos, vel)
}

/// Share of the default goal, 0 to 1, that a block with its origin at `pos`, px, and angle `angle_rad`
/// covers.
pub fn coverage_at(pos: Vec2, angle_rad: f64) -> f64 {
    let goal = Pose::new(GOAL_PX, GOAL_ANGLE_RAD);
    coverage::coverage(&Pose::new(pos, angle_rad), &goal, 1.0)
}

/// Control step in parts, for example one per timer interrupt: [`PHYSICS_STEPS`] calls of
/// [`physics_step`](Self::physics_step), then [`finish`](Self::finish), equal [`PushTEnv::step`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ControlStep {
    goal: Vec2,
    n_contact_points: usize,
}

impl ControlStep {
    /// Begins a control step with the agent's target position `action`, px.
    ///
    /// # Errors
    /// [`Error::NonFiniteAction`] if a coordinate is NaN or infinite.
    pub fn new(action: [f64; 2]) -> Result<Self, Error> {
        if !action.iter().all(|value| value.is_finite()) {
            return Err(Error::NonFiniteAction);
        }
        Ok(Self {
            goal: Vec2::from(action),
            n_contact_points: 0,
        })
    }

    /// Runs the PD controller and one physics step.
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

    /// Updates coverage and counters; returns the outcome.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the motion overflowed. Unlike after [`PushTEnv::step`], the
    /// environment is then unusable until it is reset or replaced by a copy.
    pub fn finish(self, env: &mut PushTEnv) -> Result<Step, Error> {
        if !env.is_in_range() {
            return Err(Error::OutOfRange);
        }
        Ok(self.end(env))
    }

    fn end(self, env: &mut PushTEnv) -> Step {
        env.n_steps = env.n_steps.saturating_add(1);
        env.n_contact_points = self.n_contact_points;
        env.update_coverage();
        env.outcome()
    }
}

/// The angle from 0 to 2 pi, both included, as Python's `%` computes it.
pub(super) fn wrap_angle(angle_rad: f64) -> f64 {
    let rest = angle_rad % TAU;
    if rest == 0.0 {
        0.0
    } else if rest < 0.0 {
        rest + TAU
    } else {
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also Python's `-1e-17 % (2 * math.pi)` is `2 * math.pi`.
    #[test]
    fn the_angle_is_from_zero_to_a_whole_turn_both_included() {
        assert_eq!(wrap_angle(-1e-17), TAU);
        assert_eq!(wrap_angle(-1e-15), TAU - 1e-15);
        for turns in [-2.0, -1.0, -0.0, 0.0, 1.0, 2.0] {
            assert_eq!(wrap_angle(turns * TAU).to_bits(), 0.0_f64.to_bits());
        }
    }

    #[test]
    fn a_time_limit_of_no_step_is_refused() {
        let params = PushTParams {
            max_episode_steps: Some(0),
            ..PushTParams::default()
        };
        let what = "max_episode_steps";
        assert_eq!(params.check(), Err(Error::InvalidParameter { what }));
    }

    #[test]
    fn a_displaced_block_is_elsewhere_and_a_far_displacement_changes_nothing() {
        let start = StartState::from_seed(3, Seeding::Legacy).unwrap();
        let mut env = PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy).unwrap();
        let before = env;
        for by in [[f64::NAN, 0.0], [0.0, f64::INFINITY], [2e6, 0.0]] {
            let moved = env.displace(Vec2::zeros(), Vec2::from(by), 0.0);
            assert_eq!(moved, Err(Error::OutOfRange));
            assert_eq!(env, before);
        }
        let to_goal = GOAL_PX - env.info().block_pos_px;
        env.displace(Vec2::zeros(), to_goal, 0.0).unwrap();
        let [agent_x, agent_y, x, y, angle_rad] = env.state();
        assert!((Vec2::new(x, y) - GOAL_PX).amax() < 1e-9);
        assert_eq!([agent_x, agent_y, angle_rad], {
            let [agent_x, agent_y, _, _, angle_rad] = before.state();
            [agent_x, agent_y, angle_rad]
        });
        assert_eq!(
            env.coverage(),
            coverage_at(Vec2::new(x, y), env.info().block_angle_rad)
        );
        assert!(env.coverage() > before.coverage());
        env.step([agent_x, agent_y]).unwrap();
    }
}
