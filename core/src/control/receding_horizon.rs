//! Receding-horizon execution: plan a chunk of actions, execute it, plan again.

use crate::Error;
use crate::noise::{Noise, NoiseSource};
use crate::pusht::observation::STATE_DIM;
use heapless::Deque;

/// Most observation steps (`To`) that a policy may ask for.
pub const MAX_OBS_STEPS: usize = 4;
/// Longest horizon (`Tp`) of a plan, and so most actions (`Ta`) of a chunk.
pub const MAX_HORIZON: usize = 64;

/// A goal position for the agent, px.
pub type Action = [f64; 2];

/// A policy that turns the last `To` states into the next `Ta` actions.
pub trait Planner {
    /// `To`: how many past states a plan looks at, 1 to [`MAX_OBS_STEPS`].
    fn n_obs_steps(&self) -> usize;

    /// `Ta`: how many actions to execute before planning again, 1 to [`MAX_HORIZON`].
    fn n_action_steps(&self) -> usize;

    /// Plans from `states` (`To` states, oldest first; px and rad) into `chunk` (`Ta` actions, px).
    /// The initial sample, and whatever the scheduler draws after it, comes from `noise`.
    ///
    /// # Errors
    /// [`Error::NonFiniteObservation`], [`Error::WrongLength`].
    fn plan(
        &mut self,
        states: &[[f64; STATE_DIM]],
        noise: &mut dyn Noise,
        chunk: &mut [Action],
    ) -> Result<(), Error>;
}

/// One plan of several that are computed together: the arguments of [`Planner::plan`].
pub struct PlanJob<'p> {
    /// `To` states, oldest first; px and rad.
    pub states: &'p [[f64; STATE_DIM]],
    /// Where the initial sample comes from, and whatever the scheduler draws after it.
    pub noise: &'p mut dyn Noise,
    /// `Ta` actions, px.
    pub chunk: &'p mut [Action],
}

/// Drives a [`Planner`] through one episode, an action a control tick.
///
/// - **Start**: the window of past states holds the first state `To` times, as diffusion_policy's `MultiStepWrapper` does.
/// - **In step** ([`act`](Self::act)): the plan is there in the tick that needs it, and time waits for it.
/// - **In real time** ([`tick`](Self::tick), [`deliver`](Self::deliver)): the plan is computed elsewhere. While none is there, the last action
///   is held, and before the first the agent stays where it is. A late plan loses the actions whose ticks are past, so that the
///   others come when they were meant to.
/// - **Reset** ([`reset`](Self::reset)): nothing of the episode before is left, what was planned for it included.
#[derive(Clone, Debug)]
pub struct RecedingHorizon {
    /// The last states, oldest first; those from before the episode repeat its first one.
    window: Option<[[f64; STATE_DIM]; MAX_OBS_STEPS]>,
    queue: Deque<Action, MAX_HORIZON>,
    noise: NoiseSource,
    last: Option<Action>,
}

impl RecedingHorizon {
    /// An episode at its start; `seed` names its noise.
    pub fn new(seed: u64) -> Self {
        Self {
            window: None,
            queue: Deque::new(),
            noise: NoiseSource::new(seed),
            last: None,
        }
    }

    /// As [`new`](Self::new): the next episode begins.
    pub fn reset(&mut self, seed: u64) {
        *self = Self::new(seed);
    }

    /// The actions of the present chunk that are still to come, next first.
    pub fn planned(&self) -> impl Iterator<Item = Action> + '_ {
        self.queue.iter().copied()
    }

    /// Takes the state of this control tick and returns its action, planning first if none is left.
    ///
    /// # Errors
    /// Those of [`Planner::plan`]; the episode is then as before the call.
    // Not inlined, so that its copy is not on the stack while the simulator runs.
    #[inline(never)]
    pub fn act(
        &mut self,
        planner: &mut (impl Planner + ?Sized),
        state: &[f64; STATE_DIM],
    ) -> Result<Action, Error> {
        let mut next = self.clone();
        next.observe(state)?;
        if next.queue.is_empty() {
            next.plan_chunk(planner)?;
        }
        let action = next.next_action(state);
        *self = next;
        Ok(action)
    }

    /// Takes the state of this control tick and returns its action without planning: the next of the chunk that was delivered last, or
    /// the last action again.
    ///
    /// # Errors
    /// [`Error::NonFiniteObservation`]; the episode is then as before the call.
    pub fn tick(&mut self, state: &[f64; STATE_DIM]) -> Result<Action, Error> {
        self.observe(state)?;
        Ok(self.next_action(state))
    }

    /// Takes a chunk that was planned elsewhere in place of what is left of the one before. `age` ticks have been answered since the newest
    /// state that it was planned from, that state's tick included: as many of its actions are past.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if it has more than [`MAX_HORIZON`] actions; the episode is then as before the call.
    pub fn deliver(&mut self, chunk: &[Action], age: usize) -> Result<(), Error> {
        if chunk.len() > MAX_HORIZON {
            return Err(Error::WrongLength {
                what: "chunk",
                expected: MAX_HORIZON,
                got: chunk.len(),
            });
        }
        self.queue.clear();
        self.plan_on(chunk.iter().skip(age));
        Ok(())
    }

    /// Takes the state of this control tick and answers nothing yet: the first half of [`tick`](Self::tick), for a plan that is
    /// to see it.
    ///
    /// # Errors
    /// [`Error::NonFiniteObservation`]; the episode is then as before the call.
    pub fn observe(&mut self, state: &[f64; STATE_DIM]) -> Result<(), Error> {
        if state.iter().any(|v| !v.is_finite()) {
            return Err(Error::NonFiniteObservation);
        }
        let window = self.window.get_or_insert([*state; MAX_OBS_STEPS]);
        let [_, last @ ..] = *window;
        for (place, value) in window.iter_mut().zip(last.iter().chain([state])) {
            *place = *value;
        }
        Ok(())
    }

    /// The action of this control tick, whose state was taken: the second half of [`tick`](Self::tick).
    pub fn next_action(&mut self, state: &[f64; STATE_DIM]) -> Action {
        let held = self.last.unwrap_or([state[0], state[1]]);
        let action = self.queue.pop_front().unwrap_or(held);
        self.last = Some(action);
        action
    }

    /// Actions behind those that are there; as many as there is room for.
    fn plan_on<'a>(&mut self, actions: impl Iterator<Item = &'a Action>) {
        for action in actions {
            let _ = self.queue.push_back(*action);
        }
    }

    /// The last `n` states, oldest first, and zeros behind them.
    pub(crate) fn window(&self, n: usize) -> [[f64; STATE_DIM]; MAX_OBS_STEPS] {
        let mut states = [[0.0; STATE_DIM]; MAX_OBS_STEPS];
        let known = self.window.iter().flatten();
        let last = known.skip(MAX_OBS_STEPS.saturating_sub(n));
        for (place, state) in states.iter_mut().zip(last) {
            *place = *state;
        }
        states
    }

    /// What a plan that begins now is made from: the last `n_obs_steps` states, oldest first, and the episode's noise.
    pub fn plan_inputs(
        &mut self,
        n_obs_steps: usize,
    ) -> ([[f64; STATE_DIM]; MAX_OBS_STEPS], &mut NoiseSource) {
        (self.window(n_obs_steps), &mut self.noise)
    }

    fn plan_chunk(&mut self, planner: &mut (impl Planner + ?Sized)) -> Result<(), Error> {
        let n_obs_steps = planner.n_obs_steps().clamp(1, MAX_OBS_STEPS);
        let n_action_steps = planner.n_action_steps().clamp(1, MAX_HORIZON);
        let (states, noise) = self.plan_inputs(n_obs_steps);
        let mut chunk = [[0.0; 2]; MAX_HORIZON];
        let states = states.get(..n_obs_steps).unwrap_or_default();
        let chunk = chunk.get_mut(..n_action_steps).unwrap_or_default();
        planner.plan(states, noise, chunk)?;
        self.plan_on(chunk.iter());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plans actions of the oldest and of the newest x that it is shown.
    struct Echo {
        plans: usize,
    }

    impl Planner for Echo {
        fn n_obs_steps(&self) -> usize {
            2
        }
        fn n_action_steps(&self) -> usize {
            3
        }
        fn plan(
            &mut self,
            states: &[[f64; STATE_DIM]],
            _noise: &mut dyn Noise,
            chunk: &mut [Action],
        ) -> Result<(), Error> {
            self.plans += 1;
            for (step, action) in chunk.iter_mut().enumerate() {
                *action = [states[0][0], states[1][0] + step as f64 / 8.0];
            }
            Ok(())
        }
    }

    fn state(x: f64) -> [f64; STATE_DIM] {
        [x, 0.0, 0.0, 0.0, 0.0]
    }

    #[test]
    fn a_chunk_is_executed_before_the_next_plan() {
        let mut planner = Echo { plans: 0 };
        let mut episode = RecedingHorizon::new(0);
        let actions: Vec<Action> = (0..4)
            .map(|t| episode.act(&mut planner, &state(f64::from(t))).unwrap())
            .collect();
        // The first window repeats the first state; the second plan sees states 2 and 3.
        assert_eq!(actions, [[0.0, 0.0], [0.0, 0.125], [0.0, 0.25], [2.0, 3.0]]);
        assert_eq!(planner.plans, 2);
    }

    #[test]
    fn a_refused_state_leaves_the_episode_unharmed() {
        let mut planner = Echo { plans: 0 };
        let mut episode = RecedingHorizon::new(0);
        episode.act(&mut planner, &state(1.0)).unwrap();
        let error = episode.act(&mut planner, &state(f64::NAN));
        assert_eq!(error, Err(Error::NonFiniteObservation));
        assert_eq!(episode.act(&mut planner, &state(2.0)), Ok([1.0, 1.125]));
    }

    const CHUNK: [Action; 3] = [[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]];

    #[test]
    fn before_the_first_plan_the_agent_stays_and_after_the_last_action_it_is_held() {
        let mut episode = RecedingHorizon::new(0);
        assert_eq!(episode.tick(&state(7.0)), Ok([7.0, 0.0]));
        // The hold repeats the commanded position, not the one that the agent has drifted to.
        assert_eq!(episode.tick(&state(8.0)), Ok([7.0, 0.0]));
        episode.deliver(&CHUNK, 0).unwrap();
        let actions: Vec<Action> = (0..5).map(|_| episode.tick(&state(9.0)).unwrap()).collect();
        assert_eq!(actions, [CHUNK[0], CHUNK[1], CHUNK[2], CHUNK[2], CHUNK[2]]);
    }

    #[test]
    fn a_late_plan_loses_the_actions_that_are_past() {
        for (age, expected) in [(1, CHUNK[1]), (2, CHUNK[2]), (3, [0.0, 0.0])] {
            let mut episode = RecedingHorizon::new(0);
            for _ in 0..age {
                assert_eq!(episode.tick(&state(0.0)), Ok([0.0, 0.0]));
            }
            episode.deliver(&CHUNK, age).unwrap();
            assert_eq!(episode.tick(&state(0.0)), Ok(expected), "{age} ticks late");
        }
    }

    #[test]
    fn a_plan_replaces_what_is_left_of_the_one_before() {
        let mut episode = RecedingHorizon::new(0);
        episode.deliver(&CHUNK, 0).unwrap();
        episode.tick(&state(0.0)).unwrap();
        episode.deliver(&[[5.0, 5.0]; 2], 1).unwrap();
        assert_eq!(episode.planned().count(), 1);
        assert_eq!(episode.tick(&state(0.0)), Ok([5.0, 5.0]));
        let too_many = episode.deliver(&[[0.0; 2]; MAX_HORIZON + 1], 0);
        assert!(matches!(too_many, Err(Error::WrongLength { got: 65, .. })));
    }

    #[test]
    fn a_reset_episode_is_a_new_one() {
        let mut planner = Echo { plans: 0 };
        let mut episode = RecedingHorizon::new(3);
        episode.act(&mut planner, &state(1.0)).unwrap();
        episode.reset(4);
        assert_eq!(episode.planned().count(), 0);
        // Neither the window of states nor the held action is left from before the reset.
        assert_eq!(episode.tick(&state(9.0)), Ok([9.0, 0.0]));
        episode.reset(4);
        assert_eq!(episode.act(&mut planner, &state(5.0)), Ok([5.0, 5.0]));
        let (mut reset, mut new) = (episode.noise, RecedingHorizon::new(4).noise);
        assert_eq!(reset.next_gaussian(), new.next_gaussian());
    }

    extern crate std;
    use std::vec::Vec;
}
