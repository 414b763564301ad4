//! Plans for some environments, alone and together.

use pusht_core::control::receding_horizon::{Action, PlanJob, Planner};
use pusht_core::noise::{Noise, NoiseSource};
use pusht_core::quant::{BATCH, IntPolicy, IntPolicyBatch, Model, Scratch};
use std::hint::black_box;

/// The shipped integer policies.
pub const MODELS: [&[u8]; 2] = [
    include_bytes!("../../models/pusht.ptm"),
    include_bytes!("../../models/pusht-small.ptm"),
];

/// [`BATCH`] environments that need a plan.
pub struct Plans {
    model: Model<'static>,
    scratch: Box<[Scratch; BATCH]>,
    noise: [NoiseSource; BATCH],
    chunks: [Vec<Action>; BATCH],
}

const STATES: [[f64; 5]; 2] = [[222.0, 97.0, 222.0, 381.0, 2.6]; 2];

impl Plans {
    /// Of one of [`MODELS`].
    pub fn of(model: usize) -> Self {
        let model = Model::parse(MODELS[model]).unwrap();
        Self {
            scratch: Box::new([const { Scratch::new() }; BATCH]),
            noise: std::array::from_fn(|seed| NoiseSource::new(seed as u64)),
            chunks: std::array::from_fn(|_| vec![[0.0; 2]; model.n_action_steps()]),
            model,
        }
    }

    /// One after the other.
    pub fn alone(&mut self) {
        let mut policy = IntPolicy::new(&self.model, &mut self.scratch[0]);
        for (noise, chunk) in self.noise.iter_mut().zip(&mut self.chunks) {
            policy.plan(black_box(&STATES), noise, chunk).unwrap();
        }
    }

    /// As `pusht eval` does.
    pub fn together(&mut self) {
        let inputs = self.noise.iter_mut().zip(&mut self.chunks);
        let mut jobs: Vec<_> = inputs
            .map(|(noise, chunk)| PlanJob {
                states: black_box(&STATES),
                noise: noise as &mut dyn Noise,
                chunk,
            })
            .collect();
        let mut policy = IntPolicyBatch::new(&self.model, &mut self.scratch);
        policy.plan(&mut jobs).unwrap();
    }
}
