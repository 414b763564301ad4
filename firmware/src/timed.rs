//! A planner that counts and times its plans.

use crate::counter::Counter;
use pusht_core::Error;
use pusht_core::control::receding_horizon::{Action, Planner};
use pusht_core::noise::Noise;
use pusht_core::pusht::observation::STATE_DIM;

/// Wraps the planner `P` and measures its cost in [`UNIT`](crate::counter::UNIT)s.
pub struct Timed<'c, P> {
    planner: P,
    counter: &'c Counter,
    /// Number of plans.
    pub n_plans: u64,
    /// Cost of all plans.
    pub total: u64,
    /// Cost of the longest plan.
    pub longest: u64,
}

impl<'c, P> Timed<'c, P> {
    /// Wraps `planner`; no plan is counted yet.
    pub fn new(planner: P, counter: &'c Counter) -> Self {
        Self {
            planner,
            counter,
            n_plans: 0,
            total: 0,
            longest: 0,
        }
    }
}

impl<P: Planner> Planner for Timed<'_, P> {
    fn n_obs_steps(&self) -> usize {
        self.planner.n_obs_steps()
    }

    fn n_action_steps(&self) -> usize {
        self.planner.n_action_steps()
    }

    fn plan(
        &mut self,
        states: &[[f64; STATE_DIM]],
        noise: &mut dyn Noise,
        chunk: &mut [Action],
    ) -> Result<(), Error> {
        let start = self.counter.now();
        let result = self.planner.plan(states, noise, chunk);
        let spent = self.counter.now() - start;
        self.n_plans += 1;
        self.total += spent;
        self.longest = self.longest.max(spent);
        result
    }
}
