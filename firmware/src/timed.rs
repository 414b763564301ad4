//! A planner whose plans are counted and timed.

use crate::counter::InstructionCounter;
use pusht_core::Error;
use pusht_core::noise::Noise;
use pusht_core::observation::STATE_DIM;
use pusht_core::receding_horizon::{Action, Planner};

/// Does what `P` does, and counts the instructions of it.
pub struct Timed<'c, P> {
    planner: P,
    counter: &'c InstructionCounter,
    /// Plans made.
    pub n_plans: u64,
    /// Instructions of all plans.
    pub total_instructions: u64,
    /// Instructions of the longest plan.
    pub max_instructions: u64,
}

impl<'c, P> Timed<'c, P> {
    /// No plan yet.
    pub fn new(planner: P, counter: &'c InstructionCounter) -> Self {
        Self {
            planner,
            counter,
            n_plans: 0,
            total_instructions: 0,
            max_instructions: 0,
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
        let instructions = self.counter.now() - start;
        self.n_plans += 1;
        self.total_instructions += instructions;
        self.max_instructions = self.max_instructions.max(instructions);
        result
    }
}
