//! Many PushT environments stepped as one array, on all cores, without allocation.
//!
//! ```text
//!  actions (n x 2) -> chunks of CHUNK environments -> each thread takes the next chunk
//!                  -> observations (n x dim), rewards (n), terminations (n), truncations (n)
//! ```
//! Environments share nothing, so the results do not depend on the number of threads.

mod chunk;
mod pool;

use crate::env::EnvError;
use crate::vector::{AutoresetMode, Fault, Seed, VectorError};
use chunk::Chunk;
use pool::Pool;
use pusht_core::pusht::env::{PushTParams, Seeding};
use pusht_core::pusht::observation::ObservationKind;
use rand::TryRng;
use std::num::NonZero;

/// Environments per chunk: some tens of microseconds of work.
const CHUNK: usize = 32;
/// Values per action: target position x, y of the agent, px.
pub const ACTION_DIM: usize = 2;

/// Options of [`PushTBatch`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchOptions {
    /// Kind of observation.
    pub observation: ObservationKind,
    /// How a seed becomes start states.
    pub seeding: Seeding,
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
            seeding: Seeding::Pcg64,
            params: PushTParams::default(),
            autoreset_mode: AutoresetMode::default(),
            threads: None,
        }
    }
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

impl PushTBatch {
    /// A batch of `num_envs` environments. Until a reset gets a seed, their episodes differ from
    /// run to run.
    ///
    /// # Errors
    /// [`VectorError::NoEnvironments`] if `num_envs` is 0; [`VectorError::Environments`] if the
    /// operating system provides no random numbers or the parameters are invalid.
    pub fn new(num_envs: usize, options: BatchOptions) -> Result<Self, VectorError> {
        if num_envs == 0 {
            return Err(VectorError::NoEnvironments);
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
        let dim = options.observation.dim();
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
    /// [`VectorError::Environments`] if a seed is out of the seeding's range. In both cases no
    /// environment is reset.
    pub fn reset(&mut self, seed: &Seed) -> Result<&[f64], VectorError> {
        self.reset_where(|_| true, seed)
    }

    /// Starts an episode where `mask` is true and returns all observations, (n, dim).
    ///
    /// # Errors
    /// [`VectorError::ResetMaskShape`] if the mask does not have one value per environment,
    /// [`VectorError::ResetMaskEmpty`] if it is false everywhere, and those of [`Self::reset`].
    pub fn reset_masked(&mut self, mask: &[bool], seed: &Seed) -> Result<&[f64], VectorError> {
        if mask.len() != self.num_envs {
            return Err(VectorError::ResetMaskShape {
                expected: self.num_envs,
                got: vec![mask.len()],
            });
        }
        if !mask.contains(&true) {
            return Err(VectorError::ResetMaskEmpty);
        }
        self.reset_where(|index| mask[index], seed)
    }

    fn reset_where(
        &mut self,
        is_asked: impl Fn(usize) -> bool,
        seed: &Seed,
    ) -> Result<&[f64], VectorError> {
        if let Seed::List(seeds) = seed
            && seeds.len() != self.num_envs
        {
            return Err(VectorError::SeedCount {
                expected: self.num_envs,
                got: seeds.len(),
            });
        }
        let seed_of = |index: usize| match seed {
            Seed::None => None,
            Seed::Int(first) => Some(first.wrapping_add(index as u64)),
            Seed::List(seeds) => seeds[index],
        };
        // All seeds are checked first, so that a wrong one changes nothing.
        for index in (0..self.num_envs).filter(|index| is_asked(*index)) {
            if let Some(seed) = seed_of(index) {
                let chunk = self.pool.chunk(index / CHUNK);
                chunk
                    .check(seed)
                    .map_err(|error| VectorError::of(index, EnvError::from(error)))?;
            }
        }
        for index in (0..self.num_envs).filter(|index| is_asked(*index)) {
            let mut chunk = self.pool.chunk(index / CHUNK);
            chunk
                .reset(index % CHUNK, seed_of(index))
                .map_err(|error| VectorError::of(index, EnvError::from(error)))?;
            let row = index * self.dim..(index + 1) * self.dim;
            self.observations[row].copy_from_slice(chunk.observation(index % CHUNK));
            self.coverage[index] = chunk.covered(index % CHUNK);
        }
        Ok(&self.observations)
    }

    /// Takes an action in each environment. `actions`: target positions of the agents, px, (n,
    /// [`ACTION_DIM`]).
    ///
    /// # Errors
    /// [`VectorError::ActionCount`] if there is not one action per environment,
    /// [`VectorError::NonFiniteAction`] if one is NaN or infinite: no environment is stepped.
    /// [`VectorError::Environments`] if some environments cannot be stepped: the others are, and
    /// [`Self::latest`] has their results.
    pub fn step(&mut self, actions: &[f64]) -> Result<BatchStep<'_>, VectorError> {
        if actions.len() != self.num_envs * ACTION_DIM {
            return Err(VectorError::ActionCount {
                expected: self.num_envs,
                got: actions.len() / ACTION_DIM,
            });
        }
        if let Some(at) = actions.iter().position(|value| !value.is_finite()) {
            let index = at / ACTION_DIM;
            return Err(VectorError::NonFiniteAction { index });
        }
        for (index, actions) in actions.chunks(CHUNK * ACTION_DIM).enumerate() {
            self.pool.chunk(index).take_actions(actions);
        }
        self.pool.run();
        let mut faults = Vec::new();
        for index in 0..self.num_envs.div_ceil(CHUNK) {
            let envs = index * CHUNK..self.num_envs.min((index + 1) * CHUNK);
            let rows = envs.start * self.dim..envs.end * self.dim;
            let chunk = self.pool.chunk(index);
            self.observations[rows.clone()].copy_from_slice(&chunk.observations);
            self.rewards[envs.clone()].copy_from_slice(&chunk.rewards);
            self.coverage[envs.clone()].copy_from_slice(&chunk.coverage);
            self.terminations[envs.clone()].copy_from_slice(&chunk.terminations);
            self.truncations[envs.clone()].copy_from_slice(&chunk.truncations);
            self.final_obs[rows].copy_from_slice(&chunk.final_obs);
            self.is_final[envs.clone()].copy_from_slice(&chunk.is_final);
            faults.extend(chunk.faults().map(|(at, cause)| Fault {
                index: envs.start + at,
                cause,
            }));
        }
        if !faults.is_empty() {
            return Err(VectorError::Environments { faults, rest: None });
        }
        Ok(self.latest())
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
