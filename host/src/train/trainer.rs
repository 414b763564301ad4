//! One step of training after another: batch, loss, gradient, AdamW, moving average.

use super::diffusion::{self, NoisyBatch};
use super::parameters::Layout;
use super::unet::{Unet, step_embedding, values_of};
use super::windows::{Order, Split, WindowShape, Windows};
use crate::data::Demonstrations;
use crate::policy_file::{Observation, SchedulerConfig, SchedulerKind, Tensors, UnetConfig};
use anyhow::Result;
use burn::optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, Optimizer};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// Everything that the trained weights depend on, apart from the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Steps of the whole run.
    pub steps: u64,
    /// Windows in a step.
    pub batch: usize,
    /// Names all random numbers of the run.
    pub seed: u64,
    /// What the policy sees.
    pub observation: Observation,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Steps until it is reached.
    pub warmup_steps: u64,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Episodes held out.
    pub validation_episodes: usize,
    /// `To`.
    pub n_obs_steps: usize,
    /// `Tp`.
    pub horizon: usize,
    /// `Ta`.
    pub n_action_steps: usize,
    /// The network.
    pub unet: UnetConfig,
    /// The diffusion process, and the sampler that the policy file names.
    pub scheduler: SchedulerConfig,
}

/// What changes from step to step.
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

/// A run in progress.
pub struct Trainer {
    settings: Settings,
    layout: Layout,
    windows: Windows,
    order: Order,
    alphas_cumprod: Vec<f64>,
    optimizer: AdamW,
    device: Device,
    step: u64,
    parameters: Tensor<1>,
    ema: Tensor<1>,
    moments: Option<AdamWState<1>>,
}

impl Trainer {
    /// A run at its start, or at `state`.
    ///
    /// # Errors
    /// Those of [`Windows::new`].
    pub fn new(
        settings: Settings,
        demonstrations: &Demonstrations,
        state: Option<State>,
    ) -> Result<Self> {
        let shape = WindowShape {
            n_obs_steps: settings.n_obs_steps,
            horizon: settings.horizon,
            n_action_steps: settings.n_action_steps,
        };
        let windows = Windows::new(
            demonstrations,
            settings.observation.into(),
            shape,
            settings.validation_episodes,
            settings.seed,
        )?;
        let layout = Layout::new(&settings.unet);
        let optimizer = AdamWConfig::new()
            .with_beta_1(0.95)
            .with_beta_2(0.999)
            .with_epsilon(1e-8)
            .with_weight_decay(settings.weight_decay)
            .build();
        let device = Device::flex();
        let state = state.unwrap_or_else(|| State::initial(&layout, settings.seed));
        Ok(Self {
            order: Order::new(settings.seed, windows.len(Split::Train)),
            alphas_cumprod: diffusion::alphas_cumprod(settings.scheduler.num_train_timesteps),
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
            settings,
            layout,
            windows,
        })
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        let Settings {
            learning_rate: peak,
            warmup_steps,
            steps,
            ..
        } = self.settings;
        diffusion::learning_rate(peak, self.step, warmup_steps, steps)
    }

    /// Does one step and returns its loss.
    pub fn advance(&mut self) -> f32 {
        let batch = self.next_batch();
        let device = self.device.clone().autodiff();
        let values = values_of(self.parameters.clone());
        let unet = Unet::new(&self.settings.unet, &self.layout, &values, &device);
        let loss = self.loss(&unet, &batch, &device);
        let gradient = flat(unet.gradients(&loss), &self.device);
        self.update(gradient);
        values_of(loss)[0]
    }

    /// The moving average's loss on the held-out episodes, with the same noise every time; none without them.
    pub fn validation_loss(&self) -> Option<f32> {
        let n_windows = self.windows.len(Split::Validation);
        let values = values_of(self.ema.clone());
        let unet = Unet::new(&self.settings.unet, &self.layout, &values, &self.device);
        let mut sum = 0.0;
        for start in (0..n_windows).step_by(self.settings.batch) {
            let indices = start..n_windows.min(start + self.settings.batch);
            let n_samples = indices.len();
            let batch = self.windows.batch(Split::Validation, indices);
            // Counted from the other end than the steps of the run.
            let index = u64::MAX - start as u64;
            let seed = self.settings.seed;
            let batch = diffusion::add_noise(batch, &self.alphas_cumprod, seed, index, n_samples);
            let loss = values_of(self.loss(&unet, &batch, &self.device))[0];
            sum += loss * n_samples as f32;
        }
        (n_windows > 0).then(|| sum / n_windows as f32)
    }

    /// What a run that goes on from here needs.
    pub fn state(&self) -> State {
        let zeros = || vec![0.0; self.layout.n_values()];
        let moments = self.moments.clone().map(|state| state.momentum);
        let (moment_1, moment_2) = moments.map_or_else(
            || (zeros(), zeros()),
            |m| (values_of(m.moment_1), values_of(m.moment_2)),
        );
        State {
            step: self.step,
            parameters: values_of(self.parameters.clone()),
            ema: values_of(self.ema.clone()),
            moment_1,
            moment_2,
        }
    }

    /// The policy's tensors: the moving average and the normalisers.
    pub fn policy_tensors(&self) -> Tensors {
        let mut tensors = self.layout.to_tensors(&values_of(self.ema.clone()));
        self.windows.obs_normalizer.store("obs", &mut tensors);
        self.windows.action_normalizer.store("action", &mut tensors);
        tensors
    }

    fn next_batch(&mut self) -> NoisyBatch {
        let n_samples = self.settings.batch;
        let first = self.step * n_samples as u64;
        let samples = first..first + n_samples as u64;
        let indices: Vec<usize> = samples.map(|n| self.order.window(n)).collect();
        let batch = self.windows.batch(Split::Train, indices.into_iter());
        let seed = self.settings.seed;
        diffusion::add_noise(batch, &self.alphas_cumprod, seed, self.step, n_samples)
    }

    /// Mean squared error of the predicted noise.
    fn loss(&self, unet: &Unet, batch: &NoisyBatch, device: &Device) -> Tensor<1> {
        let n_samples = batch.timesteps.len();
        let UnetConfig {
            input_dim,
            global_cond_dim,
            diffusion_step_embed_dim: embed_dim,
            ..
        } = self.settings.unet;
        let sequence = [n_samples, self.settings.horizon, input_dim];
        let embedding: Vec<f32> = (batch.timesteps.iter())
            .flat_map(|&timestep| step_embedding(timestep, embed_dim))
            .collect();
        let predicted = unet.forward(
            tensor(&batch.sample, sequence, device).swap_dims(0, 1),
            tensor(&embedding, [n_samples, embed_dim], device),
            tensor(&batch.global_cond, [n_samples, global_cond_dim], device),
        );
        let error = predicted.swap_dims(0, 1) - tensor(&batch.noise, sequence, device);
        (error.clone() * error).mean()
    }

    /// AdamW (arXiv 1711.05101), then the moving average. All parameters are one vector: every one has its
    /// gradient and the same settings.
    fn update(&mut self, gradient: Tensor<1>) {
        let rate = self.learning_rate();
        let (parameters, moments) =
            (self.optimizer).step(rate, self.parameters.clone(), gradient, self.moments.take());
        let decay = diffusion::ema_decay(self.step);
        self.ema = self.ema.clone() * decay + parameters.clone() * (1.0 - decay);
        self.parameters = parameters;
        self.moments = moments;
        self.step += 1;
    }
}

impl State {
    fn initial(layout: &Layout, seed: u64) -> Self {
        let parameters = layout.init(seed);
        Self {
            step: 0,
            ema: parameters.clone(),
            parameters,
            moment_1: vec![0.0; layout.n_values()],
            moment_2: vec![0.0; layout.n_values()],
        }
    }
}

impl Settings {
    /// The scheduler that every policy here is trained for: 100 steps, squared cosine, the noise predicted.
    pub fn default_scheduler() -> SchedulerConfig {
        SchedulerConfig {
            kind: SchedulerKind::Ddim,
            num_train_timesteps: 100,
            beta_start: 1e-4,
            beta_end: 0.02,
            beta_schedule: "squaredcos_cap_v2".into(),
            prediction_type: "epsilon".into(),
            clip_sample: true,
            clip_sample_range: 1.0,
            variance_type: "fixed_small".into(),
            set_alpha_to_one: true,
            steps_offset: 0,
            timestep_spacing: "leading".into(),
        }
    }
}

fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn flat(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device)
}
