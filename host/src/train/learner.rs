//! The network with its optimiser: what a step of training changes.

use super::diffusion::{self, NoisyBatch};
use super::parameters::Layout;
use super::rounding::{RoundedRows, Rounding};
use super::unet::{Unet, step_embedding, values_of};
use crate::policy_file::UnetConfig;
use anyhow::{Result, ensure};
use burn::optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, Optimizer};
use burn::tensor::{Device, Tensor, TensorData};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

/// AdamW's averaging factors, as in diffusion_policy's configuration.
const BETAS: (f32, f32) = (0.95, 0.999);
/// Keeps AdamW from dividing by zero; PyTorch's default.
const ADAM_EPS: f32 = 1e-8;
/// Samples of a batch that one thread computes at a time. A card computes the whole batch.
const PART: usize = 64;

/// The values of a learner.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Steps done.
    pub step: u64,
    /// The parameters, flat as in the [`Layout`].
    pub parameters: Vec<f32>,
    /// Their moving average: the policy.
    pub ema: Vec<f32>,
    /// AdamW's average of the gradient.
    pub moment_1: Vec<f32>,
    /// AdamW's average of its square.
    pub moment_2: Vec<f32>,
}

impl State {
    /// Before the first step, at these parameters.
    pub fn initial(parameters: Vec<f32>) -> Self {
        Self {
            step: 0,
            ema: parameters.clone(),
            moment_1: vec![0.0; parameters.len()],
            moment_2: vec![0.0; parameters.len()],
            parameters,
        }
    }

    /// Checks that the vectors are equally long and their values finite.
    ///
    /// # Errors
    /// If they are not, with the step.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.n_values().is_some(),
            "the vectors of step {} have different lengths",
            self.step
        );
        let vectors = [&self.parameters, &self.ema, &self.moment_1, &self.moment_2];
        ensure!(
            vectors.into_iter().flatten().all(|value| value.is_finite()),
            "the weights of step {} are not finite: a smaller --learning-rate is needed",
            self.step
        );
        Ok(())
    }

    /// Length of the vectors, if they are equally long.
    pub fn n_values(&self) -> Option<usize> {
        let others = [&self.ema, &self.moment_1, &self.moment_2];
        let n = self.parameters.len();
        others.iter().all(|vector| vector.len() == n).then_some(n)
    }
}

/// A U-Net under training. All parameters are one vector: each has a gradient and the same settings.
pub struct Learner {
    config: UnetConfig,
    layout: Layout,
    rounded: RoundedRows,
    optimizer: AdamW,
    device: Device,
    step: u64,
    parameters: Tensor<1>,
    ema: Tensor<1>,
    moments: Option<AdamWState<1>>,
}

impl Learner {
    /// The learner of `config` at `state`, with weights rounded by `rounding`, on `device`.
    pub fn new(
        config: UnetConfig,
        weight_decay: f32,
        rounding: &Rounding,
        state: State,
        device: Device,
    ) -> Self {
        let optimizer = AdamWConfig::new()
            .with_beta_1(BETAS.0)
            .with_beta_2(BETAS.1)
            .with_epsilon(ADAM_EPS)
            .with_weight_decay(weight_decay)
            .build();
        let layout = Layout::new(&config);
        Self {
            rounded: RoundedRows::new(rounding, &layout, &config),
            layout,
            config,
            optimizer,
            step: state.step,
            moments: (state.step > 0).then(|| AdamWState {
                momentum: AdaptiveMomentumState {
                    time: state.step as usize,
                    moment_1: flat(state.moment_1, &device),
                    moment_2: flat(state.moment_2, &device),
                    max_moment_2: None,
                },
            }),
            parameters: flat(state.parameters, &device),
            ema: flat(state.ema, &device),
            device,
        }
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Where each parameter is in the flat vectors.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// One step at this learning rate; returns the loss before it.
    pub fn learn(&mut self, batch: &NoisyBatch, learning_rate: f64) -> f32 {
        let (loss, gradient) = self.gradient(batch);
        self.update(flat(gradient, &self.device), learning_rate);
        loss
    }

    /// The policy's parameters: the moving average, rounded.
    pub fn policy(&self) -> Vec<f32> {
        self.rounded(&self.ema)
    }

    /// The parameters that the network has for these.
    fn rounded(&self, parameters: &Tensor<1>) -> Vec<f32> {
        let mut values = values_of(parameters.clone());
        self.rounded.apply(&mut values);
        values
    }

    /// The loss at the rounded parameters and its gradient there: of parts of the batch, on the
    /// threads of the current pool. The parts and the order of their sum do not depend on the threads.
    pub fn gradient(&self, batch: &NoisyBatch) -> (f32, Vec<f32>) {
        let values = self.rounded(&self.parameters);
        let n_samples = batch.timesteps.len();
        let n_a_part = if self.is_on_cpu() { PART } else { n_samples };
        let parts: Vec<NoisyBatch> = batch.parts(n_a_part).collect();
        let of_parts: Vec<(f32, Vec<f32>)> = (parts.par_iter())
            .map(|part| self.gradient_at(&values, part))
            .collect();
        let (mut loss, mut gradient) = (0.0, vec![0.0; values.len()]);
        for (part, (loss_of_part, gradient_of_part)) in parts.iter().zip(&of_parts) {
            let share = part.timesteps.len() as f32 / n_samples as f32;
            loss += share * loss_of_part;
            for (sum, value) in gradient.iter_mut().zip(gradient_of_part) {
                *sum += share * value;
            }
        }
        (loss, gradient)
    }

    fn gradient_at(&self, values: &[f32], batch: &NoisyBatch) -> (f32, Vec<f32>) {
        let device = self.device.clone().autodiff();
        let unet = Unet::new(&self.config, &self.layout, values, &device);
        let loss = self.loss(&unet, batch, &device);
        let gradient = unet.gradients(&loss);
        (values_of(loss)[0], gradient)
    }

    fn is_on_cpu(&self) -> bool {
        self.device == Device::flex()
    }

    /// The loss of the policy.
    pub fn ema_loss(&self, batch: &NoisyBatch) -> f32 {
        let values = self.policy();
        let unet = Unet::new(&self.config, &self.layout, &values, &self.device);
        values_of(self.loss(&unet, batch, &self.device))[0]
    }

    /// What a learner that goes on from here needs.
    pub fn state(&self) -> State {
        let mut state = State::initial(values_of(self.parameters.clone()));
        state.step = self.step;
        state.ema = values_of(self.ema.clone());
        if let Some(AdamWState { momentum }) = self.moments.clone() {
            state.moment_1 = values_of(momentum.moment_1);
            state.moment_2 = values_of(momentum.moment_2);
        }
        state
    }

    /// Mean squared error of the prediction (DDPM, arXiv 2006.11239, equation 14).
    fn loss(&self, unet: &Unet, batch: &NoisyBatch, device: &Device) -> Tensor<1> {
        let n_samples = batch.timesteps.len();
        let UnetConfig {
            input_dim,
            global_cond_dim,
            diffusion_step_embed_dim: embed_dim,
            ..
        } = self.config;
        let sequence = [
            n_samples,
            batch.sample.len() / n_samples / input_dim,
            input_dim,
        ];
        let embedding: Vec<f32> = (batch.timesteps.iter())
            .flat_map(|&timestep| step_embedding(timestep, embed_dim))
            .collect();
        let predicted = unet.forward(
            tensor(&batch.sample, sequence, device).swap_dims(0, 1),
            tensor(&embedding, [n_samples, embed_dim], device),
            tensor(&batch.global_cond, [n_samples, global_cond_dim], device),
        );
        let error = predicted.swap_dims(0, 1) - tensor(&batch.target, sequence, device);
        (error.clone() * error).mean()
    }

    /// AdamW (arXiv 1711.05101), then the moving average.
    fn update(&mut self, gradient: Tensor<1>, learning_rate: f64) {
        let (parameters, moments) = (self.optimizer).step(
            learning_rate,
            self.parameters.clone(),
            gradient,
            self.moments.take(),
        );
        let decay = diffusion::ema_decay(self.step);
        self.ema = self.ema.clone() * decay + parameters.clone() * (1.0 - decay);
        self.parameters = parameters;
        self.moments = moments;
        self.step += 1;
    }
}

fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn flat(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device)
}
