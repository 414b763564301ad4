//! A planner that counts and times its plans.

use crate::counter::Counter;
use pusht_core::Error;
use pusht_core::control::{PlanShape, Planner};
use pusht_core::noise::Noise;

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
    fn shape(&self) -> PlanShape {
        self.planner.shape()
    }

    fn plan(
        &mut self,
        window: &[f64],
        noise: &mut dyn Noise,
        chunk: &mut [f64],
    ) -> Result<(), Error> {
        let start = self.counter.now();
        let result = self.planner.plan(window, noise, chunk);
        let spent = self.counter.now() - start;
        self.n_plans += 1;
        self.total += spent;
        self.longest = self.longest.max(spent);
        result
    }
}
