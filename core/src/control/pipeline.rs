//! Receding-horizon execution in real time: each plan is computed during execution of the last one.
//!
//! ```text
//!  tick      t          t+1       ..  t+delay                      t+Ta
//!            plan begins              its actions from delay on    the next plan begins
//!            |------- computing -------|===== executed =====..
//! ```
//!
//! A plan sees the observations up to the tick in which it begins, and takes effect a fixed number
//! of ticks later, even if it is complete earlier: actions do not depend on the speed of the
//! machine (logical execution time: Henzinger, Horowitz and Kirsch, "Giotto", Proc. IEEE 2003). A
//! later plan misses its deadline: the last action is held until it arrives, and its actions for
//! past ticks are dropped.

use super::planner::{PlanShape, Planner, check_actions};
use super::receding_horizon::{RecedingHorizon, copy};
use crate::Error;
use crate::noise::NoiseSource;

/// Input of a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlanRequest<const WINDOW: usize> {
    /// Tick in which the plan begins.
    pub began: u32,
    window: [f64; WINDOW],
}

/// Completed plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan<const CHUNK: usize> {
    /// Tick in which the plan began.
    pub began: u32,
    actions: [f64; CHUNK],
}

/// Counters since the episode began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PipelineCounts {
    /// Plans begun.
    pub plans: u32,
    /// Plans that missed their deadline.
    pub missed: u32,
    /// Ticks in which the last action was held for lack of a plan, before the first plan too.
    pub held: u32,
}

/// The real-time side, which never blocks: one observation in and one action out per control tick.
///
/// `WINDOW` and `CHUNK` as in [`RecedingHorizon`].
#[derive(Clone, Debug)]
pub struct Pipeline<const WINDOW: usize, const CHUNK: usize> {
    horizon: RecedingHorizon<WINDOW, CHUNK>,
    /// Ticks from the start of one plan to the start of the next.
    period: u32,
    /// Ticks from the start of a plan until it takes effect.
    delay: u32,
    tick: u32,
    next_begin: u32,
    /// Start of the plan in progress.
    under_way: Option<u32>,
    arrived: Option<Plan<CHUNK>>,
    counts: PipelineCounts,
}

impl<const WINDOW: usize, const CHUNK: usize> Pipeline<WINDOW, CHUNK> {
    /// Starts an episode for plans of `shape`: one begins every `period` ticks and takes effect
    /// `delay` ticks later (at least 1). A plan of `delay + max(period, delay)` actions avoids
    /// holds.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if `WINDOW` or `CHUNK` is too small for `shape`.
    pub fn new(shape: PlanShape, period: usize, delay: usize) -> Result<Self, Error> {
        let ticks = |n: usize| u32::try_from(n.max(1)).unwrap_or(u32::MAX);
        Ok(Self {
            // The noise is drawn on the planning side.
            horizon: RecedingHorizon::new(shape, 0)?,
            period: ticks(period),
            delay: ticks(delay),
            tick: 0,
            next_begin: 0,
            under_way: None,
            arrived: None,
            counts: PipelineCounts::default(),
        })
    }

    /// The counters so far.
    pub fn counts(&self) -> PipelineCounts {
        self.counts
    }

    /// Index of the next control tick, from 0.
    pub fn tick(&self) -> u32 {
        self.tick
    }

    /// Records the observation (`[Do]`) of the next control tick.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if its length is not `Do`, [`Error::NonFiniteObservation`] if a value
    /// is NaN or infinite, [`Error::ObservationTooLarge`] if one is beyond
    /// [`MAX_OBSERVED`](super::planner::MAX_OBSERVED); the episode is unchanged then.
    pub fn observe(&mut self, observation: &[f64]) -> Result<(), Error> {
        self.horizon.observe(observation)
    }

    /// Begins the control tick whose observation was recorded. `arrived` is the plan completed
    /// since the last tick. Returns the request for the next plan if one begins now.
    pub fn begin_tick(&mut self, arrived: Option<Plan<CHUNK>>) -> Option<PlanRequest<WINDOW>> {
        // Ignores a plan of an earlier episode, or one that was not requested.
        if let Some(plan) = arrived
            && self.under_way == Some(plan.began)
        {
            self.arrived = Some(plan);
        }
        self.deliver_when_due();
        self.begin_plan()
    }

    /// Action (`[Da]`) of the control tick in progress; `hold` before the first plan.
    pub fn next_action(&mut self, hold: &[f64]) -> &[f64] {
        if self.horizon.needs_plan() {
            self.counts.held += 1;
        }
        self.tick += 1;
        self.horizon.next_action(hold)
    }

    fn deliver_when_due(&mut self) {
        let Some(began) = self.under_way else {
            return;
        };
        let age = self.tick - began;
        if age < self.delay {
            return;
        }
        match self.arrived.take() {
            Some(plan) => {
                self.under_way = None;
                let len = self.horizon.shape().chunk_len();
                let chunk = plan.actions.get(..len).unwrap_or_default();
                let delivered = self.horizon.deliver(chunk, age as usize);
                debug_assert!(delivered.is_ok(), "a plan has the pipeline's shape");
            }
            None if age == self.delay => self.counts.missed += 1,
            None => {}
        }
    }

    fn begin_plan(&mut self) -> Option<PlanRequest<WINDOW>> {
        if self.under_way.is_some() || self.tick < self.next_begin {
            return None;
        }
        self.under_way = Some(self.tick);
        self.next_begin = self.tick.saturating_add(self.period);
        self.counts.plans += 1;
        let mut window = [0.0; WINDOW];
        let observed = self.horizon.window();
        copy(
            observed,
            window.get_mut(..observed.len()).unwrap_or_default(),
        );
        Some(PlanRequest {
            began: self.tick,
            window,
        })
    }
}

/// The planning side, without a time limit.
#[derive(Debug)]
pub struct Planning<P> {
    planner: P,
    noise: NoiseSource,
}

impl<P: Planner> Planning<P> {
    /// Starts an episode; `seed` is the seed of its noise.
    pub fn new(planner: P, seed: u64) -> Self {
        Self {
            planner,
            noise: NoiseSource::new(seed),
        }
    }

    /// Computes a plan.
    ///
    /// # Errors
    /// As [`Planner::plan`], and [`Error::NonFiniteAction`] whatever the planner says of a value
    /// that is NaN or infinite; [`Error::WrongLength`] if `CHUNK` is too small.
    pub fn plan<const WINDOW: usize, const CHUNK: usize>(
        &mut self,
        request: &PlanRequest<WINDOW>,
    ) -> Result<Plan<CHUNK>, Error> {
        let shape = self.planner.shape();
        let mut actions = [0.0; CHUNK];
        let window = request.window.get(..shape.window_len());
        let chunk = actions.get_mut(..shape.chunk_len()).unwrap_or_default();
        self.planner
            .plan(window.unwrap_or_default(), &mut self.noise, chunk)?;
        check_actions(chunk)?;
        Ok(Plan {
            began: request.began,
            actions,
        })
    }
}

/// Both sides on one machine: simulated time stops during plan `i`, which takes `takes(i)` ticks.
#[derive(Debug)]
pub struct SimulatedPlanning<P, F, const CHUNK: usize> {
    planning: Planning<P>,
    takes: F,
    n_plans: u32,
    /// The plan in progress and the tick in which it is complete.
    computing: Option<(u32, Plan<CHUNK>)>,
}

impl<P: Planner, F: Fn(u32) -> u32, const CHUNK: usize> SimulatedPlanning<P, F, CHUNK> {
    /// Starts an episode.
    pub fn new(planning: Planning<P>, takes: F) -> Self {
        Self {
            planning,
            takes,
            n_plans: 0,
            computing: None,
        }
    }

    /// Begins a control tick of `pipeline` after its observation: delivers and computes due plans.
    ///
    /// # Errors
    /// As [`Planning::plan`].
    pub fn begin_tick<const WINDOW: usize>(
        &mut self,
        pipeline: &mut Pipeline<WINDOW, CHUNK>,
    ) -> Result<(), Error> {
        let tick = pipeline.tick();
        let is_done = |(done, _): &mut (u32, Plan<CHUNK>)| *done <= tick;
        let arrived = self.computing.take_if(is_done).map(|(_, plan)| plan);
        if let Some(request) = pipeline.begin_tick(arrived) {
            let done = tick + (self.takes)(self.n_plans);
            self.n_plans += 1;
            self.computing = Some((done, self.planning.plan(&request)?));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

    extern crate std;
    use std::vec::Vec;

    const SHAPE: PlanShape = PlanShape {
        n_obs_steps: 2,
        obs_dim: 1,
        n_action_steps: 6,
        action_dim: 2,
    };
    type Small = Pipeline<2, 14>;

    /// Plans pairs of the newest observation and the tick for which the action is meant.
    struct Meant;

    impl Planner for Meant {
        fn shape(&self) -> PlanShape {
            SHAPE
        }

        fn plan(
            &mut self,
            window: &[f64],
            _: &mut dyn Noise,
            chunk: &mut [f64],
        ) -> Result<(), Error> {
            for (ahead, action) in chunk.chunks_mut(2).enumerate() {
                action.copy_from_slice(&[window[1], window[1] + ahead as f64]);
            }
            Ok(())
        }
    }

    /// Actions of twelve ticks; each observation is its tick's index.
    fn actions(delay: usize, takes: fn(u32) -> u32) -> (Vec<[f64; 2]>, PipelineCounts) {
        let mut pipeline = Small::new(SHAPE, 3, delay).unwrap();
        let mut planning = SimulatedPlanning::new(Planning::new(Meant, 0), takes);
        let actions = (0..12)
            .map(|t| {
                pipeline.observe(&[f64::from(t)]).unwrap();
                planning.begin_tick(&mut pipeline).unwrap();
                pipeline.next_action(&[0.0, -1.0]).try_into().unwrap()
            })
            .collect();
        (actions, pipeline.counts())
    }

    #[test]
    fn an_action_is_executed_in_the_tick_that_it_is_meant_for() {
        for delay in 1..=3 {
            let (executed, counts) = actions(delay, |_| 1);
            for (t, [seen, meant]) in executed.iter().enumerate() {
                if t < delay {
                    assert_eq!(
                        [*seen, *meant],
                        [0.0, -1.0],
                        "the hold before the first plan"
                    );
                } else {
                    let began = (t - delay) / 3 * 3;
                    assert_eq!([*seen, *meant], [began as f64, t as f64], "{delay}");
                }
            }
            let expected = PipelineCounts {
                plans: 4,
                missed: 0,
                held: delay as u32,
            };
            assert_eq!(counts, expected);
        }
    }

    /// The sum of a tick and the longest period wrapped.
    #[test]
    fn the_longest_period_has_one_plan() {
        let mut pipeline = Small::new(SHAPE, usize::MAX, 1).unwrap();
        let mut planning = SimulatedPlanning::new(Planning::new(Meant, 0), |_| 1);
        for t in 0..5 {
            pipeline.observe(&[f64::from(t)]).unwrap();
            planning.begin_tick(&mut pipeline).unwrap();
            pipeline.next_action(&[0.0, -1.0]);
        }
        assert_eq!(pipeline.counts().plans, 1);
    }

    #[test]
    fn the_actions_do_not_depend_on_how_early_a_plan_is_done() {
        assert_eq!(actions(3, |_| 1), actions(3, |plan| 1 + plan % 3));
    }

    #[test]
    fn the_last_action_is_held_for_a_late_plan_and_the_miss_is_counted() {
        // The second plan begins in tick 3, is due in tick 5, and arrives in tick 8.
        let (executed, counts) = actions(2, |plan| if plan == 1 { 5 } else { 1 });
        let meant: Vec<f64> = executed.iter().map(|[_, meant]| *meant).collect();
        // The first plan covers ticks up to 5, the second those from 8 on; then a third begins.
        let expected = [
            -1.0, -1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 5.0, 8.0, 8.0, 10.0, 11.0,
        ];
        assert_eq!(meant, expected);
        let expected = PipelineCounts {
            plans: 4,
            missed: 1,
            held: 5,
        };
        assert_eq!(counts, expected);
    }

    /// Plans nothing that can be executed.
    struct Broken;

    impl Planner for Broken {
        fn shape(&self) -> PlanShape {
            SHAPE
        }

        fn plan(&mut self, _: &[f64], _: &mut dyn Noise, chunk: &mut [f64]) -> Result<(), Error> {
            chunk[5] = f64::NAN;
            Ok(())
        }
    }

    #[test]
    fn a_plan_that_is_not_finite_is_an_error() {
        let mut pipeline = Small::new(SHAPE, 3, 1).unwrap();
        pipeline.observe(&[7.0]).unwrap();
        let request = pipeline.begin_tick(None).unwrap();
        let plan = Planning::new(Broken, 0).plan::<2, 14>(&request);
        assert_eq!(plan, Err(Error::NonFiniteAction));
        let mut pipeline = Small::new(SHAPE, 3, 1).unwrap();
        let mut planning = SimulatedPlanning::new(Planning::new(Broken, 0), |_| 1);
        pipeline.observe(&[7.0]).unwrap();
        let begun = planning.begin_tick(&mut pipeline);
        assert_eq!(begun, Err(Error::NonFiniteAction));
        assert_eq!(pipeline.next_action(&[1.0, 1.0]), [1.0, 1.0]);
    }

    #[test]
    fn a_plan_that_nobody_asked_for_is_ignored() {
        let mut pipeline = Small::new(SHAPE, 3, 1).unwrap();
        pipeline.observe(&[7.0]).unwrap();
        let request = pipeline.begin_tick(None).unwrap();
        assert_eq!(pipeline.next_action(&[1.0, 1.0]), [1.0, 1.0]);
        let mut plan = Planning::new(Meant, 0).plan(&request).unwrap();
        plan.began = 5;
        pipeline.observe(&[8.0]).unwrap();
        assert_eq!(pipeline.begin_tick(Some(plan)), None);
        assert_eq!(pipeline.next_action(&[2.0, 2.0]), [1.0, 1.0]);
        assert_eq!(pipeline.counts().missed, 1);
    }
}
