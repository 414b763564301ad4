//! A chunk of the environments of a batch, with its own rows of every array.

use super::{ACTION_DIM, BatchOptions};
use crate::env::EnvError;
use crate::vector::{AutoresetMode, Cause};
use pusht_core::Error;
use pusht_core::pusht::env::{
    PushTEnv, Seeding, StartOrder, StartSequence, Step, step_side_by_side,
};
use pusht_core::pusht::observation::{ObservationKind, observe};

pub(super) struct Chunk {
    observation: ObservationKind,
    seeding: Seeding,
    autoreset_mode: AutoresetMode,
    envs: Vec<PushTEnv>,
    starts: Vec<StartSequence>,
    /// Whether the episode has ended, or none was started.
    is_over: Vec<bool>,
    actions: Vec<Option<[f64; ACTION_DIM]>>,
    outcomes: Vec<Result<Step, Error>>,
    pub(super) observations: Vec<f64>,
    pub(super) rewards: Vec<f64>,
    pub(super) coverage: Vec<f64>,
    pub(super) terminations: Vec<bool>,
    pub(super) truncations: Vec<bool>,
    pub(super) final_obs: Vec<f64>,
    pub(super) is_final: Vec<bool>,
    fault: Vec<Option<Refusal>>,
}

/// Why an environment was not stepped.
#[derive(Clone, Copy)]
enum Refusal {
    EpisodeOver,
    Simulator(Error),
}

impl Chunk {
    pub(super) fn new(
        seeds: impl Iterator<Item = u64>,
        options: &BatchOptions,
    ) -> Result<Self, Error> {
        let mut starts = seeds
            .map(|seed| StartSequence::new(seed, options.seeding))
            .collect::<Result<Vec<_>, _>>()?;
        let envs = starts
            .iter_mut()
            .map(|starts| PushTEnv::new(options.params, starts.draw(), StartOrder::Legacy))
            .collect::<Result<Vec<_>, _>>()?;
        let (n, dim) = (envs.len(), options.observation.dim());
        Ok(Self {
            observation: options.observation,
            seeding: options.seeding,
            autoreset_mode: options.autoreset_mode,
            envs,
            starts,
            is_over: vec![true; n],
            actions: vec![None; n],
            outcomes: vec![Err(Error::NonFiniteAction); n],
            observations: vec![0.0; n * dim],
            rewards: vec![0.0; n],
            coverage: vec![0.0; n],
            terminations: vec![false; n],
            truncations: vec![false; n],
            final_obs: vec![0.0; n * dim],
            is_final: vec![false; n],
            fault: vec![None; n],
        })
    }

    /// Checks that a seed is in the seeding's range.
    pub(super) fn check(&self, seed: u64) -> Result<(), Error> {
        StartSequence::new(seed, self.seeding).map(|_| ())
    }

    pub(super) fn reset(&mut self, at: usize, seed: Option<u64>) -> Result<(), Error> {
        if let Some(seed) = seed {
            self.starts[at] = StartSequence::new(seed, self.seeding)?;
        }
        self.envs[at].reset(self.starts[at].draw(), StartOrder::Legacy)?;
        self.is_over[at] = false;
        self.see(at)
    }

    pub(super) fn covered(&self, at: usize) -> f64 {
        self.envs[at].coverage()
    }

    pub(super) fn observation(&self, at: usize) -> &[f64] {
        let dim = self.observation.dim();
        &self.observations[at * dim..(at + 1) * dim]
    }

    fn see(&mut self, at: usize) -> Result<(), Error> {
        let dim = self.observation.dim();
        let row = &mut self.observations[at * dim..(at + 1) * dim];
        observe(self.observation, &self.envs[at].state(), row)
    }

    /// Stores the actions of the next step: one per environment, finite.
    pub(super) fn take_actions(&mut self, actions: &[f64]) {
        let (actions, _) = actions.as_chunks();
        for (slot, action) in self.actions.iter_mut().zip(actions) {
            *slot = Some(*action);
        }
    }

    /// Steps every environment.
    pub(super) fn step(&mut self) {
        for (action, is_over) in self.actions.iter_mut().zip(&self.is_over) {
            *action = action.filter(|_| !is_over);
        }
        step_side_by_side(&mut self.envs, &self.actions, &mut self.outcomes);
        for at in 0..self.envs.len() {
            self.is_final[at] = false;
            let stepped = if self.is_over[at] {
                self.begin(at)
            } else {
                self.end_step(at).map_err(Refusal::Simulator)
            };
            let step = stepped
                .as_ref()
                .copied()
                .unwrap_or_else(|_| self.unchanged(at));
            self.rewards[at] = step.reward;
            self.coverage[at] = step.coverage;
            self.terminations[at] = step.terminated;
            self.truncations[at] = step.truncated;
            self.fault[at] = stepped.err();
        }
    }

    /// The result of a step that left the environment unchanged.
    fn unchanged(&self, at: usize) -> Step {
        Step {
            reward: 0.0,
            coverage: self.covered(at),
            terminated: false,
            truncated: false,
        }
    }

    /// Starts an episode instead of a step after the last.
    fn begin(&mut self, at: usize) -> Result<Step, Refusal> {
        if self.autoreset_mode == AutoresetMode::Disabled {
            return Err(Refusal::EpisodeOver);
        }
        self.reset(at, None).map_err(Refusal::Simulator)?;
        Ok(self.unchanged(at))
    }

    /// Observes after the simulator's step, and resets if the mode is `SameStep`.
    fn end_step(&mut self, at: usize) -> Result<Step, Error> {
        let step = self.outcomes[at]?;
        self.see(at)?;
        if step.terminated || step.truncated {
            self.is_over[at] = true;
            if self.autoreset_mode == AutoresetMode::SameStep {
                self.is_final[at] = true;
                let dim = self.observation.dim();
                let row = at * dim..(at + 1) * dim;
                self.final_obs[row.clone()].copy_from_slice(&self.observations[row]);
                self.reset(at, None)?;
            }
        }
        Ok(step)
    }

    /// The environments that the latest step did not step, and why.
    pub(super) fn faults(&self) -> impl Iterator<Item = (usize, Cause)> {
        let faults = self.fault.iter().enumerate();
        faults.filter_map(|(at, fault)| {
            fault.map(|fault| {
                let cause = match fault {
                    Refusal::EpisodeOver => Cause::EpisodeOver,
                    Refusal::Simulator(error) => EnvError::from(error).into(),
                };
                (at, cause)
            })
        })
    }
}
