//! Windows of observations and queues of actions of the environments that a policy plays.

use super::plans::{self, Job};
use anyhow::{Result, ensure};
use pusht_core::control::PlanShape;
use pusht_core::noise::NoiseSource;
use pusht_host::engine::Engine;

/// Seeds of the environments' noise.
#[derive(Clone, Debug)]
pub enum Seeds {
    /// Environment i has this seed plus i.
    From(u64),
    /// One for each environment.
    Each(Vec<u64>),
}

impl Seeds {
    /// Seed of environment or plan `index`.
    pub fn of(&self, index: usize) -> u64 {
        match self {
            Self::From(first) => first.wrapping_add(index as u64),
            Self::Each(seeds) => seeds[index],
        }
    }

    /// Checks that there is a seed for each of `n`.
    ///
    /// # Errors
    /// If there are more or fewer; `what` names them.
    pub fn check(&self, what: &str, n: usize) -> Result<()> {
        let Self::Each(seeds) = self else {
            return Ok(());
        };
        let given = seeds.len();
        ensure!(given == n, "seed: {given} seeds are given for {n} {what}");
        Ok(())
    }
}

/// The environments that a policy plays.
pub struct Episodes {
    shape: PlanShape,
    seeds: Seeds,
    /// None before the first observation.
    of_envs: Vec<Episode>,
    /// Whether an observation was recorded since the last reset of all.
    has_begun: bool,
}

/// One environment's episode.
struct Episode {
    /// `[To][Do]`, oldest first; empty before the episode's first observation.
    window: Vec<f64>,
    /// Planned actions, `[Ta][Da]`, of which the first `n_taken` are executed.
    chunk: Vec<f64>,
    n_taken: usize,
    noise: NoiseSource,
}

impl Episodes {
    /// No environment yet.
    pub fn new(shape: PlanShape, seeds: Seeds) -> Self {
        Self {
            shape,
            seeds,
            of_envs: Vec::new(),
            has_begun: false,
        }
    }

    /// Begins an episode in every environment. With seeds, their noise begins anew too; without, it
    /// continues.
    pub fn reset(&mut self, seeds: Option<Seeds>) {
        self.has_begun = false;
        self.of_envs.iter_mut().for_each(Episode::clear);
        if let Some(seeds) = seeds {
            self.of_envs.clear();
            self.seeds = seeds;
        }
    }

    /// Begins an episode where `mask` is true.
    ///
    /// # Errors
    /// If `mask` or the seeds do not have an entry for each environment.
    pub fn reset_at(&mut self, mask: &[bool], seeds: Option<&Seeds>) -> Result<()> {
        let n_envs = self.of_envs.len();
        ensure!(
            mask.len() == n_envs,
            "mask: it has {} entries, but the policy plays {n_envs} environments",
            mask.len()
        );
        seeds.map_or(Ok(()), |seeds| seeds.check("environments", n_envs))?;
        for (index, episode) in self.of_envs.iter_mut().enumerate() {
            if mask[index] {
                episode.clear();
                if let Some(seeds) = seeds {
                    episode.noise = NoiseSource::new(seeds.of(index));
                }
            }
        }
        Ok(())
    }

    /// Records an observation of each environment (`[B][Do]`), plans where no action is left, and
    /// returns the next actions (`[B][Da]`).
    ///
    /// # Errors
    /// If the number of environments is not that of the episode's beginning, and as
    /// [`plans::plan`].
    pub fn select(&mut self, engine: &Engine, observations: &[f64]) -> Result<Vec<f64>> {
        let observations = observations.chunks_exact(self.shape.obs_dim);
        self.begin(observations.len())?;
        for (episode, observation) in self.of_envs.iter_mut().zip(observations) {
            episode.observe(observation, &self.shape);
        }
        let idle = self.of_envs.iter_mut().filter(|episode| episode.is_idle());
        let mut jobs: Vec<_> = idle.map(|episode| episode.job(&self.shape)).collect();
        let planned = plans::plan(engine, &mut jobs);
        if planned.is_err() {
            self.of_envs.iter_mut().for_each(Episode::drop_new_plan);
        }
        planned?;
        let dim = self.shape.action_dim;
        let actions = self
            .of_envs
            .iter_mut()
            .flat_map(|episode| episode.next(dim));
        Ok(actions.copied().collect())
    }

    /// Takes `n_envs` environments, if this is the first observation since the last reset of all.
    fn begin(&mut self, n_envs: usize) -> Result<()> {
        let known = self.of_envs.len();
        ensure!(
            !self.has_begun || n_envs == known,
            "observation: it is of {n_envs} environments, but the policy plays {known} since its \
             last reset"
        );
        self.seeds.check("environments", n_envs)?;
        self.of_envs.truncate(n_envs);
        for index in known..n_envs {
            self.of_envs.push(Episode::new(self.seeds.of(index)));
        }
        self.has_begun = true;
        Ok(())
    }
}

impl Episode {
    fn new(seed: u64) -> Self {
        Self {
            window: Vec::new(),
            chunk: Vec::new(),
            n_taken: 0,
            noise: NoiseSource::new(seed),
        }
    }

    fn clear(&mut self) {
        self.window.clear();
        self.chunk.clear();
        self.n_taken = 0;
    }

    /// Shifts the window by an observation; the first of an episode fills it.
    fn observe(&mut self, observation: &[f64], shape: &PlanShape) {
        if self.window.is_empty() {
            self.window = observation.repeat(shape.n_obs_steps);
        } else {
            self.window.drain(..observation.len());
            self.window.extend(observation);
        }
    }

    /// Whether no planned action is left.
    fn is_idle(&self) -> bool {
        self.n_taken == self.chunk.len()
    }

    /// The next plan, of which no action is taken yet.
    fn job(&mut self, shape: &PlanShape) -> Job<'_> {
        self.n_taken = 0;
        self.chunk.resize(shape.chunk_len(), 0.0);
        Job {
            window: &self.window,
            noise: &mut self.noise,
            chunk: &mut self.chunk,
        }
    }

    /// Forgets a plan of which no action is taken yet.
    fn drop_new_plan(&mut self) {
        if self.n_taken == 0 {
            self.chunk.clear();
        }
    }

    /// Takes the next action, of `dim` values.
    fn next(&mut self, dim: usize) -> &[f64] {
        let action = self.n_taken..self.n_taken + dim;
        self.n_taken = action.end;
        &self.chunk[action]
    }
}
