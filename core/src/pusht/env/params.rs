//! Parameters of the environment.

use super::{FAR_OUT, GOAL_ANGLE_RAD, GOAL_PX, SUCCESS_THRESHOLD};
use crate::Error;
use crate::pusht::geometry::Vec2;
use crate::pusht::physics::AGENT_RADIUS_PX;

/// Parameters of the environment. The defaults are gym-pusht's, quirks included.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PushTParams {
    /// Centre of gravity of the block in body coordinates, px (gym-pusht's `block_cog`);
    /// coordinates from -1e6 to 1e6.
    pub block_cog_px: Vec2,
    /// Moment of inertia of the block (mass 1), px^2; from 1e-3 to 1e12.
    pub block_moment: f64,
    /// Size of the block and of its goal, as a factor of gym-pusht's; from 0.5 to 2. Centre of
    /// gravity and moment of inertia do not follow it: see [`Self::scaled`].
    pub block_scale: f64,
    /// Radius of the agent, px; from 1 to 100.
    pub agent_radius_px: f64,
    /// Largest speed of the agent, px/s, above 0; `None` for any.
    pub agent_speed_limit: Option<f64>,
    /// Share of its velocity that the block keeps per second without contact (gym-pusht's
    /// `damping`); from 0 to 1.
    pub damping: f64,
    /// Goal position of the block's origin, px (gym-pusht's `goal_pose`); coordinates from -1e6 to
    /// 1e6.
    pub goal_px: Vec2,
    /// Goal angle of the block, rad (gym-pusht's `goal_pose`); from -1e6 to 1e6.
    pub goal_angle_rad: f64,
    /// Coverage above which an episode is a success (gym-pusht's `success_threshold`); above 0, at
    /// most 1.
    pub success_threshold: f64,
    /// Control steps after which [`Step::truncated`](super::Step::truncated) is set, at least 1;
    /// `None` for never. The environment can be stepped further.
    pub max_episode_steps: Option<u32>,
}

/// Quirk: the mean of the boxes' centroids, px, not weighted by their areas (gym-pusht `add_tee`).
const MEAN_OF_CENTROIDS_PX: Vec2 = Vec2::new(0.0, 45.0);
/// Quirk: twice the moment of the bar about the body's origin, px^2; the stem's is not computed
/// (gym-pusht `add_tee`).
const TWICE_THE_MOMENT_OF_THE_BAR: f64 = 3000.0;
/// Time limit, control steps (`max_episode_steps` of gym-pusht's registration).
const MAX_EPISODE_STEPS: u32 = 300;

impl Default for PushTParams {
    fn default() -> Self {
        Self {
            block_cog_px: MEAN_OF_CENTROIDS_PX,
            block_moment: TWICE_THE_MOMENT_OF_THE_BAR,
            block_scale: 1.0,
            agent_radius_px: AGENT_RADIUS_PX,
            agent_speed_limit: None,
            damping: 0.0,
            goal_px: GOAL_PX,
            goal_angle_rad: GOAL_ANGLE_RAD,
            success_threshold: SUCCESS_THRESHOLD,
            max_episode_steps: Some(MAX_EPISODE_STEPS),
        }
    }
}

/// Moments of inertia, px^2, with which distances up to 1e6 px do not overflow.
const MOMENTS: core::ops::RangeInclusive<f64> = 1e-3..=1e12;

impl PushTParams {
    /// Checks that every parameter is in its documented range, so that none can lead to a NaN.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] with the name of the first that is outside of its range.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |what| Err(Error::InvalidParameter { what });
        if !self.block_cog_px.iter().all(|value| value.abs() <= FAR_OUT) {
            return refuse("block_cog_px");
        }
        if !MOMENTS.contains(&self.block_moment) {
            return refuse("block_moment");
        }
        if !(0.5..=2.0).contains(&self.block_scale) {
            return refuse("block_scale");
        }
        if !(1.0..=100.0).contains(&self.agent_radius_px) {
            return refuse("agent_radius_px");
        }
        if self
            .agent_speed_limit
            .is_some_and(|most| most.is_nan() || most <= 0.0)
        {
            return refuse("agent_speed_limit");
        }
        if !(0.0..=1.0).contains(&self.damping) {
            return refuse("damping");
        }
        if !self.goal_px.iter().all(|value| value.abs() <= FAR_OUT) {
            return refuse("goal_px");
        }
        if !(-FAR_OUT..=FAR_OUT).contains(&self.goal_angle_rad) {
            return refuse("goal_angle_rad");
        }
        if !(self.success_threshold > 0.0 && self.success_threshold <= 1.0) {
            return refuse("success_threshold");
        }
        if self.max_episode_steps == Some(0) {
            return refuse("max_episode_steps");
        }
        Ok(())
    }

    /// These parameters with a block `scale` times as large: its centre of gravity and its moment of
    /// inertia grow with it, its mass does not.
    pub fn scaled(&self, scale: f64) -> Self {
        Self {
            block_scale: self.block_scale * scale,
            block_cog_px: self.block_cog_px * scale,
            block_moment: self.block_moment * scale * scale,
            ..*self
        }
    }

    /// Parameters without gym-pusht's quirks: centre of gravity weighted by area, and the moment of
    /// both boxes about it.
    pub fn corrected() -> Self {
        // Width, height and centroid of bar and stem, px.
        let boxes = [(120.0, 30.0, 15.0), (30.0, 90.0, 75.0)];
        let area: f64 = boxes.iter().map(|(w, h, _)| w * h).sum();
        let cog: f64 = boxes.iter().map(|(w, h, y)| w * h / area * y).sum();
        let moment = boxes
            .iter()
            .map(|(w, h, y)| w * h / area * ((w * w + h * h) / 12.0 + (y - cog) * (y - cog)))
            .sum();
        Self {
            block_cog_px: Vec2::new(0.0, cog),
            block_moment: moment,
            ..Self::default()
        }
    }
}
