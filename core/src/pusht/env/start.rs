//! Start states of episodes.

use crate::Error;
use crate::names;
use crate::pusht::geometry::Vec2;
use crate::pusht::observation::STATE_DIM;
use crate::pusht::seeding::{Generator, RandomState};
use core::f64::consts::PI;

/// Poses of agent and block at the start of an episode.
///
/// ```
/// use pusht_core::pusht::env::{Seeding, StartState};
///
/// let start = StartState::from_seed(100_000, Seeding::Legacy)?;
/// let same = [start.agent_px.x, start.agent_px.y, start.block_px.x, start.block_px.y,
///     start.block_angle_rad];
/// assert_eq!(StartState::from_state(&same), start);
/// # Ok::<(), pusht_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StartState {
    /// Position of the agent, px.
    pub agent_px: Vec2,
    /// Position at which the block's origin is set, px.
    pub block_px: Vec2,
    /// Angle of the block, rad.
    pub block_angle_rad: f64,
}

/// Generator that turns a seed into a start state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Seeding {
    /// NumPy's `RandomState(seed)`, with 32-bit seeds: diffusion_policy, gym-pusht up to 0.1.5, and
    /// all published scores.
    Legacy,
    /// NumPy's `Generator(PCG64(SeedSequence(seed)))`: gym-pusht 0.1.8.
    Pcg64,
}

names! {
    Seeding, "a seeding":
    Legacy = "legacy",
    Pcg64 = "pcg64",
}

/// Start states of one environment's successive episodes, as resets without a seed draw them.
///
/// ```
/// use pusht_core::pusht::env::{Seeding, StartSequence, StartState};
///
/// let mut starts = StartSequence::new(7, Seeding::Pcg64)?;
/// let (first, second) = (starts.draw(), starts.draw());
/// assert_eq!(first, StartState::from_seed(7, Seeding::Pcg64)?);
/// assert_ne!(first, second);
/// # Ok::<(), pusht_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StartSequence(Source);

#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
enum Source {
    /// diffusion_policy seeds its generator in every reset, so all episodes of a seed start alike.
    Legacy(u32),
    Pcg64(Generator),
}

impl StartSequence {
    /// Makes the sequence of a seed.
    ///
    /// # Errors
    /// [`Error::LegacySeedTooLarge`] if a [`Seeding::Legacy`] seed has more than 32 bits.
    pub fn new(seed: u64, seeding: Seeding) -> Result<Self, Error> {
        Ok(Self(match seeding {
            Seeding::Legacy => {
                Source::Legacy(u32::try_from(seed).map_err(|_| Error::LegacySeedTooLarge)?)
            }
            Seeding::Pcg64 => Source::Pcg64(Generator::new(seed)),
        }))
    }

    /// Draws the next start state.
    pub fn draw(&mut self) -> StartState {
        let (coordinates, block_angle_rad) = match &mut self.0 {
            Source::Legacy(seed) => {
                let mut random = RandomState::new(*seed);
                let coordinates = draw_coordinates(|low, high| random.randint(low, high));
                (coordinates, random.randn() * 2.0 * PI - PI)
            }
            Source::Pcg64(random) => {
                let coordinates = draw_coordinates(|low, high| random.integers(low, high));
                (coordinates, random.uniform(-PI, PI))
            }
        };
        let [agent_x, agent_y, block_x, block_y] = coordinates;
        StartState::from_state(&[agent_x, agent_y, block_x, block_y, block_angle_rad])
    }
}

/// Order in which the block's position and angle are set. Setting the angle turns the block about
/// its centre of gravity and so moves its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum StartOrder {
    /// Position, then angle: gym-pusht, and diffusion_policy with `legacy=True` as in its
    /// evaluation. The block's origin is then not at the position in the start state.
    Legacy,
    /// Angle, then position, to resume a recorded state.
    AngleFirst,
}

names! {
    StartOrder, "an order of a start state":
    Legacy = "legacy",
    AngleFirst = "angle_first",
}

impl StartState {
    /// Draws the start state of a seed.
    ///
    /// # Errors
    /// [`Error::LegacySeedTooLarge`] if a [`Seeding::Legacy`] seed has more than 32 bits.
    pub fn from_seed(seed: u64, seeding: Seeding) -> Result<Self, Error> {
        Ok(StartSequence::new(seed, seeding)?.draw())
    }

    /// Converts a state vector: agent x, y, block x, y, px; block angle, rad.
    pub fn from_state(state: &[f64; STATE_DIM]) -> Self {
        let [agent_x, agent_y, block_x, block_y, block_angle_rad] = *state;
        Self {
            agent_px: Vec2::new(agent_x, agent_y),
            block_px: Vec2::new(block_x, block_y),
            block_angle_rad,
        }
    }

    pub(crate) fn is_finite(&self) -> bool {
        let Self {
            agent_px,
            block_px,
            block_angle_rad,
        } = self;
        [
            agent_px.x,
            agent_px.y,
            block_px.x,
            block_px.y,
            *block_angle_rad,
        ]
        .iter()
        .all(|value| value.is_finite())
    }
}

/// Draws agent x, y in [50, 450), then block x, y in [100, 400), px (gym-pusht `reset`).
fn draw_coordinates(mut integer: impl FnMut(u32, u32) -> u32) -> [f64; 4] {
    [(50, 450), (50, 450), (100, 400), (100, 400)].map(|(low, high)| f64::from(integer(low, high)))
}
