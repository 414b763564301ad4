//! Many PushT environments stepped as one array, on all cores, without allocation.
//!
//! ```text
//!  actions (n x 2) -> chunks of CHUNK environments -> each thread takes the next chunk
//!                  -> observations (n x dim), rewards (n), terminations (n), truncations (n)
//! ```
//! Environments share nothing, so the results do not depend on the number of threads.

mod chunk;
mod pool;
mod shared_slice;

use crate::env::EnvError;
use crate::pixels::{PictureError, check_length};
use crate::vector::{AutoresetMode, Fault, Seed, VectorError};
use chunk::Chunk;
use pool::{Pictures, Pool};
use pusht_core::pusht::env::{
    Info, PushTEnv, PushTParams, Seeding, StartOrder, StartSequence, StartState,
};
use pusht_core::pusht::observation::{MASKED_KEYPOINTS_DIM, MaskedKeypoints, ObservationKind};
use rand::TryRng;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZero;
use std::ops::Range;

/// Environments per chunk: some tens of microseconds of work.
const CHUNK: usize = 32;
/// Values per action: target position x, y of the agent, px.
pub const ACTION_DIM: usize = 2;

/// Options of [`PushTBatch`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchOptions {
    /// Kind of observation.
    pub observation: ObservationKind,
    /// With [`ObservationKind::Keypoints`] only: probability that a keypoint is visible, 0 to 1.
    /// Observations are then those of [`MaskedKeypoints`].
    pub keypoint_visible_rate: Option<f64>,
    /// How a seed becomes start states.
    pub seeding: Seeding,
    /// Order in which a start state is set.
    pub start_order: StartOrder,
    /// Parameters of the simulator, with the time limit.
    pub params: PushTParams,
    /// When the next episode starts.
    pub autoreset_mode: AutoresetMode,
    /// Threads, including the caller's; `None`: one per core.
    pub threads: Option<NonZero<usize>>,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            observation: ObservationKind::State,
            keypoint_visible_rate: None,
            seeding: Seeding::Pcg64,
            start_order: StartOrder::Legacy,
            params: PushTParams::default(),
            autoreset_mode: AutoresetMode::default(),
            threads: None,
        }
    }
}

impl BatchOptions {
    /// Values per observation.
    pub fn observation_dim(&self) -> usize {
        match self.keypoint_visible_rate {
            Some(_) => MASKED_KEYPOINTS_DIM,
            None => self.observation.dim(),
        }
    }
}

/// An environment of a batch: all that its next steps depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvState {
    /// Simulator.
    pub env: PushTEnv,
    /// Start states of the next episodes.
    pub starts: StartSequence,
    /// Keypoints with their mask, if the batch observes them.
    pub keypoints: Option<MaskedKeypoints>,
    /// Whether the episode has ended, or none was started.
    pub is_over: bool,
}

/// A batch of PushT environments.
///
/// ```
/// use pusht_gym::batch::{BatchOptions, PushTBatch};
/// use pusht_gym::vector::Seed;
///
/// let mut envs = PushTBatch::new(64, BatchOptions::default())?;
/// assert_eq!(envs.reset(&Seed::Int(0))?.len(), 64 * 5);
/// let step = envs.step(&[256.0; 64 * 2])?;
/// assert_eq!(step.rewards.len(), 64);
/// # Ok::<(), pusht_gym::vector::VectorError>(())
/// ```
pub struct PushTBatch {
    num_envs: usize,
    dim: usize,
    pool: Pool,
    observations: Vec<f64>,
    rewards: Vec<f64>,
    coverage: Vec<f64>,
    terminations: Vec<bool>,
    truncations: Vec<bool>,
    final_obs: Vec<f64>,
    is_final: Vec<bool>,
}

/// The result of a step: one row or element per environment, valid until the next step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchStep<'a> {
    /// Observations, (n, dim).
    pub observations: &'a [f64],
    /// Rewards, (n).
    pub rewards: &'a [f64],
    /// Fractions of the goal that the block covers, (n). After an episode's last step: those of its
    /// last state.
    pub coverage: &'a [f64],
    /// Whether the episode succeeded, (n).
    pub terminations: &'a [bool],
    /// Whether the time limit was reached, (n).
    pub truncations: &'a [bool],
    /// With [`AutoresetMode::SameStep`]: last observations of the episodes that ended in this step,
    /// (n, dim). Only the rows where `is_final` is true are meaningful.
    pub final_obs: &'a [f64],
    /// Whether `final_obs` has a row for the environment, (n).
    pub is_final: &'a [bool],
}

/// The results of some environments, for a caller who stores them.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Index of the first of these environments.
    pub first: usize,
    /// Their results.
    pub step: BatchStep<'a>,
    /// Their states in detail.
    pub infos: &'a [Info],
    /// Their simulators.
    pub envs: &'a [PushTEnv],
    /// With [`AutoresetMode::SameStep`]: the simulators after the last step of the episodes that
    /// ended in this step. Only those where `is_final` is true are meaningful.
    pub final_envs: &'a [PushTEnv],
}

impl Rows<'_> {
    /// Indices of the environments.
    pub fn indices(&self) -> Range<usize> {
        self.first..self.first + self.infos.len()
    }
}

impl PushTBatch {
    /// A batch of `num_envs` environments. Until a reset gets a seed, their episodes differ from
    /// run to run.
    ///
    /// # Errors
    /// [`VectorError::NoEnvironments`] if `num_envs` is 0; [`VectorError::Environments`] if the
    /// operating system provides no random numbers or the options are invalid.
    pub fn new(num_envs: usize, options: BatchOptions) -> Result<Self, VectorError> {
        if num_envs == 0 {
            return Err(VectorError::NoEnvironments);
        }
        if options.keypoint_visible_rate.is_some()
            && options.observation != ObservationKind::Keypoints
        {
            let message = format!(
                "keypoint_visible_rate: it is for observations of keypoints, not of {}",
                options.observation
            );
            return Err(VectorError::of(0, EnvError::new("ValueError", message)));
        }
        let seed = rand::rngs::SysRng
            .try_next_u32()
            .map_err(|error| VectorError::of(0, EnvError::from(error)))?;
        let chunks = (0..num_envs)
            .step_by(CHUNK)
            .map(|first| {
                let len = CHUNK.min(num_envs - first);
                // Within the legacy seeding's range.
                let seeds =
                    (first..first + len).map(|index| u64::from(seed.wrapping_add(index as u32)));
                Chunk::new(seeds, &options)
                    .map_err(|error| VectorError::of(first, EnvError::from(error)))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let cores = || std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        let threads = options.threads.unwrap_or_else(cores).get();
        let dim = options.observation_dim();
        Ok(Self {
            num_envs,
            dim,
            pool: Pool::new(chunks, threads),
            observations: vec![0.0; num_envs * dim],
            rewards: vec![0.0; num_envs],
            coverage: vec![0.0; num_envs],
            terminations: vec![false; num_envs],
            truncations: vec![false; num_envs],
            final_obs: vec![0.0; num_envs * dim],
            is_final: vec![false; num_envs],
        })
    }

    /// Number of environments.
    pub fn num_envs(&self) -> usize {
        self.num_envs
    }

    /// Values per observation.
    pub fn observation_dim(&self) -> usize {
        self.dim
    }

    /// Starts an episode in every environment and returns the observations, (n, dim).
    ///
    /// # Errors
    /// [`VectorError::SeedCount`] if a list does not have one seed per environment,
    /// [`VectorError::SeedTooLarge`] if one would be beyond 2^64 - 1, [`VectorError::Environments`]
    /// if one is out of the seeding's range. In all cases no environment is reset.
    pub fn reset(&mut self, seed: &Seed) -> Result<&[f64], VectorError> {
        self.reset_masked(&vec![true; self.num_envs], seed)
    }

    /// Starts an episode where `mask` is true and returns all observations, (n, dim).
    ///
    /// # Errors
    /// [`VectorError::ResetMaskShape`] if the mask does not have one value per environment,
    /// [`VectorError::ResetMaskEmpty`] if it is false everywhere, and those of [`Self::reset`].
    pub fn reset_masked(&mut self, mask: &[bool], seed: &Seed) -> Result<&[f64], VectorError> {
        self.reset_from(mask, seed, &[])
    }

    /// [`Self::reset_at`], and returns all observations, (n, dim).
    ///
    /// # Errors
    /// Those of [`Self::reset_at`].
    pub fn reset_from(
        &mut self,
        mask: &[bool],
        seed: &Seed,
        starts: &[(StartState, StartOrder)],
    ) -> Result<&[f64], VectorError> {
        self.reset_at(mask, seed, starts)?;
        self.gather();
        Ok(&self.observations)
    }

    /// Starts an episode where `mask` is true: at that environment's state in `starts`, set in the
    /// order beside it, or at the next start state of the seed where `starts` is too short.
    /// [`Self::rows`] has the results.
    ///
    /// # Errors
    /// Those of [`Self::reset_masked`], and [`VectorError::Environments`] if the simulator does not
    /// accept a start state. No environment is reset then.
    pub fn reset_at(
        &mut self,
        mask: &[bool],
        seed: &Seed,
        starts: &[(StartState, StartOrder)],
    ) -> Result<(), VectorError> {
        self.check_mask(mask)?;
        seed.check(self.num_envs)?;
        let seed_of = |index| seed.of(index);
        let asked = || (0..self.num_envs).filter(|index| mask[*index]);
        let of = |index: usize| {
            move |error: pusht_core::Error| VectorError::of(index, EnvError::from(error))
        };
        // Everything is checked first, so that a wrong argument changes nothing.
        for index in asked() {
            let chunk = self.pool.chunk(index / CHUNK);
            let start = starts.get(index).copied();
            chunk
                .check(index % CHUNK, seed_of(index), start)
                .map_err(of(index))?;
        }
        for index in asked() {
            let mut chunk = self.pool.chunk(index / CHUNK);
            let start = starts.get(index).copied();
            chunk
                .reset(index % CHUNK, seed_of(index), start)
                .map_err(of(index))?;
        }
        Ok(())
    }

    fn check_mask(&self, mask: &[bool]) -> Result<(), VectorError> {
        if mask.len() != self.num_envs {
            return Err(VectorError::ResetMaskShape {
                expected: self.num_envs,
                got: vec![mask.len()],
            });
        }
        if !mask.contains(&true) {
            return Err(VectorError::ResetMaskEmpty);
        }
        Ok(())
    }

    /// Takes an action in each environment. `actions`: target positions of the agents, px, (n,
    /// [`ACTION_DIM`]).
    ///
    /// # Errors
    /// [`VectorError::ActionLength`] if there are not [`ACTION_DIM`] values per environment,
    /// [`VectorError::NonFiniteAction`] if one is NaN or infinite: no environment is stepped.
    /// [`VectorError::Environments`] if some environments cannot be stepped: the others are, and
    /// [`Self::latest`] has their results.
    pub fn step(&mut self, actions: &[f64]) -> Result<BatchStep<'_>, VectorError> {
        let advanced = self.advance(actions);
        self.gather();
        advanced.map(|()| self.latest())
    }

    /// [`Self::step`] for a caller who takes the results from [`Self::rows`].
    ///
    /// # Errors
    /// Those of [`Self::step`].
    pub fn advance(&mut self, actions: &[f64]) -> Result<(), VectorError> {
        if actions.len() != self.num_envs * ACTION_DIM {
            return Err(VectorError::ActionLength {
                expected: self.num_envs * ACTION_DIM,
                got: actions.len(),
            });
        }
        if let Some(at) = actions.iter().position(|value| !value.is_finite()) {
            let index = at / ACTION_DIM;
            return Err(VectorError::NonFiniteAction { index });
        }
        for (index, actions) in actions.chunks(CHUNK * ACTION_DIM).enumerate() {
            self.pool.chunk(index).take_actions(actions);
        }
        self.pool.step();
        let mut faults = Vec::new();
        for index in 0..self.pool.n_chunks() {
            let chunk = self.pool.chunk(index);
            faults.extend(chunk.faults().map(|(at, cause)| Fault {
                index: index * CHUNK + at,
                cause,
            }));
        }
        if !faults.is_empty() {
            return Err(VectorError::Environments { faults, rest: None });
        }
        Ok(())
    }

    /// Hands the results of the latest step, and of resets since then, to `take`, some environments
    /// at a time and in order.
    pub fn rows(&self, mut take: impl FnMut(Rows<'_>)) {
        for index in 0..self.pool.n_chunks() {
            take(self.pool.chunk(index).rows(index * CHUNK));
        }
    }

    /// Copies the rows of the chunks.
    fn gather(&mut self) {
        for index in 0..self.pool.n_chunks() {
            let chunk = self.pool.chunk(index);
            let rows = chunk.rows(index * CHUNK);
            let (envs, step) = (rows.indices(), rows.step);
            let values = envs.start * self.dim..envs.end * self.dim;
            self.observations[values.clone()].copy_from_slice(step.observations);
            self.rewards[envs.clone()].copy_from_slice(step.rewards);
            self.coverage[envs.clone()].copy_from_slice(step.coverage);
            self.terminations[envs.clone()].copy_from_slice(step.terminations);
            self.truncations[envs.clone()].copy_from_slice(step.truncations);
            self.final_obs[values].copy_from_slice(step.final_obs);
            self.is_final[envs].copy_from_slice(step.is_final);
        }
    }

    /// Draws gym-pusht's pixel observations of all environments into `out`, (n, height, width, 3),
    /// on all threads.
    ///
    /// # Errors
    /// [`PictureError::Size`], [`PictureError::BufferLength`].
    pub fn pixels(
        &mut self,
        width: usize,
        height: usize,
        out: &mut [u8],
    ) -> Result<(), PictureError> {
        self.draw_all(width, height, false, out)
    }

    /// With [`AutoresetMode::SameStep`]: [`Self::pixels`] of the last states of the episodes that
    /// ended in the latest step. The other rows of `out` are left unchanged.
    ///
    /// # Errors
    /// Those of [`Self::pixels`].
    pub fn final_pixels(
        &mut self,
        width: usize,
        height: usize,
        out: &mut [u8],
    ) -> Result<(), PictureError> {
        self.draw_all(width, height, true, out)
    }

    fn draw_all(
        &mut self,
        width: usize,
        height: usize,
        are_final: bool,
        out: &mut [u8],
    ) -> Result<(), PictureError> {
        check_length(width, height, self.num_envs, out)?;
        let pictures = Pictures {
            width,
            height,
            are_final,
        };
        self.pool.draw(pictures, out);
        Ok(())
    }

    /// Draws environment `index` as gym-pusht's `render`, with the marker of `action`, px, into
    /// `out`, (height, width, 3).
    ///
    /// # Errors
    /// Those of [`Renderer::render`](crate::pixels::Renderer::render).
    ///
    /// # Panics
    /// If there is no environment `index`.
    pub fn render(
        &mut self,
        index: usize,
        width: usize,
        height: usize,
        action: Option<[f64; ACTION_DIM]>,
        out: &mut [u8],
    ) -> Result<(), PictureError> {
        let frame = self.pool.chunk(index / CHUNK).frame(index % CHUNK);
        self.pool
            .renderer(0)
            .render(&frame, width, height, action, out)
    }

    /// A copy of an environment.
    ///
    /// # Panics
    /// If there is no environment `index`.
    pub fn state(&self, index: usize) -> EnvState {
        self.pool.chunk(index / CHUNK).state(index % CHUNK)
    }

    /// Replaces an environment. [`Self::rows`] stays as it is.
    ///
    /// # Panics
    /// If there is no environment `index`.
    pub fn set_state(&mut self, index: usize, state: EnvState) {
        self.pool
            .chunk(index / CHUNK)
            .set_state(index % CHUNK, state);
    }

    /// The result of the latest step.
    pub fn latest(&self) -> BatchStep<'_> {
        BatchStep {
            observations: &self.observations,
            rewards: &self.rewards,
            coverage: &self.coverage,
            terminations: &self.terminations,
            truncations: &self.truncations,
            final_obs: &self.final_obs,
            is_final: &self.is_final,
        }
    }
}

/// Shows the number of environments and the length of an observation.
impl fmt::Debug for PushTBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushTBatch")
            .field("num_envs", &self.num_envs)
            .field("observation_dim", &self.dim)
            .finish_non_exhaustive()
    }
}
