//! A whole run: which batch at which learning rate in which step.

use super::diffusion::{self, NoisyBatch};
use super::learner::{Learner, State};
use super::parameters::Layout;
use super::windows::{Order, Split, WindowShape, Windows};
use crate::data::Demonstrations;
use crate::policy_file::{Observation, SchedulerConfig, Tensors, UnetConfig};
use anyhow::{Result, ensure};
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
    /// Whether the mirror image of every episode is learned too.
    pub mirror: bool,
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

/// A run in progress.
pub struct Trainer {
    settings: Settings,
    windows: Windows,
    order: Order,
    alphas_cumprod: Vec<f64>,
    learner: Learner,
}

impl Trainer {
    /// A run at its start, or at `state`.
    ///
    /// # Errors
    /// Those of [`Windows::new`], or a state of another network.
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
            settings.mirror,
            settings.validation_episodes,
            settings.seed,
        )?;
        let layout = Layout::new(&settings.unet);
        let state = state.unwrap_or_else(|| State::initial(layout.init(settings.seed)));
        ensure!(
            state.n_values() == Some(layout.n_values()),
            "the checkpoint's vectors do not have the network's {} values",
            layout.n_values()
        );
        Ok(Self {
            order: Order::new(settings.seed, windows.len(Split::Train)),
            alphas_cumprod: diffusion::alphas_cumprod(settings.scheduler.num_train_timesteps),
            learner: Learner::new(settings.unet.clone(), settings.weight_decay, state),
            settings,
            windows,
        })
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.learner.step()
    }

    /// The learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        let Settings {
            learning_rate: peak,
            warmup_steps,
            steps,
            ..
        } = self.settings;
        diffusion::learning_rate(peak, self.step(), warmup_steps, steps)
    }

    /// Does one step and returns its loss.
    pub fn advance(&mut self) -> f32 {
        let batch = self.next_batch();
        self.learner.learn(&batch, self.learning_rate())
    }

    /// The moving average's loss on the held-out episodes, with the same noise every time; none without them.
    pub fn validation_loss(&self) -> Option<f32> {
        let n_windows = self.windows.len(Split::Validation);
        let mut sum = 0.0;
        for start in (0..n_windows).step_by(self.settings.batch) {
            let indices = start..n_windows.min(start + self.settings.batch);
            let n_samples = indices.len();
            let batch = self.windows.batch(Split::Validation, indices);
            // Counted from the other end than the steps of the run.
            let index = u64::MAX - start as u64;
            let seed = self.settings.seed;
            let batch = diffusion::add_noise(batch, &self.alphas_cumprod, seed, index, n_samples);
            sum += self.learner.ema_loss(&batch) * n_samples as f32;
        }
        (n_windows > 0).then(|| sum / n_windows as f32)
    }

    /// What a run that goes on from here needs.
    pub fn state(&self) -> State {
        self.learner.state()
    }

    /// The policy's tensors: the moving average and the normalisers.
    pub fn policy_tensors(&self) -> Tensors {
        let mut tensors = self.learner.layout().to_tensors(&self.state().ema);
        self.windows.obs_normalizer.store("obs", &mut tensors);
        self.windows.action_normalizer.store("action", &mut tensors);
        tensors
    }

    fn next_batch(&mut self) -> NoisyBatch {
        let n_samples = self.settings.batch;
        let first = self.step() * n_samples as u64;
        let samples = first..first + n_samples as u64;
        let indices: Vec<usize> = samples.map(|n| self.order.window(n)).collect();
        let batch = self.windows.batch(Split::Train, indices.into_iter());
        let seed = self.settings.seed;
        diffusion::add_noise(batch, &self.alphas_cumprod, seed, self.step(), n_samples)
    }
}
