//! The forward process that the network learns to undo (DDPM, arXiv 2006.11239) and the schedules of a run.

use super::random::{self, Purpose};
use super::windows::Batch;
use pusht_core::noise::{Noise, NoiseSource};
use rand::RngExt;

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

/// A batch with its noise: what the network sees and what it shall answer.
#[derive(Clone, Debug, PartialEq)]
pub struct NoisyBatch {
    /// (B, Tp, A): `sqrt(alpha_bar) * action + sqrt(1 - alpha_bar) * noise`.
    pub sample: Vec<f32>,
    /// Diffusion step of each sample, (B).
    pub timesteps: Vec<usize>,
    /// (B, Tp, A): the noise, which is the target.
    pub noise: Vec<f32>,
    /// (B, To * obs).
    pub global_cond: Vec<f32>,
}

/// Draws diffusion steps and noise number `index` of the run for `n_samples` samples.
pub fn add_noise(
    batch: Batch,
    alphas_cumprod: &[f64],
    seed: u64,
    index: u64,
    n_samples: usize,
) -> NoisyBatch {
    let mut rng = random::stream(seed, Purpose::Timesteps, index);
    let mut source = NoiseSource::new(random::stream_seed(seed, Purpose::Noise, index));
    let timesteps: Vec<usize> = (0..n_samples)
        .map(|_| rng.random_range(0..alphas_cumprod.len()))
        .collect();
    let noise: Vec<f32> = (0..batch.actions.len())
        .map(|_| source.next_gaussian().to_num())
        .collect();
    let per_sample = batch.actions.len() / n_samples;
    let sample = (batch.actions.iter().zip(&noise).enumerate())
        .map(|(at, (action, noise))| {
            let alpha_bar = alphas_cumprod[timesteps[at / per_sample]];
            alpha_bar.sqrt() as f32 * action + (1.0 - alpha_bar).sqrt() as f32 * noise
        })
        .collect();
    NoisyBatch {
        sample,
        timesteps,
        noise,
        global_cond: batch.global_cond,
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
