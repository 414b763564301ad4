//! The forward process that the network learns to undo, and the schedules of a run.

use super::random::{self, Purpose};
use super::windows::Batch;
use crate::float_engine;
use crate::policy_file::{SchedulerConfig, SchedulerKind};
use anyhow::Result;
use pusht_core::noise::{Noise, NoiseSource};
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// Largest beta of the squared-cosine schedule.
const MAX_BETA: f64 = 0.999;

/// Share of the clean sample after each of `n` steps, `alpha_bar`, for diffusers' `squaredcos_cap_v2`
/// (Nichol and Dhariwal, arXiv 2102.09672):
/// `beta_t = 1 - f(t+1)/f(t)`, `f(t) = cos^2((t/n + 0.008) / 1.008 * pi/2)`.
pub fn alphas_cumprod(n: usize) -> Vec<f64> {
    let f = |step: usize| {
        let angle = (step as f64 / n as f64 + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2;
        angle.cos().powi(2)
    };
    let alphas = (0..n).map(|step| 1.0 - (1.0 - f(step + 1) / f(step)).min(MAX_BETA));
    let product = alphas.scan(1.0, |product, alpha| {
        *product *= alpha;
        Some(*product)
    });
    product.collect()
}

/// Which steps of the forward process are trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum TrainTimesteps {
    /// All, so that the number of passes is free afterwards.
    All,
    /// Only those that the policy's passes visit: the whole network for them. With `sample` as the prediction and two
    /// passes this is two-pass regression ("Much Ado About Noising", arXiv 2512.01809).
    Visited,
}

/// What a step mixes of actions and noise.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mix {
    timestep: usize,
    /// Factors of action and noise in what the network sees.
    sample: [f32; 2],
    /// Factors of action and noise in what it shall answer.
    target: [f32; 2],
}

/// The forward process of a scheduler (DDPM, arXiv 2006.11239, or a straight flow, arXiv 2210.02747), as far as it is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct ForwardProcess {
    steps: Vec<Mix>,
}

impl ForwardProcess {
    /// The process that `scheduler` undoes in `passes` passes.
    ///
    /// # Errors
    /// If the scheduler is none that can be trained.
    pub fn new(scheduler: &SchedulerConfig, passes: usize, which: TrainTimesteps) -> Result<Self> {
        let timesteps = match which {
            TrainTimesteps::All => (0..scheduler.num_train_timesteps).collect(),
            TrainTimesteps::Visited => float_engine::timesteps(scheduler, passes)?,
        };
        let alphas_cumprod = alphas_cumprod(scheduler.num_train_timesteps);
        let steps = timesteps.into_iter().map(|timestep| {
            if scheduler.kind == SchedulerKind::FlowMatchEuler {
                let sigma = (timestep + 1) as f32 / scheduler.num_train_timesteps as f32;
                return Mix {
                    timestep,
                    sample: [1.0 - sigma, sigma],
                    target: [-1.0, 1.0],
                };
            }
            let alpha_bar = alphas_cumprod[timestep];
            let sample = [alpha_bar.sqrt() as f32, (1.0 - alpha_bar).sqrt() as f32];
            let target = match scheduler.prediction_type.as_str() {
                "sample" => [1.0, 0.0],
                "v_prediction" => [-sample[1], sample[0]],
                _ => [0.0, 1.0],
            };
            Mix {
                timestep,
                sample,
                target,
            }
        });
        Ok(Self {
            steps: steps.collect(),
        })
    }

    /// Draws diffusion steps and noise number `index` of the run for `n_samples` samples.
    pub fn add_noise(&self, batch: Batch, seed: u64, index: u64, n_samples: usize) -> NoisyBatch {
        let mut rng = random::stream(seed, Purpose::Timesteps, index);
        let mut source = NoiseSource::new(random::stream_seed(seed, Purpose::Noise, index));
        let steps: Vec<Mix> = (0..n_samples)
            .map(|_| self.steps[rng.random_range(0..self.steps.len())])
            .collect();
        let per_sample = batch.actions.len() / n_samples;
        let (mut sample, mut target) = (Vec::new(), Vec::new());
        for (mix, actions) in steps.iter().zip(batch.actions.chunks_exact(per_sample)) {
            for action in actions {
                let noise: f32 = source.next_gaussian().to_num();
                let mixed = |[of_action, of_noise]: [f32; 2]| of_action * action + of_noise * noise;
                sample.push(mixed(mix.sample));
                target.push(mixed(mix.target));
            }
        }
        NoisyBatch {
            sample,
            timesteps: steps.iter().map(|mix| mix.timestep).collect(),
            target,
            global_cond: batch.global_cond,
        }
    }
}

/// A batch with its noise: what the network sees and what it shall answer.
#[derive(Clone, Debug, PartialEq)]
pub struct NoisyBatch {
    /// (B, Tp, A): actions mixed with noise.
    pub sample: Vec<f32>,
    /// Diffusion step of each sample, (B).
    pub timesteps: Vec<usize>,
    /// (B, Tp, A): what the network shall answer: noise, actions or their velocity.
    pub target: Vec<f32>,
    /// (B, To * obs).
    pub global_cond: Vec<f32>,
}

impl NoisyBatch {
    /// The batch in parts of `n` samples, the last one with the rest.
    pub fn parts(&self, n: usize) -> impl Iterator<Item = Self> {
        let n_samples = self.timesteps.len();
        (0..n_samples).step_by(n).map(move |first| {
            let samples = first..n_samples.min(first + n);
            let of = |values: &[f32]| {
                let len = values.len() / n_samples;
                values[samples.start * len..samples.end * len].to_vec()
            };
            Self {
                sample: of(&self.sample),
                timesteps: self.timesteps[samples.clone()].to_vec(),
                target: of(&self.target),
                global_cond: of(&self.global_cond),
            }
        })
    }
}

/// Learning rate of step `step` of `n_steps`: up in a line from 0 over `n_warmup` steps, down to 0 along a
/// cosine.
pub fn learning_rate(peak: f64, step: u64, n_warmup: u64, n_steps: u64) -> f64 {
    if step < n_warmup {
        return peak * step as f64 / n_warmup as f64;
    }
    let progress = (step - n_warmup) as f64 / (n_steps - n_warmup).max(1) as f64;
    peak * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

/// How much of the average is kept in step `step` (diffusion_policy's `EMAModel`): `1 - step^-0.75`, counted
/// so that the first two steps copy, and at most 0.9999.
pub fn ema_decay(step: u64) -> f64 {
    match step {
        0 | 1 => 0.0,
        _ => (1.0 - (step as f64).powf(-0.75)).min(0.9999),
    }
}
