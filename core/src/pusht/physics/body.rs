//! The two moving bodies: the kinematic agent, and the dynamic block.

use super::PHYSICS_DT_S;
use crate::pusht::geometry::{Pose, Vec2};

/// Mass of the block (gym-pusht `add_tee`). At 1, an impulse is a change of velocity.
pub(crate) const BLOCK_MASS: f64 = 1.0;
const _: () = assert!(BLOCK_MASS == 1.0);

/// Kinematic body: contacts do not change its velocity, which the controller sets.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Agent {
    /// Centre, px.
    pub(crate) pos: Vec2,
    /// Velocity, px/s.
    pub(crate) vel: Vec2,
    /// Radius, px.
    pub(crate) radius: f64,
}

impl Agent {
    pub(crate) fn integrate_position(&mut self) {
        self.pos += self.vel * PHYSICS_DT_S;
    }
}

/// Linear velocity of the centre of gravity, px/s, and angular velocity, rad/s.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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

/// Dynamic body: the T.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Block {
    /// Centre of gravity in body coordinates, px.
    pub(crate) cog_local: Vec2,
    /// Centre of gravity in the world, px.
    pub(crate) cog: Vec2,
    pub(crate) angle_rad: f64,
    pub(crate) velocity: Twist,
    /// Corrects overlap and lasts for one step, so that the correction adds no energy (Chipmunk's
    /// `v_bias`).
    pub(crate) pseudo_velocity: Twist,
    /// Inverse of the moment of inertia, 1/px^2.
    pub(crate) inverse_moment: f64,
    pub(crate) pose: Pose,
    /// Size, as a factor of that of [`BOXES`](super::BOXES).
    pub(crate) scale: f64,
}

impl Block {
    pub(crate) fn new(cog_local: Vec2, moment: f64, scale: f64) -> Self {
        Self {
            cog_local,
            cog: Vec2::zeros(),
            angle_rad: 0.0,
            velocity: Twist::ZERO,
            pseudo_velocity: Twist::ZERO,
            inverse_moment: 1.0 / moment,
            pose: Pose::new(Vec2::zeros(), 0.0),
            scale,
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

    /// Moves by velocity and pseudo-velocity; returns whether either was not 0.
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

    /// Moves the body's origin by `by`, px, and turns it about the origin by `turn_rad`.
    pub(crate) fn displace(&mut self, by: Vec2, turn_rad: f64) {
        let to = self.pose.origin + by;
        self.set_angle(self.angle_rad + turn_rad);
        self.set_position(to);
    }

    fn update_pose(&mut self) {
        self.pose = Pose::about(self.cog_local, self.cog, self.angle_rad);
    }
}
