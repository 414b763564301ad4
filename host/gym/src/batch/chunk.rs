//! A chunk of the environments of a batch, with its own rows of every array.

use super::pool::Pictures;
use super::{ACTION_DIM, BatchOptions, BatchStep, EnvState, Rows};
use crate::env::EnvError;
use crate::pixels::{Frame, Renderer};
use crate::vector::{AutoresetMode, Cause};
use pusht_core::Error;
use pusht_core::pusht::env::{
    Info, PushTEnv, StartOrder, StartSequence, StartState, Step, step_side_by_side,
};
use pusht_core::pusht::observation::{MaskedKeypoints, observe};

pub(super) struct Chunk {
    options: BatchOptions,
    envs: Vec<PushTEnv>,
    starts: Vec<StartSequence>,
    /// Of each environment, if its keypoints have a mask.
    keypoints: Vec<MaskedKeypoints>,
    /// Whether the episode has ended, or none was started.
    is_over: Vec<bool>,
    actions: Vec<Option<[f64; ACTION_DIM]>>,
    outcomes: Vec<Result<Step, Error>>,
    observations: Vec<f64>,
    rewards: Vec<f64>,
    coverage: Vec<f64>,
    terminations: Vec<bool>,
    truncations: Vec<bool>,
    final_obs: Vec<f64>,
    is_final: Vec<bool>,
    infos: Vec<Info>,
    final_envs: Vec<PushTEnv>,
    fault: Vec<Option<Refusal>>,
}

/// Why an environment was not stepped, or not reset after its last step.
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
        let (mut starts, mut keypoints) = (Vec::new(), Vec::new());
        for seed in seeds {
            starts.push(StartSequence::new(seed, options.seeding)?);
            if let Some(rate) = options.keypoint_visible_rate {
                keypoints.push(MaskedKeypoints::new(rate, seed)?);
            }
        }
        let envs = starts
            .iter_mut()
            .map(|starts| PushTEnv::new(options.params, starts.draw(), options.start_order))
            .collect::<Result<Vec<_>, _>>()?;
        let (n, dim) = (envs.len(), options.observation_dim());
        let infos: Vec<Info> = envs.iter().map(PushTEnv::info).collect();
        Ok(Self {
            options: *options,
            starts,
            keypoints,
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
            final_envs: envs.clone(),
            envs,
            infos,
            fault: vec![None; n],
        })
    }

    /// Checks that a reset would succeed.
    pub(super) fn check(
        &self,
        at: usize,
        seed: Option<u64>,
        start: Option<(StartState, StartOrder)>,
    ) -> Result<(), Error> {
        if let Some(seed) = seed {
            StartSequence::new(seed, self.options.seeding)?;
        }
        if let Some((start, order)) = start {
            PushTEnv::new(*self.envs[at].params(), start, order)?;
        }
        Ok(())
    }

    /// Starts an episode at `start`, or at the next start state of the seed.
    pub(super) fn reset(
        &mut self,
        at: usize,
        seed: Option<u64>,
        start: Option<(StartState, StartOrder)>,
    ) -> Result<(), Error> {
        if let Some(seed) = seed {
            self.starts[at] = StartSequence::new(seed, self.options.seeding)?;
            if let (Some(keypoints), Some(rate)) = (
                self.keypoints.get_mut(at),
                self.options.keypoint_visible_rate,
            ) {
                *keypoints = MaskedKeypoints::new(rate, seed)?;
            }
        }
        let of_seed = |starts: &mut StartSequence| (starts.draw(), self.options.start_order);
        let (start, order) = start.unwrap_or_else(|| of_seed(&mut self.starts[at]));
        self.envs[at].reset(start, order)?;
        self.is_over[at] = false;
        self.coverage[at] = self.envs[at].coverage();
        self.see(at)
    }

    /// The results of the latest step and of resets since then. `first`: index of the chunk's first
    /// environment.
    pub(super) fn rows(&self, first: usize) -> Rows<'_> {
        let step = BatchStep {
            observations: &self.observations,
            rewards: &self.rewards,
            coverage: &self.coverage,
            terminations: &self.terminations,
            truncations: &self.truncations,
            final_obs: &self.final_obs,
            is_final: &self.is_final,
        };
        Rows {
            first,
            step,
            infos: &self.infos,
            envs: &self.envs,
            final_envs: &self.final_envs,
        }
    }

    /// Number of environments.
    pub(super) fn len(&self) -> usize {
        self.envs.len()
    }

    pub(super) fn frame(&self, at: usize) -> Frame {
        Frame::of_env(&self.envs[at])
    }

    /// Draws the environments into `out`, a picture for each. Of final pictures, only those where
    /// an episode ended are drawn.
    pub(super) fn draw(&self, pictures: Pictures, renderer: &mut Renderer, out: &mut [u8]) {
        for (at, out) in out.chunks_exact_mut(pictures.len()).enumerate() {
            let frame = match pictures.are_final {
                true if !self.is_final[at] => continue,
                true => Frame::of_env(&self.final_envs[at]),
                false => self.frame(at),
            };
            let drawn = renderer.observation(&frame, pictures.width, pictures.height, out);
            debug_assert_eq!(drawn, Ok(()), "the length was checked");
        }
    }

    pub(super) fn state(&self, at: usize) -> EnvState {
        EnvState {
            env: self.envs[at],
            starts: self.starts[at].clone(),
            keypoints: self.keypoints.get(at).cloned(),
            is_over: self.is_over[at],
        }
    }

    /// Replaces an environment. The rows of the latest step stay as they are.
    pub(super) fn set_state(&mut self, at: usize, state: EnvState) {
        self.envs[at] = state.env;
        self.starts[at] = state.starts;
        if let (Some(own), Some(new)) = (self.keypoints.get_mut(at), state.keypoints) {
            *own = new;
        }
        self.is_over[at] = state.is_over;
    }

    fn see(&mut self, at: usize) -> Result<(), Error> {
        let dim = self.options.observation_dim();
        let row = &mut self.observations[at * dim..(at + 1) * dim];
        let state = self.envs[at].state();
        self.infos[at] = self.envs[at].info();
        match self.keypoints.get_mut(at) {
            Some(keypoints) => row.copy_from_slice(&keypoints.observe(&state)?),
            None => observe(self.options.observation, &state, row)?,
        }
        Ok(())
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
                let outcome = self.outcomes[at];
                outcome
                    .map(|step| (step, self.end_step(at, step).err()))
                    .map_err(Refusal::Simulator)
            };
            let (step, fault) = match stepped {
                Ok((step, fault)) => (step, fault.map(Refusal::Simulator)),
                Err(refusal) => (self.unchanged(at), Some(refusal)),
            };
            self.rewards[at] = step.reward;
            self.coverage[at] = step.coverage;
            self.terminations[at] = step.terminated;
            self.truncations[at] = step.truncated;
            self.fault[at] = fault;
        }
    }

    /// The result of a step that left the environment unchanged.
    fn unchanged(&self, at: usize) -> Step {
        Step {
            reward: 0.0,
            coverage: self.envs[at].coverage(),
            terminated: false,
            truncated: false,
        }
    }

    /// Starts an episode instead of a step after the last.
    fn begin(&mut self, at: usize) -> Result<(Step, Option<Error>), Refusal> {
        if self.options.autoreset_mode == AutoresetMode::Disabled {
            return Err(Refusal::EpisodeOver);
        }
        self.reset(at, None, None).map_err(Refusal::Simulator)?;
        Ok((self.unchanged(at), None))
    }

    /// Observes after the simulator's step, and resets if the mode is `SameStep`. The step took
    /// effect also where this fails.
    fn end_step(&mut self, at: usize, step: Step) -> Result<(), Error> {
        self.see(at)?;
        if step.terminated || step.truncated {
            self.is_over[at] = true;
            if self.options.autoreset_mode == AutoresetMode::SameStep {
                self.is_final[at] = true;
                self.final_envs[at] = self.envs[at];
                let dim = self.options.observation_dim();
                let row = at * dim..(at + 1) * dim;
                self.final_obs[row.clone()].copy_from_slice(&self.observations[row]);
                self.reset(at, None, None)?;
            }
        }
        Ok(())
    }

    /// The environments that the latest step did not step, or not reset, and why.
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
