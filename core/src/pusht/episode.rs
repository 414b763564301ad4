//! One episode of PushT: the environment, and a record of how it goes.

use super::env::{ControlStep, PHYSICS_STEPS, PushTEnv, Step};
use super::observation::STATE_DIM;
use crate::Error;
use crate::digest::Digest;

/// Control steps after which an episode is cut off (upstream's `max_steps`).
pub const MAX_EPISODE_STEPS: usize = 300;

/// A target position for the agent, px.
pub type Action = [f64; 2];

/// How an episode went.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EpisodeResult {
    /// Largest reward of any step: the benchmark's score.
    pub max_reward: f64,
    /// Largest coverage of any step.
    pub max_coverage: f64,
    /// Whether the episode ended by reaching the goal.
    pub success: bool,
    /// Control steps taken.
    pub steps: usize,
    /// Digest of the bits of all actions.
    pub action_digest: u64,
    /// Digest of the bits of all states, the last one included.
    pub state_digest: u64,
}

/// An episode under way, whoever chooses its actions.
#[derive(Clone)]
pub struct Episode {
    env: PushTEnv,
    max_steps: usize,
    result: EpisodeResult,
    actions: Digest,
    states: Digest,
    /// The control step that is taken one physics step at a time, if one is.
    present: Option<Present>,
}

/// A control step under way.
#[derive(Clone, Copy)]
struct Present {
    step: ControlStep,
    /// The state that the action answers.
    state: [f64; STATE_DIM],
    action: Action,
    n_physics_steps: usize,
}

impl Episode {
    /// An episode that begins in the present state of `env` and is cut off after `max_steps`.
    pub fn new(env: PushTEnv, max_steps: usize) -> Self {
        Self {
            env,
            max_steps,
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

    /// The environment.
    pub fn env(&self) -> &PushTEnv {
        &self.env
    }

    /// Control steps taken.
    pub fn steps(&self) -> usize {
        self.result.steps
    }

    /// Whether the goal is reached or the limit of steps is.
    pub fn is_over(&self) -> bool {
        self.result.steps >= self.max_steps || self.result.success
    }

    /// Takes a control step towards `action`.
    ///
    /// # Errors
    /// Those of [`PushTEnv::step`]; the episode is then as before the call.
    // Not inlined: a caller may be optimised for size, and the simulator should not be.
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

    /// Whether a control step is under way.
    pub fn is_in_step(&self) -> bool {
        self.present.is_some()
    }

    /// Takes a physics step of the control step under way; the last one, number [`PHYSICS_STEPS`],
    /// returns its outcome.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the motion left the range of `f64`; there is then no way back.
    // Not inlined, as above.
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

    /// How the episode went so far.
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
        result.success = outcome.terminated;
        result.steps += 1;
    }
}
