//! An episode of PushT: the environment with a record of rewards, states and actions.

use super::env::{ControlStep, PHYSICS_STEPS, PushTEnv, Step};
use super::observation::STATE_DIM;
use crate::Error;
use crate::digest::Digest;

/// Default limit of control steps per episode (upstream's `max_steps`).
pub const MAX_EPISODE_STEPS: usize = 300;

/// A target position for the agent, px.
pub type Action = [f64; 2];

/// Outcome of an episode.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EpisodeResult {
    /// Largest reward of any step: the benchmark's score.
    pub max_reward: f64,
    /// Largest coverage of any step.
    pub max_coverage: f64,
    /// Whether the goal was reached.
    pub success: bool,
    /// Control steps taken.
    pub steps: usize,
    /// Digest of the bits of all actions.
    pub action_digest: u64,
    /// Digest of the bits of all states, the final state included.
    pub state_digest: u64,
}

/// A running episode, independent of the source of its actions.
#[derive(Clone, Debug)]
pub struct Episode {
    env: PushTEnv,
    max_steps: usize,
    steps_after_success: usize,
    result: EpisodeResult,
    actions: Digest,
    states: Digest,
    /// Control step in progress, if it is taken one physics step at a time.
    present: Option<Present>,
}

/// A control step in progress.
#[derive(Clone, Copy, Debug)]
struct Present {
    step: ControlStep,
    /// State before the action.
    state: [f64; STATE_DIM],
    action: Action,
    n_physics_steps: usize,
}

impl Episode {
    /// Starts an episode at the current state of `env`, limited to `max_steps` control steps.
    pub fn new(env: PushTEnv, max_steps: usize) -> Self {
        Self {
            env,
            max_steps,
            steps_after_success: 0,
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
            present: None,
        }
    }

    /// Goes on for `n` control steps after the goal is reached first, whatever its limit.
    pub fn with_steps_after_success(mut self, n: usize) -> Self {
        self.steps_after_success = n;
        self
    }

    /// The environment, to disturb it between control steps: see [`PushTEnv::displace`].
    pub fn env_mut(&mut self) -> &mut PushTEnv {
        &mut self.env
    }

    /// The environment.
    pub fn env(&self) -> &PushTEnv {
        &self.env
    }

    /// Control steps taken.
    pub fn steps(&self) -> usize {
        self.result.steps
    }

    /// Whether the goal (or the steps after it) or the step limit is reached.
    pub fn is_over(&self) -> bool {
        self.result.steps >= self.max_steps
    }

    /// Takes a control step towards `action`.
    ///
    /// # Errors
    /// [`Error::NonFiniteAction`] if a coordinate of `action` is NaN or infinite,
    /// [`Error::OutOfRange`] if the motion exceeds the range of `f64`; the episode is unchanged
    /// then.
    // Not inlined: a caller may be optimised for size, the simulator for speed.
    #[inline(never)]
    pub fn step(&mut self, action: Action) -> Result<Step, Error> {
        let state = self.env.state();
        let outcome = self.env.step(action)?;
        self.record(&state, &action, &outcome);
        Ok(outcome)
    }

    /// Begins a control step towards `action`, to be taken one physics step at a time.
    ///
    /// # Errors
    /// [`Error::NonFiniteAction`] if a coordinate is NaN or infinite.
    pub fn begin_step(&mut self, action: Action) -> Result<(), Error> {
        self.present = Some(Present {
            step: ControlStep::new(action)?,
            state: self.env.state(),
            action,
            n_physics_steps: 0,
        });
        Ok(())
    }

    /// Whether a control step is in progress.
    pub fn is_in_step(&self) -> bool {
        self.present.is_some()
    }

    /// Takes one physics step of the control step in progress. The last one, number
    /// [`PHYSICS_STEPS`], returns the control step's outcome.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the motion exceeds the range of `f64`; the episode is invalid then.
    #[inline(never)]
    pub fn physics_step(&mut self) -> Result<Option<Step>, Error> {
        let Some(present) = &mut self.present else {
            return Ok(None);
        };
        present.step.physics_step(&mut self.env);
        present.n_physics_steps += 1;
        if present.n_physics_steps < PHYSICS_STEPS {
            return Ok(None);
        }
        let Present {
            step,
            state,
            action,
            ..
        } = *present;
        self.present = None;
        let outcome = step.finish(&mut self.env)?;
        self.record(&state, &action, &outcome);
        Ok(Some(outcome))
    }

    /// Outcome of the episode so far.
    pub fn result(&self) -> EpisodeResult {
        let mut states = self.states.clone();
        states.f64s(&self.env.state());
        EpisodeResult {
            action_digest: self.actions.clone().finish(),
            state_digest: states.finish(),
            ..self.result
        }
    }

    fn record(&mut self, state: &[f64; STATE_DIM], action: &Action, outcome: &Step) {
        self.states.f64s(state);
        self.actions.f64s(action);
        let result = &mut self.result;
        result.max_reward = result.max_reward.max(outcome.reward);
        result.max_coverage = result.max_coverage.max(outcome.coverage);
        result.steps += 1;
        if outcome.terminated && !result.success {
            result.success = true;
            self.max_steps = result.steps + self.steps_after_success;
        }
    }
}
