//! One closed-loop episode: observe, plan, act, step. The same code on the host and on a device.

use crate::Error;
use crate::control::receding_horizon::{Action, Planner, RecedingHorizon};
use crate::digest::Digest;
use crate::pusht::env::{PushTEnv, Step};
use crate::pusht::observation::STATE_DIM;

/// Control steps after which an episode is cut off (upstream's `max_steps`).
pub const MAX_EPISODE_STEPS: usize = 300;

/// What happened in one control tick.
#[derive(Clone, Copy, Debug)]
pub struct Tick<'a> {
    /// Number of the tick, from 0.
    pub index: usize,
    /// The state that the action answers.
    pub state: [f64; STATE_DIM],
    /// The action, px.
    pub action: Action,
    /// What the environment said to it.
    pub outcome: Step,
    /// The controller after the action: its planned actions are those still to come.
    pub controller: &'a RecedingHorizon,
}

/// How an episode went.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EpisodeResult {
    /// Largest reward of any step: the benchmark's score.
    pub max_reward: f64,
    /// Largest coverage of any step.
    pub max_coverage: f64,
    /// Whether an episode ended by reaching the goal.
    pub success: bool,
    /// Control steps taken.
    pub steps: usize,
    /// Digest of the bits of all actions.
    pub action_digest: u64,
    /// Digest of the bits of all states, the last one included.
    pub state_digest: u64,
}

/// What answers every state with an action.
pub trait Controller {
    /// What can go wrong with it; what can go wrong with the environment is [`Error`].
    type Error: From<Error>;

    /// The action for the state of this control tick.
    ///
    /// # Errors
    /// The controller's own.
    fn act(&mut self, state: &[f64; STATE_DIM]) -> Result<Action, Self::Error>;
}

/// A planner that time waits for.
struct InStep<'p, P: ?Sized> {
    horizon: RecedingHorizon,
    planner: &'p mut P,
}

impl<P: Planner + ?Sized> Controller for InStep<'_, P> {
    type Error = Error;

    fn act(&mut self, state: &[f64; STATE_DIM]) -> Result<Action, Error> {
        self.horizon.act(self.planner, state)
    }
}

/// Lets `planner` drive `env` from its present state until the goal is reached or `max_steps` are taken.
/// `seed` names the policy's noise. `on_tick` sees every tick.
///
/// # Errors
/// Those of [`Planner::plan`] and [`PushTEnv::step`].
pub fn run(
    env: &mut PushTEnv,
    planner: &mut (impl Planner + ?Sized),
    seed: u64,
    max_steps: usize,
    mut on_tick: impl FnMut(&Tick<'_>),
) -> Result<EpisodeResult, Error> {
    let mut controller = InStep {
        horizon: RecedingHorizon::new(seed),
        planner,
    };
    drive(
        env,
        &mut controller,
        max_steps,
        |index, state, action, outcome, controller| {
            on_tick(&Tick {
                index,
                state,
                action,
                outcome,
                controller: &controller.horizon,
            });
        },
    )
}

/// As [`run`], with any controller. `on_tick` sees number, state, action, outcome and the controller of every tick.
///
/// # Errors
/// Those of [`Controller::act`] and [`PushTEnv::step`].
pub fn drive<C: Controller>(
    env: &mut PushTEnv,
    controller: &mut C,
    max_steps: usize,
    mut on_tick: impl FnMut(usize, [f64; STATE_DIM], Action, Step, &C),
) -> Result<EpisodeResult, C::Error> {
    let mut record = Record::new();
    while !record.is_over(max_steps) {
        let state = env.state();
        let action = controller.act(&state)?;
        let outcome = env.step(action)?;
        on_tick(record.result.steps, state, action, outcome, controller);
        record.tick(&state, &action, &outcome);
    }
    Ok(record.finish(&env.state()))
}

/// An [`EpisodeResult`] in the making.
#[derive(Clone)]
pub struct Record {
    result: EpisodeResult,
    actions: Digest,
    states: Digest,
}

impl Record {
    /// No tick yet.
    pub fn new() -> Self {
        Self {
            result: EpisodeResult {
                max_reward: 0.0,
                max_coverage: 0.0,
                success: false,
                steps: 0,
                action_digest: 0,
                state_digest: 0,
            },
            actions: Digest::new(),
            states: Digest::new(),
        }
    }

    /// Takes down a tick: a state, the action that answered it, and what came of that.
    pub fn tick(&mut self, state: &[f64; STATE_DIM], action: &Action, outcome: &Step) {
        self.states.f64s(state);
        self.actions.f64s(action);
        let result = &mut self.result;
        result.max_reward = result.max_reward.max(outcome.reward);
        result.max_coverage = result.max_coverage.max(outcome.coverage);
        result.success = outcome.terminated;
        result.steps += 1;
    }

    /// Ticks taken down.
    pub fn steps(&self) -> usize {
        self.result.steps
    }

    /// Whether the goal is reached or `max_steps` are taken.
    pub fn is_over(&self, max_steps: usize) -> bool {
        self.result.steps >= max_steps || self.result.success
    }

    /// The episode, which ended in `state`.
    pub fn finish(mut self, state: &[f64; STATE_DIM]) -> EpisodeResult {
        self.states.f64s(state);
        EpisodeResult {
            action_digest: self.actions.finish(),
            state_digest: self.states.finish(),
            ..self.result
        }
    }
}

impl Default for Record {
    fn default() -> Self {
        Self::new()
    }
}
