//! The closed loop of PushT: observe, plan, act, step. Evaluation, batched evaluation, data
//! collection, the device and real time share it.
//!
//! ```text
//!  needs_plan? -- plan_job --> planner -- deliver --> | advance: action -> step -> observe | ..
//! ```

use super::border::{Border, Clear};
use super::env::{PushTEnv, Step};
use super::episode::{Action, Episode, EpisodeResult};
use super::observation::{MAX_OBSERVATION_DIM, ObservationKind, STATE_DIM, observe};
use crate::Error;
use crate::control::pipeline::{Pipeline, Plan, PlanRequest, SimulatedPlanning};
use crate::control::{PlanJob, Planner, RecedingHorizon};

/// Longest window, `[To][Do]`, of a PushT policy that the host runs.
pub const MAX_WINDOW_LEN: usize = 4 * MAX_OBSERVATION_DIM;
/// Room for the last action and a queue of 64.
pub const MAX_CHUNK_LEN: usize = 2 * (1 + 64);

/// Receding-horizon execution with room for every PushT policy.
pub type Horizon = RecedingHorizon<MAX_WINDOW_LEN, MAX_CHUNK_LEN>;

/// Execution of planned actions: synchronous ([`RecedingHorizon`]) or in real time ([`Pipeline`]).
pub trait Execution {
    /// Whether the observation of the next control tick will be part of a plan's window.
    fn needs_observation(&self) -> bool;

    /// Records the observation (`[Do]`) of the next control tick.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if its length is not `Do`.
    fn observe(&mut self, observation: &[f64]) -> Result<(), Error>;

    /// Action of this control tick; `hold` before the first plan.
    fn next_action(&mut self, hold: &[f64]) -> &[f64];
}

impl<const WINDOW: usize, const CHUNK: usize> Execution for RecedingHorizon<WINDOW, CHUNK> {
    fn needs_observation(&self) -> bool {
        self.planned().count() < self.shape().n_obs_steps
    }

    fn observe(&mut self, observation: &[f64]) -> Result<(), Error> {
        self.observe(observation)
    }

    fn next_action(&mut self, hold: &[f64]) -> &[f64] {
        self.next_action(hold)
    }
}

impl<const WINDOW: usize, const CHUNK: usize> Execution for Pipeline<WINDOW, CHUNK> {
    fn needs_observation(&self) -> bool {
        true
    }

    fn observe(&mut self, observation: &[f64]) -> Result<(), Error> {
        self.observe(observation)
    }

    fn next_action(&mut self, hold: &[f64]) -> &[f64] {
        self.next_action(hold)
    }
}

/// Record of one control tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tick {
    /// Index of the tick, from 0.
    pub index: usize,
    /// State before the action.
    pub state: [f64; STATE_DIM],
    /// The action, px.
    pub action: Action,
    /// Result of the environment's step.
    pub outcome: Step,
}

/// An episode and the execution of its policy, with a [`Border`] in between. It can be suspended whenever a plan is needed.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pusht_core::control::Planner;
/// use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
/// use pusht_core::pusht::observation::ObservationKind;
/// use pusht_core::pusht::rollout::{Horizon, Rollout};
/// use pusht_core::quant::{IntPolicy, Model};
///
/// # let bytes = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/pusht-small.ptm"));
/// let model = Model::parse(bytes)?;
/// let mut scratch = vec![0; model.scratch_len()];
/// let mut policy = IntPolicy::new(&model, &mut scratch)?;
///
/// let start = StartState::from_seed(0, Seeding::Legacy)?;
/// let env = PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy)?;
/// let horizon = Horizon::new(policy.shape(), 0)?;
/// let mut rollout = Rollout::new(env, ObservationKind::Vertices, horizon, 6)?;
/// let result = rollout.run(&mut policy, |tick, _| println!("{:?}", tick.action))?;
/// assert_eq!(result.steps, 6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Rollout<E, B = Clear> {
    episode: Episode,
    kind: ObservationKind,
    execution: E,
    border: B,
}

impl<E: Execution> Rollout<E> {
    /// Creates a rollout from the current state of `env` with observations of `kind`, limited to
    /// `max_steps` control steps.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if the policy's `Do` is not that of `kind`.
    pub fn new(
        env: PushTEnv,
        kind: ObservationKind,
        execution: E,
        max_steps: usize,
    ) -> Result<Self, Error> {
        Self::with_border(Episode::new(env, max_steps), kind, execution, Clear)
    }
}

impl<E: Execution, B: Border> Rollout<E, B> {
    /// As [`new`](Rollout::new), with `border` between environment and policy.
    ///
    /// # Errors
    /// As [`new`](Rollout::new), and those of the border.
    pub fn with_border(
        episode: Episode,
        kind: ObservationKind,
        execution: E,
        border: B,
    ) -> Result<Self, Error> {
        let mut rollout = Self {
            episode,
            kind,
            execution,
            border,
        };
        rollout.observe()?;
        Ok(rollout)
    }

    /// The episode.
    pub fn episode(&self) -> &Episode {
        &self.episode
    }

    /// Execution of the policy, with the planned actions.
    pub fn execution(&self) -> &E {
        &self.execution
    }

    /// Whether the episode is over.
    pub fn is_over(&self) -> bool {
        self.episode.is_over()
    }

    /// Executes the next action and observes the result.
    ///
    /// # Errors
    /// [`Error::NonFiniteAction`] if the action is NaN or infinite, [`Error::OutOfRange`] if the
    /// motion exceeds the range of `f64`.
    pub fn advance(&mut self) -> Result<Tick, Error> {
        let (index, state) = (self.episode.steps(), self.episode.env().state());
        let action = self.next_action(&state);
        let outcome = self.episode.step(action)?;
        self.observe()?;
        Ok(Tick {
            index,
            state,
            action,
            outcome,
        })
    }

    /// Next action as the agent executes it; before the first plan, its own position.
    fn next_action(&mut self, state: &[f64; STATE_DIM]) -> Action {
        let [agent_x, agent_y, ..] = *state;
        let hold = [agent_x, agent_y];
        let action = self.execution.next_action(&hold);
        let action = action.first_chunk().copied().unwrap_or(hold);
        self.border
            .act(self.episode.steps(), self.episode.env(), action)
    }

    fn observe(&mut self) -> Result<(), Error> {
        let tick = self.episode.steps();
        let state = self.border.observe(tick, self.episode.env_mut())?;
        if !self.execution.needs_observation() {
            return Ok(());
        }
        let mut observation = [0.0; MAX_OBSERVATION_DIM];
        let (observation, _) = observation.split_at_mut(self.kind.dim());
        observe(self.kind, &state, observation)?;
        self.execution.observe(observation)
    }
}

impl<const WINDOW: usize, const CHUNK: usize, B: Border>
    Rollout<RecedingHorizon<WINDOW, CHUNK>, B>
{
    /// Whether the rollout needs a plan before it can advance.
    pub fn needs_plan(&self) -> bool {
        !self.is_over() && self.execution.needs_plan()
    }

    /// Job for the plan that is needed, to be computed into `chunk` (`[Ta][Da]`).
    pub fn plan_job<'p>(&'p mut self, chunk: &'p mut [f64]) -> PlanJob<'p> {
        self.execution.plan_job(chunk)
    }

    /// Accepts the plan that was needed.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if it is not `Ta` actions long, [`Error::NonFiniteAction`] if a value
    /// is NaN or infinite.
    pub fn deliver(&mut self, chunk: &[f64]) -> Result<(), Error> {
        self.execution.deliver(chunk, 0)
    }

    /// Plays the episode to its end with `planner`. `on_tick` is called after every tick.
    ///
    /// # Errors
    /// As [`advance`](Self::advance) and [`Planner::plan`], whose error ends the rollout.
    pub fn run(
        &mut self,
        planner: &mut (impl Planner + ?Sized),
        mut on_tick: impl FnMut(&Tick, &Self),
    ) -> Result<EpisodeResult, Error> {
        while !self.is_over() {
            if self.needs_plan() {
                self.execution.plan(planner)?;
            }
            let tick = self.advance()?;
            on_tick(&tick, self);
        }
        Ok(self.episode.result())
    }
}

impl<const WINDOW: usize, const CHUNK: usize, B: Border> Rollout<Pipeline<WINDOW, CHUNK>, B> {
    /// Takes one physics step without blocking; callable from a timer interrupt. Every tenth call
    /// begins a control tick: `arrived` returns the plan completed since the last tick, and `begin`
    /// receives the request for the next plan. Returns the result once the episode is over.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the motion exceeds the range of `f64`.
    pub fn turn(
        &mut self,
        arrived: impl FnOnce() -> Option<Plan<CHUNK>>,
        begin: impl FnOnce(PlanRequest<WINDOW>),
    ) -> Result<Option<EpisodeResult>, Error> {
        if !self.episode.is_in_step() {
            if let Some(request) = self.execution.begin_tick(arrived()) {
                begin(request);
            }
            let action = self.next_action(&self.episode.env().state());
            self.episode.begin_step(action)?;
        }
        if self.episode.physics_step()?.is_none() {
            return Ok(None);
        }
        self.observe()?;
        Ok(self.is_over().then(|| self.episode.result()))
    }

    /// Plays the episode to its end as in real time; `planning` simulates the latency, in ticks.
    ///
    /// # Errors
    /// As [`advance`](Self::advance) and [`Planner::plan`], whose error ends the rollout.
    pub fn run_simulated<P: Planner, F: Fn(u32) -> u32>(
        &mut self,
        planning: &mut SimulatedPlanning<P, F, CHUNK>,
    ) -> Result<EpisodeResult, Error> {
        while !self.is_over() {
            planning.begin_tick(&mut self.execution)?;
            self.advance()?;
        }
        Ok(self.episode.result())
    }
}
