//! One closed-loop episode: observe, plan, act, step. The same code on the host and on a device.

use crate::Error;
use crate::digest::Digest;
use crate::env::{PushTEnv, Step};
use crate::observation::STATE_DIM;
use crate::receding_horizon::{Action, Planner, RecedingHorizon};

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
    let mut controller = RecedingHorizon::new(seed);
    let (mut actions, mut states) = (Digest::new(), Digest::new());
    let mut result = EpisodeResult {
        max_reward: 0.0,
        max_coverage: 0.0,
        success: false,
        steps: 0,
        action_digest: 0,
        state_digest: 0,
    };
    while result.steps < max_steps && !result.success {
        let state = env.state();
        let action = controller.act(planner, &state)?;
        let outcome = env.step(action)?;
        states.f64s(&state);
        actions.f64s(&action);
        on_tick(&Tick {
            index: result.steps,
            state,
            action,
            outcome,
            controller: &controller,
        });
        result.max_reward = result.max_reward.max(outcome.reward);
        result.max_coverage = result.max_coverage.max(outcome.coverage);
        result.success = outcome.terminated;
        result.steps += 1;
    }
    states.f64s(&env.state());
    result.action_digest = actions.finish();
    result.state_digest = states.finish();
    Ok(result)
}
