//! The two bodies that move: the agent, which nothing stops, and the block, which the contacts push.

use super::PHYSICS_DT_S;
use crate::pusht::geometry::{Pose, Vec2};

/// Mass of the block, so that an impulse is the change of its velocity (gym-pusht `add_tee`).
pub(crate) const BLOCK_MASS: f64 = 1.0;
const _: () = assert!(BLOCK_MASS == 1.0);

/// A kinematic body: it has the velocity that the controller gives it, whatever it meets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agent {
    pub(crate) pos: Vec2,
    pub(crate) vel: Vec2,
}

impl Agent {
    pub(crate) fn integrate_position(&mut self) {
        self.pos += self.vel * PHYSICS_DT_S;
    }
}

/// A velocity of the plane: of the centre of gravity (px/s), and about it (rad/s).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Twist {
    pub(crate) linear: Vec2,
    pub(crate) angular: f64,
}

impl Twist {
    pub(crate) const ZERO: Self = Self {
        linear: Vec2::new(0.0, 0.0),
        angular: 0.0,
    };
}

/// The T.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// Where the centre of gravity is in the body, and in the world.
    pub(crate) cog_local: Vec2,
    pub(crate) cog: Vec2,
    pub(crate) angle_rad: f64,
    pub(crate) velocity: Twist,
    /// Moves bodies apart for one step and is then forgotten, so that pushing out adds no energy.
    pub(crate) pseudo_velocity: Twist,
    pub(crate) inverse_moment: f64,
    pub(crate) pose: Pose,
}

impl Block {
    pub(crate) fn new(cog_local: Vec2, moment: f64) -> Self {
        Self {
            cog_local,
            cog: Vec2::zeros(),
            angle_rad: 0.0,
            velocity: Twist::ZERO,
            pseudo_velocity: Twist::ZERO,
            inverse_moment: 1.0 / moment,
            pose: Pose::new(Vec2::zeros(), 0.0),
        }
    }

    /// Puts the body's origin at `pos`.
    pub(crate) fn set_position(&mut self, pos: Vec2) {
        self.cog = self.pose.rotate(self.cog_local) + pos;
        self.update_pose();
    }

    /// Turns the body about its centre of gravity, which moves its origin.
    pub(crate) fn set_angle(&mut self, angle_rad: f64) {
        self.angle_rad = angle_rad;
        self.update_pose();
    }

    /// Moves by both velocities and says whether that was a motion at all.
    pub(crate) fn integrate_position(&mut self) -> bool {
        let linear = self.velocity.linear + self.pseudo_velocity.linear;
        let angular = self.velocity.angular + self.pseudo_velocity.angular;
        self.pseudo_velocity = Twist::ZERO;
        if linear == Vec2::zeros() && angular == 0.0 {
            return false;
        }
        self.cog += linear * PHYSICS_DT_S;
        self.angle_rad += angular * PHYSICS_DT_S;
        self.update_pose();
        true
    }

    fn update_pose(&mut self) {
        self.pose = Pose::about(self.cog_local, self.cog, self.angle_rad);
    }
}
