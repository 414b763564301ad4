//! The arguments of an environment.

use crate::arrays::numbers;
use crate::errors::refused;
use crate::pictures::Size;
use pusht_core::Error;
use pusht_core::pusht::env::{PushTParams, Seeding, StartOrder, Vec2};
use pusht_core::pusht::observation::{
    MASKED_KEYPOINTS_DIM, MaskedKeypoints, ObservationKind, STATE_DIM,
};
use pusht_gym::batch::BatchOptions;
use pusht_gym::pusht::ObsType;
use pusht_gym::vector::AutoresetMode;
use pyo3::conversion::FromPyObjectOwned;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use std::str::FromStr;

/// Largest width and height of a picture, pixels.
const MAX_SIDE: i64 = 1 << 14;

/// What an observation consists of.
pub trait Parts {
    /// What the simulator's side observes.
    fn kind(self) -> ObservationKind;

    /// Values in the array beside the agent's position, or alone.
    fn n_values(self) -> usize;

    /// Whether there is a picture.
    fn has_pixels(self) -> bool;

    /// Name of the array in a dictionary beside the agent's position; `None` if it is alone.
    fn name_beside_agent(self) -> Option<&'static str>;
}

impl Parts for ObsType {
    fn kind(self) -> ObservationKind {
        match self {
            Self::State | Self::Pixels | Self::PixelsAgentPos => ObservationKind::State,
            Self::EnvironmentStateAgentPos => ObservationKind::Vertices,
            Self::Keypoints => ObservationKind::Keypoints,
        }
    }

    fn n_values(self) -> usize {
        match self {
            Self::State => STATE_DIM,
            Self::EnvironmentStateAgentPos => ObservationKind::Vertices.agent_at(),
            Self::Keypoints => MASKED_KEYPOINTS_DIM,
            Self::Pixels | Self::PixelsAgentPos => 0,
        }
    }

    fn has_pixels(self) -> bool {
        matches!(self, Self::Pixels | Self::PixelsAgentPos)
    }

    fn name_beside_agent(self) -> Option<&'static str> {
        match self {
            Self::EnvironmentStateAgentPos => Some("environment_state"),
            Self::PixelsAgentPos => Some("pixels"),
            Self::State | Self::Keypoints | Self::Pixels => None,
        }
    }
}

/// The arguments of an environment, checked.
#[derive(Clone, Copy)]
pub struct Options {
    pub obs_type: ObsType,
    pub seeding: Seeding,
    pub start_order: StartOrder,
    pub params: PushTParams,
    pub keypoint_visible_rate: f64,
    /// Size of an observed picture.
    pub observation: Size,
    /// Size of the picture that `render` returns.
    pub visualization: Size,
}

impl<'py> FromPyObject<'_, 'py> for Options {
    type Error = PyErr;

    /// `given`: a `pusht.options.Options`.
    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let keypoint_visible_rate = field(given, "keypoint_visible_rate", "a number")?;
        MaskedKeypoints::new(keypoint_visible_rate, 0).map_err(refused)?;
        Ok(Self {
            seeding: choice(given, "seeding")?,
            obs_type: choice(given, "obs_type")?,
            start_order: choice(given, "start_order")?,
            params: params(given)?,
            keypoint_visible_rate,
            observation: [
                side(given, "observation_width")?,
                side(given, "observation_height")?,
            ],
            visualization: [
                side(given, "visualization_width")?,
                side(given, "visualization_height")?,
            ],
        })
    }
}

/// Parameters of the simulator.
fn params(given: Borrowed<'_, '_, PyAny>) -> PyResult<PushTParams> {
    let defaults = PushTParams::default();
    let goal = array(given, "goal_pose")?;
    let cog = array(given, "block_cog")?;
    let damping: Option<f64> = field(given, "damping", "a number or None")?;
    let params = PushTParams {
        block_cog_px: cog.map_or(defaults.block_cog_px, Vec2::from),
        damping: damping.unwrap_or(defaults.damping),
        goal_px: goal.map_or(defaults.goal_px, |[x, y, _]| Vec2::new(x, y)),
        goal_angle_rad: goal.map_or(defaults.goal_angle_rad, |[_, _, angle]| angle),
        success_threshold: field(given, "success_threshold", "a number")?,
        max_episode_steps: field(given, "max_episode_steps", "a number of steps or None")?,
        ..defaults
    };
    params.check().map_err(refused)?;
    Ok(params)
}

/// The attribute `name`, which must be a `needed`.
fn field<'py, T: FromPyObjectOwned<'py>>(
    given: Borrowed<'_, 'py, PyAny>,
    name: &str,
    needed: &str,
) -> PyResult<T> {
    let value = given.getattr(name)?;
    value.extract().map_err(|_| {
        let kind = value.get_type();
        PyTypeError::new_err(format!("{name}: {needed} is needed, not {value} ({kind})"))
    })
}

/// The numbers of the attribute `name`, if there are any.
fn array<const N: usize>(given: Borrowed<'_, '_, PyAny>, name: &str) -> PyResult<Option<[f64; N]>> {
    let value = given.getattr(name)?;
    if value.is_none() {
        return Ok(None);
    }
    numbers(name, &value).map(Some)
}

/// The value that the attribute `name` names.
fn choice<T: FromStr<Err = Error>>(given: Borrowed<'_, '_, PyAny>, name: &str) -> PyResult<T> {
    let value: String = field(given, name, "a string")?;
    parsed(name, &value)
}

/// A width or height of pictures.
fn side(given: Borrowed<'_, '_, PyAny>, name: &str) -> PyResult<usize> {
    let pixels: i64 = field(given, name, "a number of pixels")?;
    if !(1..=MAX_SIDE).contains(&pixels) {
        return Err(PyValueError::new_err(format!(
            "{name}: 1 to {MAX_SIDE} pixels are supported, not {pixels}"
        )));
    }
    Ok(pixels as usize)
}

impl Options {
    /// These options for a batch.
    pub fn of_batch(&self, autoreset_mode: AutoresetMode) -> BatchOptions {
        let rate = self.keypoint_visible_rate;
        let is_masked = self.obs_type == ObsType::Keypoints;
        BatchOptions {
            observation: self.obs_type.kind(),
            keypoint_visible_rate: is_masked.then_some(rate),
            seeding: self.seeding,
            start_order: self.start_order,
            params: self.params,
            autoreset_mode,
            threads: None,
        }
    }
}

/// The order in which a start state is set: the one of this name, or `default`.
pub fn start_order(name: Option<&str>, default: StartOrder) -> PyResult<StartOrder> {
    name.map_or(Ok(default), |name| parsed("start_order", name))
}

/// The value whose type reads this name.
pub fn parsed<T: FromStr<Err = Error>>(argument: &str, name: &str) -> PyResult<T> {
    name.parse().map_err(|error| match error {
        Error::UnknownName { known, .. } => unknown(argument, name, known),
        other => refused(other),
    })
}

/// The value with this name.
pub fn named<T: Copy>(argument: &str, name: &str, values: &[(&str, T)]) -> PyResult<T> {
    let found = values.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = values.iter().map(|(known, _)| *known).collect();
        unknown(argument, name, &known)
    })
}

fn unknown(argument: &str, name: &str, known: &[&str]) -> PyErr {
    PyValueError::new_err(format!(
        "{argument}: `{name}` is not supported, but {} are",
        known.join(", ")
    ))
}
