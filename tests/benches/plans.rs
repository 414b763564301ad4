//! Plans for some environments, alone and together.

use pusht_core::control::{PlanJob, Planner};
use pusht_core::noise::{Noise, NoiseSource};
use pusht_core::pusht::observation::{ObservationKind, observe};
use pusht_core::quant::{BATCH, IntPolicy, IntPolicyBatch, Model};
use std::hint::black_box;

/// The shipped integer policies.
pub const MODELS: [&[u8]; 2] = [
    include_bytes!("../../models/pusht.ptm"),
    include_bytes!("../../models/pusht-small.ptm"),
];

/// [`BATCH`] environments that need a plan.
pub struct Plans {
    model: Model<'static>,
    scratch: Vec<u64>,
    window: Vec<f64>,
    noise: [NoiseSource; BATCH],
    chunks: [Vec<f64>; BATCH],
}

const STATE: [f64; 5] = [222.0, 97.0, 222.0, 381.0, 2.6];

impl Plans {
    /// Of one of [`MODELS`].
    pub fn of(model: usize) -> Self {
        let model = Model::parse(MODELS[model]).unwrap();
        let kind = ObservationKind::of_task(model.task()).unwrap();
        let shape = model.shape();
        let mut observation = vec![0.0; kind.dim()];
        observe(kind, &STATE, &mut observation).unwrap();
        Self {
            scratch: vec![0; IntPolicyBatch::scratch_len(&model)],
            window: observation.repeat(shape.n_obs_steps),
            noise: std::array::from_fn(|seed| NoiseSource::new(seed as u64)),
            chunks: std::array::from_fn(|_| vec![0.0; shape.chunk_len()]),
            model,
        }
    }

    /// One after the other.
    pub fn alone(&mut self) {
        let mut policy = IntPolicy::new(&self.model, &mut self.scratch).unwrap();
        for (noise, chunk) in self.noise.iter_mut().zip(&mut self.chunks) {
            let window = black_box(&self.window);
            policy.plan(window, noise, chunk).unwrap();
        }
    }

    /// As `pusht eval` does.
    pub fn together(&mut self) {
        let inputs = self.noise.iter_mut().zip(&mut self.chunks);
        let mut jobs: Vec<_> = inputs
            .map(|(noise, chunk)| PlanJob {
                window: black_box(&self.window),
                noise: noise as &mut dyn Noise,
                chunk,
            })
            .collect();
        let mut policy = IntPolicyBatch::new(&self.model, &mut self.scratch).unwrap();
        policy.plan(&mut jobs).unwrap();
    }
}
