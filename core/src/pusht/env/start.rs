//! Where an episode begins.

use crate::Error;
use crate::pusht::geometry::Vec2;
use crate::pusht::observation::STATE_DIM;
use crate::pusht::seeding::{Generator, RandomState};
use core::f64::consts::PI;

/// Poses at the start of an episode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StartState {
    /// Where the agent is, px.
    pub agent_px: Vec2,
    /// Where the block's origin is put, px.
    pub block_px: Vec2,
    /// How the block is turned, rad.
    pub block_angle_rad: f64,
}

/// What a seed means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeding {
    /// diffusion_policy, gym-pusht up to 0.1.5, and all published scores: `RandomState(seed)`, 32-bit seeds.
    Legacy,
    /// gym-pusht 0.1.8: `Generator(PCG64(SeedSequence(seed)))`.
    Pcg64,
}

/// The start states of one environment's episodes, one after another: what a reset without a seed goes on with.
#[derive(Clone, Debug)]
pub struct StartSequence(Source);

#[derive(Clone, Debug)]
enum Source {
    /// diffusion_policy seeds its generator anew in every reset, so every episode of a seed begins alike.
    Legacy(u32),
    Pcg64(Generator),
}

impl StartSequence {
    /// The start states of a seed.
    ///
    /// # Errors
    /// [`Error::LegacySeedTooLarge`].
    pub fn new(seed: u64, seeding: Seeding) -> Result<Self, Error> {
        Ok(Self(match seeding {
            Seeding::Legacy => {
                Source::Legacy(u32::try_from(seed).map_err(|_| Error::LegacySeedTooLarge)?)
            }
            Seeding::Pcg64 => Source::Pcg64(Generator::new(seed)),
        }))
    }

    /// The next start state.
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

/// In which order the block's position and angle are set. Setting the angle turns the block about its centre of
/// gravity and so moves its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartOrder {
    /// Position, then angle: gym-pusht always, diffusion_policy with `legacy=True` as in its evaluation. The block
    /// does not begin where the start state says.
    Legacy,
    /// Angle, then position: a recorded state is resumed.
    AngleFirst,
}

impl StartState {
    /// The start state of a seed.
    ///
    /// # Errors
    /// [`Error::LegacySeedTooLarge`].
    pub fn from_seed(seed: u64, seeding: Seeding) -> Result<Self, Error> {
        Ok(StartSequence::new(seed, seeding)?.draw())
    }

    /// From the values of a state: agent x, y, block x, y, angle.
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

/// Agent x, y in [50, 450), then block x, y in [100, 400).
fn draw_coordinates(mut integer: impl FnMut(u32, u32) -> u32) -> [f64; 4] {
    [(50, 450), (50, 450), (100, 400), (100, 400)].map(|(low, high)| f64::from(integer(low, high)))
}
