//! The options of [`PushT`](super::PushT), and their names as keyword arguments.

use crate::env::EnvError;
use crate::pixels::{MAX_SIDE, PictureError};
use crate::value::{Dict, Value};
use pusht_core::names;
use pusht_core::pusht::env::{PushTParams, Seeding, StartOrder};
use pusht_core::pusht::observation::MaskedKeypoints;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Width and height of an observed picture, and of one that is shown, pixels (gym-pusht's
/// `observation_width`, `visualization_width`).
const OBSERVATION_SIZE: usize = 96;
const VISUALIZATION_SIZE: usize = 680;

/// The keyword arguments.
const KWARGS: [&str; 14] = [
    "block_cog",
    "damping",
    "goal_pose",
    "keypoint_visible_rate",
    "legacy",
    "max_episode_steps",
    "obs_type",
    "observation_height",
    "observation_width",
    "picture_style",
    "start_order",
    "success_threshold",
    "visualization_height",
    "visualization_width",
];

/// Kind of observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ObsType {
    /// The five state values.
    State,
    /// gym-pusht's dictionary: the block's eight vertices (16 values) and the agent's position (2).
    EnvironmentStateAgentPos,
    /// diffusion_policy's 40 values: nine keypoints and the agent (20), then their visibility (20).
    Keypoints,
    /// gym-pusht's picture, bytes (height, width, 3).
    Pixels,
    /// gym-pusht's dictionary: the picture and the agent's position (2).
    PixelsAgentPos,
}

names! {
    ObsType, "a kind of observation":
    State = "state",
    EnvironmentStateAgentPos = "environment_state_agent_pos",
    Keypoints = "keypoints",
    Pixels = "pixels",
    PixelsAgentPos = "pixels_agent_pos",
}

/// Kind of picture that [`Env::render`](crate::env::Env::render) returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PictureStyle {
    /// gym-pusht's, byte for byte ([`crate::pixels`]).
    #[default]
    GymPushT,
    /// Square and anti-aliased (`scene`; needs the feature `render`).
    Smooth,
}

names! {
    PictureStyle, "a kind of picture":
    GymPushT = "gym-pusht",
    Smooth = "smooth",
}

/// Options of [`PushT`](super::PushT).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PushTOptions {
    /// Kind of observation.
    pub obs_type: ObsType,
    /// How a seed becomes start states.
    pub seeding: Seeding,
    /// Order in which a start state is set.
    pub start_order: StartOrder,
    /// Parameters of the simulator, with the time limit.
    pub params: PushTParams,
    /// Probability that a keypoint is visible, 0 to 1.
    pub keypoint_visible_rate: f64,
    /// Width of an observed picture, pixels.
    pub observation_width: usize,
    /// Height of an observed picture, pixels.
    pub observation_height: usize,
    /// Width of a rendered picture, pixels.
    pub visualization_width: usize,
    /// Height of a rendered picture, pixels.
    pub visualization_height: usize,
    /// Kind of rendered picture.
    pub picture_style: PictureStyle,
}

impl Default for PushTOptions {
    fn default() -> Self {
        Self {
            obs_type: ObsType::State,
            seeding: Seeding::Pcg64,
            start_order: StartOrder::Legacy,
            params: PushTParams::default(),
            keypoint_visible_rate: 1.0,
            observation_width: OBSERVATION_SIZE,
            observation_height: OBSERVATION_SIZE,
            visualization_width: VISUALIZATION_SIZE,
            visualization_height: VISUALIZATION_SIZE,
            picture_style: PictureStyle::GymPushT,
        }
    }
}

impl PushTOptions {
    /// Checks every option, so that an environment that was made can be reset and drawn.
    ///
    /// # Errors
    /// If a parameter of the simulator or the visible rate is out of its documented range, a
    /// picture has no pixels or a side of more than 16384, or smooth pictures are not square or not
    /// built in.
    pub fn check(&self) -> Result<(), EnvError> {
        for (name, side) in [
            ("observation_width", self.observation_width),
            ("observation_height", self.observation_height),
            ("visualization_width", self.visualization_width),
            ("visualization_height", self.visualization_height),
        ] {
            if !(1..=MAX_SIDE).contains(&side) {
                let message = format!("{name}: {side} pixels; 1 to {MAX_SIDE} are supported");
                return Err(EnvError::new("ValueError", message));
            }
        }
        self.params.check()?;
        MaskedKeypoints::new(self.keypoint_visible_rate, 0)?;
        let [width, height] = [self.visualization_width, self.visualization_height];
        match self.picture_style {
            PictureStyle::Smooth if cfg!(not(feature = "render")) => {
                let message = "picture_style: smooth pictures need the feature `render`";
                Err(EnvError::new("NotImplemented", message))
            }
            PictureStyle::Smooth if width != height => {
                Err(PictureError::NotSquare { width, height }.into())
            }
            PictureStyle::Smooth | PictureStyle::GymPushT => Ok(()),
        }
    }

    fn set(&mut self, name: &str, value: &Value) -> Result<(), EnvError> {
        match name {
            "obs_type" => self.obs_type = named(name, value)?,
            "legacy" => {
                let wrong = || EnvError::wrong_value(name, "a boolean", value);
                self.seeding = match value.as_bool().ok_or_else(wrong)? {
                    true => Seeding::Legacy,
                    false => Seeding::Pcg64,
                }
            }
            "start_order" => self.start_order = named(name, value)?,
            "keypoint_visible_rate" => self.keypoint_visible_rate = number(name, value)?,
            "damping" => self.params.damping = number(name, value)?,
            "block_cog" => self.params.block_cog_px = numbers::<2>(name, value)?.into(),
            "goal_pose" => {
                let [x, y, angle_rad] = numbers(name, value)?;
                self.params.goal_px = [x, y].into();
                self.params.goal_angle_rad = angle_rad;
            }
            "success_threshold" => self.params.success_threshold = number(name, value)?,
            "max_episode_steps" => {
                self.params.max_episode_steps = match value {
                    Value::None => None,
                    value => Some(positive(name, value)?),
                }
            }
            "observation_width" => self.observation_width = side(name, value)?,
            "observation_height" => self.observation_height = side(name, value)?,
            "visualization_width" => self.visualization_width = side(name, value)?,
            "visualization_height" => self.visualization_height = side(name, value)?,
            "picture_style" => self.picture_style = named(name, value)?,
            _ => return Err(EnvError::unknown_argument("PushT", name, &KWARGS)),
        }
        Ok(())
    }
}

/// The options of keyword arguments: those of gym-pusht, and `legacy` (boolean: diffusion_policy's
/// seeding), `start_order` (`legacy`, `angle_first`), `goal_pose`, `success_threshold`,
/// `keypoint_visible_rate`, `max_episode_steps` (`None`: no limit), `picture_style` (`gym-pusht`,
/// `smooth`). Others are the defaults.
impl TryFrom<&Dict> for PushTOptions {
    type Error = EnvError;

    fn try_from(kwargs: &Dict) -> Result<Self, EnvError> {
        let mut options = Self::default();
        for (name, value) in kwargs {
            options.set(name, value)?;
        }
        options.check()?;
        Ok(options)
    }
}

/// The value that argument `name` names.
pub(super) fn named<T: FromStr>(name: &str, value: &Value) -> Result<T, EnvError>
where
    T::Err: std::fmt::Display,
{
    let text = value.as_text();
    let text = text.ok_or_else(|| EnvError::wrong_value(name, "a string", value))?;
    let refused = |error| EnvError::new("ValueError", format!("{name}: {text:?} is {error}"));
    text.parse().map_err(refused)
}

fn number(name: &str, value: &Value) -> Result<f64, EnvError> {
    let number = value.as_float();
    number.ok_or_else(|| EnvError::wrong_value(name, "a number", value))
}

/// The `N` numbers of argument `name`.
pub(super) fn numbers<const N: usize>(name: &str, value: &Value) -> Result<[f64; N], EnvError> {
    let numbers = value.as_slice().and_then(|numbers| numbers.try_into().ok());
    numbers.ok_or_else(|| EnvError::wrong_value(name, &format!("an array of {N} f64"), value))
}

fn positive(name: &str, value: &Value) -> Result<u32, EnvError> {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    let needed = format!("an integer from 1 to {}", u32::MAX);
    let number = number.filter(|number| *number > 0);
    number.ok_or_else(|| EnvError::wrong_value(name, &needed, value))
}

fn side(name: &str, value: &Value) -> Result<usize, EnvError> {
    let side = value.as_u64().and_then(|side| usize::try_from(side).ok());
    let needed = format!("an integer from 1 to {MAX_SIDE}");
    let side = side.filter(|side| (1..=MAX_SIDE).contains(side));
    side.ok_or_else(|| EnvError::wrong_value(name, &needed, value))
}
