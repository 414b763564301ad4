//! A whole run: which batch at which learning rate in which step.

use super::diffusion::{self, ForwardProcess, NoisyBatch, TrainTimesteps};
use super::learner::{Learner, State};
use super::mixture::Mixture;
use super::normalizer::Normalizers;
use super::parameters::Layout;
use super::rounding::Rounding;
use super::windows::{Split, WindowOptions, Windows};
use crate::data::Demonstrations;
use crate::policy_file::{ActionFrame, Observation, SchedulerConfig, Tensors, UnetConfig};
use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

/// Everything that the trained weights depend on, apart from the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Steps of the whole run.
    pub steps: u64,
    /// Windows in a step.
    pub batch: usize,
    /// Share of each data set in every batch; all windows alike if empty.
    pub shares: Vec<f64>,
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
    /// Poses of every episode that become its goal.
    #[serde(default)]
    pub n_relabelled_goals: usize,
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
    /// From where actions are counted.
    pub action_frame: ActionFrame,
    /// The network.
    pub unet: UnetConfig,
    /// The diffusion process, and the sampler that the policy file names.
    pub scheduler: SchedulerConfig,
    /// Passes of the network in a plan.
    pub num_inference_steps: usize,
    /// Which steps of the process are trained.
    pub train_timesteps: TrainTimesteps,
    /// CRC-32 of the weights that the run begins with, if they are given.
    pub init_crc32: Option<u32>,
    /// Which weights are rounded.
    #[serde(default)]
    pub rounding: Rounding,
}

/// A run in progress.
pub struct Trainer {
    settings: Settings,
    windows: Windows,
    mixture: Mixture,
    process: ForwardProcess,
    learner: Learner,
}

impl Trainer {
    /// A run at its start, or at `state`, computed by `device`. Weights and normalisers are those of `init` if given.
    ///
    /// # Errors
    /// Those of [`Windows::new`], or a state or first weights of another network.
    pub fn new(
        settings: Settings,
        sets: &[Demonstrations],
        init: Option<&Tensors>,
        state: Option<State>,
        device: Device,
    ) -> Result<Self> {
        let options = WindowOptions {
            observation: settings.observation,
            n_obs_steps: settings.n_obs_steps,
            horizon: settings.horizon,
            n_action_steps: settings.n_action_steps,
            action_frame: settings.action_frame,
            n_relabelled_goals: settings.n_relabelled_goals,
            mirror: settings.mirror,
            validation_episodes: settings.validation_episodes,
            seed: settings.seed,
        };
        let normalizers = init.map(Normalizers::load).transpose()?;
        let windows = Windows::new(sets, options, normalizers)?;
        let layout = Layout::new(&settings.unet);
        let state = match (state, init) {
            (Some(state), _) => state,
            (None, Some(init)) => State::initial(
                layout
                    .from_tensors(init)
                    .context("the weights to begin with")?,
            ),
            (None, None) => State::initial(layout.init(settings.seed)),
        };
        ensure!(
            state.n_values() == Some(layout.n_values()),
            "the checkpoint's vectors do not have the network's {} values",
            layout.n_values()
        );
        let Settings { seed, shares, .. } = &settings;
        Ok(Self {
            mixture: match shares.is_empty() {
                true => Mixture::of_all(*seed, windows.len(Split::Train)),
                false => Mixture::new(*seed, windows.sets(), shares),
            },
            process: ForwardProcess::new(
                &settings.scheduler,
                settings.num_inference_steps,
                settings.train_timesteps,
            )?,
            learner: Learner::new(
                settings.unet.clone(),
                settings.weight_decay,
                &settings.rounding,
                state,
                device,
            ),
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
            let batch = (self.process).add_noise(batch, self.settings.seed, index, n_samples);
            sum += self.learner.ema_loss(&batch) * n_samples as f32;
        }
        (n_windows > 0).then(|| sum / n_windows as f32)
    }

    /// What a run that goes on from here needs.
    pub fn state(&self) -> State {
        self.learner.state()
    }

    /// The policy's tensors: the moving average, rounded, and the normalisers.
    pub fn policy_tensors(&self) -> Tensors {
        let mut tensors = self.learner.layout().to_tensors(&self.learner.policy());
        self.windows.normalizers().store(&mut tensors);
        tensors
    }

    fn next_batch(&mut self) -> NoisyBatch {
        let n_samples = self.settings.batch;
        let first = self.step() * n_samples as u64;
        let indices = self.mixture.windows(first..first + n_samples as u64);
        let batch = self.windows.batch(Split::Train, indices.into_iter());
        let seed = self.settings.seed;
        self.process.add_noise(batch, seed, self.step(), n_samples)
    }
}
