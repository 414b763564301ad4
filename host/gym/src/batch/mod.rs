//! Many PushT environments, stepped as one array: no allocation a step, the work spread over cores.
//!
//! ```text
//!  actions (n x 2) -> chunks of CHUNK environments -> threads take one after another -> (n x dim), rewards, flags
//! ```
//! An environment is stepped by one thread alone and shares nothing with the others, so the results do not depend on
//! how many threads there are.

mod chunk;
mod pool;

use super::vector::{AutoresetMode, Cause, Fault, Seed, VectorError};
use crate::env::EnvError;
use chunk::Chunk;
use pool::Pool;
use pusht_core::pusht::env::{PushTParams, Seeding};
use pusht_core::pusht::observation::ObservationKind;
use rand::TryRng;
use std::num::NonZero;

/// Environments that a thread takes at a time: some tens of microseconds of work.
const CHUNK: usize = 32;
/// Values of an action.
pub const ACTION_DIM: usize = 2;

/// What can be chosen about [`PushTBatch`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchOptions {
    /// What is seen.
    pub observation: ObservationKind,
    /// What a seed means.
    pub seeding: Seeding,
    /// Of the simulator, with the time limit.
    pub params: PushTParams,
    /// When the next episode starts.
    pub autoreset_mode: AutoresetMode,
    /// Threads that work, the caller's among them; `None`: as many as there are cores.
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

/// Many PushT environments at once.
pub struct PushTBatch {
    num_envs: usize,
    dim: usize,
    pool: Pool,
    observations: Vec<f64>,
    rewards: Vec<f64>,
    coverage: Vec<f64>,
    terminated: Vec<bool>,
    truncated: Vec<bool>,
    final_observations: Vec<f64>,
    is_final: Vec<bool>,
}

/// What is known after a step: arrays with a row or an element an environment, valid until the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchStep<'a> {
    /// Observations, row by row.
    pub observations: &'a [f64],
    /// Rewards.
    pub rewards: &'a [f64],
    /// Shares of the goal that are covered; after a last step those of the last state.
    pub coverage: &'a [f64],
    /// Whether the episode is won.
    pub terminated: &'a [bool],
    /// Whether the time limit came.
    pub truncated: &'a [bool],
    /// With [`AutoresetMode::SameStep`], the last observations of the episodes that ended in this step, in the rows where
    /// `is_final` is true. What is in the other rows is of no meaning.
    pub final_observations: &'a [f64],
    /// Whether an environment has a final observation.
    pub is_final: &'a [bool],
}

impl PushTBatch {
    /// `num_envs` environments; without a seed, until one is given, their episodes differ from run to run.
    ///
    /// # Errors
    /// If there are to be none, or the system has no random numbers.
    pub fn new(num_envs: usize, options: BatchOptions) -> Result<Self, VectorError> {
        if num_envs == 0 {
            return Err(VectorError::NoEnvironments);
        }
        let seed = rand::rngs::SysRng
            .try_next_u32()
            .map_err(|error| fault(0, EnvError::from(error)))?;
        let chunks = (0..num_envs)
            .step_by(CHUNK)
            .map(|first| {
                let len = CHUNK.min(num_envs - first);
                // Within the legacy seeding's range.
                let seeds =
                    (first..first + len).map(|index| u64::from(seed.wrapping_add(index as u32)));
                Chunk::new(seeds, &options).map_err(|error| fault(first, error.into()))
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
            terminated: vec![false; num_envs],
            truncated: vec![false; num_envs],
            final_observations: vec![0.0; num_envs * dim],
            is_final: vec![false; num_envs],
        })
    }

    /// How many environments there are.
    pub fn num_envs(&self) -> usize {
        self.num_envs
    }

    /// Values of an observation.
    pub fn observation_dim(&self) -> usize {
        self.dim
    }

    /// Starts an episode in every environment and returns the observations.
    ///
    /// # Errors
    /// [`VectorError::SeedCount`], or a seed that the seeding does not know; then no environment was reset.
    pub fn reset(&mut self, seed: &Seed) -> Result<&[f64], VectorError> {
        self.reset_where(|_| true, seed)
    }

    /// Starts an episode where `mask` is true and returns the observations.
    ///
    /// # Errors
    /// [`VectorError::ResetMaskShape`], [`VectorError::ResetMaskEmpty`], and those of [`Self::reset`].
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
        // All seeds first: a wrong one leaves everything as it was.
        for index in (0..self.num_envs).filter(|index| is_asked(*index)) {
            if let Some(seed) = seed_of(index) {
                let chunk = self.pool.chunk(index / CHUNK);
                chunk
                    .check(seed)
                    .map_err(|error| fault(index, error.into()))?;
            }
        }
        for index in (0..self.num_envs).filter(|index| is_asked(*index)) {
            let mut chunk = self.pool.chunk(index / CHUNK);
            chunk
                .reset(index % CHUNK, seed_of(index))
                .map_err(|error| fault(index, error.into()))?;
            let row = index * self.dim..(index + 1) * self.dim;
            self.observations[row].copy_from_slice(chunk.observation(index % CHUNK));
            self.coverage[index] = chunk.covered(index % CHUNK);
        }
        Ok(&self.observations)
    }

    /// Takes an action, px, in each environment: `actions` has [`ACTION_DIM`] values for each.
    ///
    /// # Errors
    /// [`VectorError::ActionCount`], [`VectorError::NonFiniteAction`]: no environment was stepped.
    /// [`VectorError::Environments`]: those named were not, the others were, and [`Self::latest`] has what they returned.
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
            self.terminated[envs.clone()].copy_from_slice(&chunk.terminated);
            self.truncated[envs.clone()].copy_from_slice(&chunk.truncated);
            self.final_observations[rows].copy_from_slice(&chunk.final_observations);
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

    /// What the latest step brought.
    pub fn latest(&self) -> BatchStep<'_> {
        BatchStep {
            observations: &self.observations,
            rewards: &self.rewards,
            coverage: &self.coverage,
            terminated: &self.terminated,
            truncated: &self.truncated,
            final_observations: &self.final_observations,
            is_final: &self.is_final,
        }
    }
}

fn fault(index: usize, error: EnvError) -> VectorError {
    let cause = Cause::Error(error);
    VectorError::Environments {
        faults: vec![Fault { index, cause }],
        rest: None,
    }
}
