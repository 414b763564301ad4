//! Costs in [`UNIT`](crate::counter::UNIT)s, and a planner that measures its own.

use crate::counter::Counter;
use core::cell::Cell;
use pusht_core::Error;
use pusht_core::control::{PlanShape, Planner};
use pusht_core::noise::Noise;

/// Cost of something that happens again and again.
#[derive(Default)]
pub struct Cost {
    n: Cell<u64>,
    total: Cell<u64>,
    longest: Cell<u64>,
}

impl Cost {
    /// Adds one that cost `spent`.
    pub fn add(&self, spent: u64) {
        self.n.set(self.n.get() + 1);
        self.total.set(self.total.get() + spent);
        self.longest.set(self.longest.get().max(spent));
    }

    /// How many there were.
    pub fn n(&self) -> u64 {
        self.n.get()
    }

    /// Cost of all of them.
    pub fn total(&self) -> u64 {
        self.total.get()
    }

    /// Cost of the longest.
    pub fn longest(&self) -> u64 {
        self.longest.get()
    }
}

/// Wraps the planner `P` and measures its plans.
pub struct Timed<'c, P> {
    planner: P,
    counter: &'c Counter,
    cost: &'c Cost,
}

impl<'c, P> Timed<'c, P> {
    /// Wraps `planner`, whose plans are added to `cost`.
    pub fn new(planner: P, counter: &'c Counter, cost: &'c Cost) -> Self {
        Self {
            planner,
            counter,
            cost,
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
        self.cost.add(self.counter.now() - start);
        result
    }
}
