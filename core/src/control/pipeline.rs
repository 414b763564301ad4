//! Receding-horizon execution in real time: a plan is computed while the actions of the plan before are executed.
//!
//! ```text
//!  tick      t          t+1       ..  t+delay                      t+Ta
//!            plan begins              its actions from delay on    the next plan begins
//!            |------- computing -------|===== executed =====..
//! ```
//!
//! A plan sees the states up to the tick that it begins in, and counts from a given number of ticks later on, whenever within
//! them it is done: so its actions do not depend on how fast the machine is (logical execution time: Henzinger, Horowitz and
//! Kirsch, "Giotto", Proc. IEEE 2003). A plan that is not there by then has missed its deadline: the last action is held until it
//! comes, and its actions for ticks that are past are lost.

use crate::Error;
use crate::control::receding_horizon::{
    Action, MAX_HORIZON, MAX_OBS_STEPS, Planner, RecedingHorizon,
};
use crate::noise::NoiseSource;
use crate::pusht::observation::STATE_DIM;
use heapless::Vec;

/// What a plan is computed from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlanRequest {
    /// The tick that it begins in.
    pub began: u32,
    states: [[f64; STATE_DIM]; MAX_OBS_STEPS],
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The tick that it began in.
    pub began: u32,
    actions: Vec<Action, MAX_HORIZON>,
}

/// What was counted since the episode began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PipelineCounts {
    /// Plans begun.
    pub plans: u32,
    /// Plans that were not there when they were to count.
    pub missed: u32,
    /// Ticks in which the last action was held because no other was there, those before the first plan included.
    pub held: u32,
}

/// The side that must never wait: a state in, an action out, each control tick.
#[derive(Clone, Debug)]
pub struct Pipeline {
    horizon: RecedingHorizon,
    n_obs_steps: usize,
    /// `Ta`: ticks from one plan's begin to the next one's.
    n_action_steps: u32,
    /// Ticks from a plan's begin until it counts.
    delay: u32,
    tick: u32,
    next_begin: u32,
    under_way: Option<u32>,
    arrived: Option<Plan>,
    counts: PipelineCounts,
}

impl Pipeline {
    /// An episode at its start: a plan of `planner` begins every `n_action_steps` ticks and counts `delay` ticks (at least 1)
    /// later. The planner has to plan at least `delay + max(n_action_steps, delay)` actions for none to be held.
    pub fn new(planner: &impl Planner, n_action_steps: usize, delay: usize) -> Self {
        let ticks = |n: usize| u32::try_from(n.max(1)).unwrap_or(u32::MAX);
        Self {
            // It draws no noise: that is the planning side's.
            horizon: RecedingHorizon::new(0),
            n_obs_steps: planner.n_obs_steps().clamp(1, MAX_OBS_STEPS),
            n_action_steps: ticks(n_action_steps),
            delay: ticks(delay),
            tick: 0,
            next_begin: 0,
            under_way: None,
            arrived: None,
            counts: PipelineCounts::default(),
        }
    }

    /// What was counted so far.
    pub fn counts(&self) -> PipelineCounts {
        self.counts
    }

    /// A control tick: takes the state and a plan that has come since the last tick; gives the action, and what the
    /// next plan is to be computed from if it begins now.
    ///
    /// # Errors
    /// [`Error::NonFiniteObservation`]; the state is then as if it had not come, but the plan is taken.
    pub fn tick(
        &mut self,
        state: &[f64; STATE_DIM],
        plan: Option<Plan>,
    ) -> Result<(Action, Option<PlanRequest>), Error> {
        // One of before, or none that was asked for, is worth nothing.
        if let Some(plan) = plan
            && self.under_way == Some(plan.began)
        {
            self.arrived = Some(plan);
        }
        self.deliver_what_counts()?;
        self.horizon.observe(state)?;
        let request = self.begin();
        if self.horizon.planned().next().is_none() {
            self.counts.held += 1;
        }
        let action = self.horizon.next_action(state);
        self.tick += 1;
        Ok((action, request))
    }

    fn deliver_what_counts(&mut self) -> Result<(), Error> {
        let Some(began) = self.under_way else {
            return Ok(());
        };
        let age = self.tick - began;
        if age < self.delay {
            return Ok(());
        }
        match self.arrived.take() {
            Some(plan) => {
                self.under_way = None;
                self.horizon.deliver(&plan.actions, age as usize)
            }
            None => {
                if age == self.delay {
                    self.counts.missed += 1;
                }
                Ok(())
            }
        }
    }

    fn begin(&mut self) -> Option<PlanRequest> {
        if self.under_way.is_some() || self.tick < self.next_begin {
            return None;
        }
        self.under_way = Some(self.tick);
        self.next_begin = self.tick + self.n_action_steps;
        self.counts.plans += 1;
        Some(PlanRequest {
            began: self.tick,
            states: self.horizon.window(self.n_obs_steps),
        })
    }
}

/// The side that computes plans, as long as it takes.
#[derive(Debug)]
pub struct Planning<P> {
    planner: P,
    noise: NoiseSource,
}

impl<P: Planner> Planning<P> {
    /// An episode at its start; `seed` names its noise.
    pub fn new(planner: P, seed: u64) -> Self {
        Self {
            planner,
            noise: NoiseSource::new(seed),
        }
    }

    /// Computes a plan.
    ///
    /// # Errors
    /// Those of [`Planner::plan`].
    pub fn plan(&mut self, request: &PlanRequest) -> Result<Plan, Error> {
        let n_obs_steps = self.planner.n_obs_steps().clamp(1, MAX_OBS_STEPS);
        let n_action_steps = self.planner.n_action_steps().clamp(1, MAX_HORIZON);
        let mut actions = Vec::new();
        // As long as it may be.
        let _ = actions.resize(n_action_steps, [0.0; 2]);
        let states = request.states.get(..n_obs_steps).unwrap_or_default();
        self.planner.plan(states, &mut self.noise, &mut actions)?;
        Ok(Plan {
            began: request.began,
            actions,
        })
    }
}

/// Both sides in one, for a machine that time waits for: what the real one does if each plan takes the ticks that `takes` says, by
/// its number.
#[derive(Debug)]
pub struct Simulated<P, F> {
    pipeline: Pipeline,
    planning: Planning<P>,
    takes: F,
    n_plans: u32,
    computing: Option<(u32, Plan)>,
}

impl<P: Planner, F: Fn(u32) -> u32> Simulated<P, F> {
    /// An episode at its start.
    pub fn new(planner: P, seed: u64, n_action_steps: usize, delay: usize, takes: F) -> Self {
        Self {
            pipeline: Pipeline::new(&planner, n_action_steps, delay),
            planning: Planning::new(planner, seed),
            takes,
            n_plans: 0,
            computing: None,
        }
    }

    /// What was counted so far.
    pub fn counts(&self) -> PipelineCounts {
        self.pipeline.counts()
    }
}

impl<P: Planner, F: Fn(u32) -> u32> crate::pusht::episode::Controller for Simulated<P, F> {
    type Error = Error;

    fn act(&mut self, state: &[f64; STATE_DIM]) -> Result<Action, Error> {
        let tick = self.pipeline.tick;
        let is_done = |(done, _): &mut (u32, Plan)| *done <= tick;
        let plan = self.computing.take_if(is_done).map(|(_, plan)| plan);
        let (action, request) = self.pipeline.tick(state, plan)?;
        if let Some(request) = request {
            let done = tick + (self.takes)(self.n_plans);
            self.n_plans += 1;
            self.computing = Some((done, self.planning.plan(&request)?));
        }
        Ok(action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;
    use crate::pusht::episode::Controller;

    extern crate std;
    use std::vec::Vec;

    /// Plans actions whose x is that of the newest state and whose y is the tick they are meant
    /// for.
    struct Meant;

    impl Planner for Meant {
        fn n_obs_steps(&self) -> usize {
            2
        }
        fn n_action_steps(&self) -> usize {
            6
        }
        fn plan(
            &mut self,
            states: &[[f64; STATE_DIM]],
            _noise: &mut dyn Noise,
            chunk: &mut [Action],
        ) -> Result<(), Error> {
            for (ahead, action) in chunk.iter_mut().enumerate() {
                *action = [states[1][0], states[1][0] + ahead as f64];
            }
            Ok(())
        }
    }

    fn actions(delay: usize, takes: fn(u32) -> u32) -> (Vec<Action>, PipelineCounts) {
        let mut controller = Simulated::new(Meant, 0, 3, delay, takes);
        let actions = (0..12)
            .map(|t| {
                controller
                    .act(&[f64::from(t), -1.0, 0.0, 0.0, 0.0])
                    .unwrap()
            })
            .collect();
        (actions, controller.counts())
    }

    #[test]
    fn an_action_is_executed_in_the_tick_it_is_meant_for() {
        for delay in 1..=3 {
            let (executed, counts) = actions(delay, |_| 1);
            for (t, [seen, meant]) in executed.iter().enumerate() {
                if t < delay {
                    // Before the first plan the agent stays where it was.
                    assert_eq!([*seen, *meant], [0.0, -1.0]);
                } else {
                    let began = (t - delay) / 3 * 3;
                    assert_eq!([*seen, *meant], [began as f64, t as f64], "{delay}");
                }
            }
            let held = delay as u32;
            assert_eq!(
                counts,
                PipelineCounts {
                    plans: 4,
                    missed: 0,
                    held
                }
            );
        }
    }

    /// Plans within the deadline of 3 ticks: after 1 tick each, and after 1 to 3 ticks.
    #[test]
    fn actions_do_not_depend_on_how_early_a_plan_is_ready() {
        assert_eq!(actions(3, |_| 1), actions(3, |plan| 1 + plan % 3));
    }

    #[test]
    fn a_late_plan_is_counted_and_the_last_action_held_meanwhile() {
        // The second plan begins in tick 3, is due in tick 5 and arrives in tick 8.
        let (executed, counts) = actions(2, |plan| if plan == 1 { 5 } else { 1 });
        let meant: Vec<f64> = executed.iter().map(|[_, meant]| *meant).collect();
        // The first plan has actions up to tick 5, the second from tick 8 on; then a third begins.
        let expected = [
            -1.0, -1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 5.0, 8.0, 8.0, 10.0, 11.0,
        ];
        assert_eq!(meant, expected);
        assert_eq!(
            counts,
            PipelineCounts {
                plans: 4,
                missed: 1,
                held: 5
            }
        );
    }

    #[test]
    fn a_plan_that_was_not_requested_is_dropped() {
        let mut pipeline = Pipeline::new(&Meant, 3, 1);
        let state = [7.0; STATE_DIM];
        let (_, request) = pipeline.tick(&state, None).unwrap();
        let mut plan = Planning::new(Meant, 0).plan(&request.unwrap()).unwrap();
        plan.began = 5;
        assert_eq!(pipeline.tick(&state, Some(plan)).unwrap().0, [7.0, 7.0]);
        assert_eq!(pipeline.counts().missed, 1);
    }
}
