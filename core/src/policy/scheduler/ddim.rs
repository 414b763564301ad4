//! Denoising diffusion implicit models (Song et al. 2020, arXiv 2010.02502).

use super::prediction::{Mixture, predict_original};
use super::{
    BetaSchedule, NoiseSchedule, PredictionType, SchedulerConfig, SchedulerError, StepOutput,
    expect_len,
};

/// Diffusers' `DDIMScheduler`: few, deterministic steps (at eta 0).
///
/// # Examples
/// ```
/// use pusht_core::policy::scheduler::{
///     DDIMOptions, DDIMScheduler, SchedulerConfig, SchedulerError, StepOutput,
/// };
///
/// let config = SchedulerConfig {
///     num_train_timesteps: 100,
///     ..SchedulerConfig::default()
/// };
/// let mut scheduler = DDIMScheduler::<100>::new(config)?;
/// scheduler.set_timesteps(10)?;
/// let timesteps = scheduler.schedule().timesteps();
///
/// let (clean, noise) = ([0.5, -0.25], [1.2, -0.7]);
/// let mut sample = [0.0; 2];
/// scheduler.schedule().add_noise(&clean, &noise, timesteps[0], &mut sample)?;
/// for &t in timesteps {
///     // A perfect network: its output is the noise in the sample.
///     let model_output = noise;
///     let (mut prev_sample, mut pred_original_sample) = ([0.0; 2], [0.0; 2]);
///     let to = StepOutput {
///         prev_sample: &mut prev_sample,
///         pred_original_sample: &mut pred_original_sample,
///     };
///     scheduler.step(&model_output, t, &sample, DDIMOptions::default(), None, to)?;
///     sample = prev_sample;
/// }
/// assert!((sample[0] - clean[0]).abs() < 1e-5 && (sample[1] - clean[1]).abs() < 1e-5);
/// # Ok::<(), SchedulerError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DDIMScheduler<'a, const T: usize> {
    config: SchedulerConfig<'a>,
    schedule: NoiseSchedule<T>,
    /// abar of the sample that the last step leads to.
    final_alpha_cumprod: f32,
    num_inference_steps: Option<usize>,
}

/// The optional arguments of a DDIM step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DDIMOptions {
    /// Weight of the noise that a step adds: 0 is deterministic, 1 is DDPM.
    pub eta: f32,
    /// Whether the predicted noise is recomputed from the clipped x_0.
    pub use_clipped_model_output: bool,
}

impl<'a, const T: usize> DDIMScheduler<'a, T> {
    /// Computes the noise schedule of `config`. [`Self::set_timesteps`] comes before the first
    /// step.
    ///
    /// # Errors
    /// [`SchedulerError::Capacity`] unless `num_train_timesteps` is 1 to `T`;
    /// [`SchedulerError::NotImplemented`] for the sigmoid schedule; [`SchedulerError::Config`] for
    /// a beta outside 0 to 1, betas that leave a step to divide by zero, or a limit of the clean
    /// sample that is none; [`SchedulerError::WrongLength`] unless there is one of `trained_betas`
    /// per training step.
    pub fn new(config: SchedulerConfig<'a>) -> Result<Self, SchedulerError> {
        let sigmoid = BetaSchedule::Sigmoid;
        if config.beta_schedule == sigmoid && config.trained_betas.is_none() {
            return Err(SchedulerError::NotImplemented(sigmoid));
        }
        let schedule = NoiseSchedule::new(&config)?;
        Ok(Self {
            config,
            final_alpha_cumprod: match config.set_alpha_to_one {
                true => 1.0,
                false => schedule.alphas_cumprod()[0],
            },
            schedule,
            num_inference_steps: None,
        })
    }

    /// The options.
    pub fn config(&self) -> &SchedulerConfig<'a> {
        &self.config
    }

    /// The forward process, with `add_noise` and `get_velocity`.
    pub fn schedule(&self) -> &NoiseSchedule<T> {
        &self.schedule
    }

    /// Spreads `num_inference_steps` timesteps over the training steps, as `timestep_spacing` says.
    ///
    /// # Errors
    /// [`SchedulerError::InferenceSteps`] unless `num_inference_steps` is 1 to
    /// `num_train_timesteps`; [`SchedulerError::TimestepOutOfRange`] if `steps_offset` leads past
    /// them; [`SchedulerError::Config`] for unclipped epsilon prediction at a step of pure noise.
    /// The timesteps are then as before.
    pub fn set_timesteps(&mut self, num_inference_steps: usize) -> Result<(), SchedulerError> {
        self.schedule
            .set_timesteps(&self.config, num_inference_steps)?;
        self.num_inference_steps = Some(num_inference_steps);
        Ok(())
    }

    /// The timestep that `timestep` leads to: `num_train_timesteps / num_inference_steps` (rounded
    /// down) before it, whatever the spacing, as upstream; None below zero.
    ///
    /// # Errors
    /// [`SchedulerError::NoInferenceSteps`] before [`Self::set_timesteps`].
    pub fn previous_timestep(&self, timestep: usize) -> Result<Option<usize>, SchedulerError> {
        let count = self
            .num_inference_steps
            .ok_or(SchedulerError::NoInferenceSteps)?;
        Ok(timestep.checked_sub(self.config.num_train_timesteps / count))
    }

    /// sigma_t^2 at eta = 1 of the step from `timestep` to `previous` (arXiv 2010.02502, eq. 16).
    ///
    /// # Errors
    /// [`SchedulerError::TimestepOutOfRange`] if either is no training step.
    pub fn variance(
        &self,
        timestep: usize,
        previous: Option<usize>,
    ) -> Result<f32, SchedulerError> {
        let (alpha_prod, alpha_prod_prev) = self.alpha_prods(timestep, previous)?;
        let ratio = (1.0 - alpha_prod_prev) / (1.0 - alpha_prod);
        Ok(ratio * (1.0 - alpha_prod / alpha_prod_prev))
    }

    /// One step of the reverse process (arXiv 2010.02502, eq. 12): from x_t (`sample`) and the
    /// network's output to the sample of [`Self::previous_timestep`]. All slices have the sample's
    /// length; `noise` is needed where eta > 0.
    ///
    /// # Errors
    /// [`SchedulerError::WrongLength`] if a slice has not the sample's length;
    /// [`SchedulerError::NoiseMissing`] if eta > 0 and `noise` is None; [`SchedulerError::Config`]
    /// if eta is not 0 to 1, or for unclipped epsilon prediction at a step of pure noise;
    /// [`SchedulerError::TimestepOutOfRange`] if `timestep` is no training step;
    /// [`SchedulerError::NoInferenceSteps`] before [`Self::set_timesteps`].
    pub fn step(
        &self,
        model_output: &[f32],
        timestep: usize,
        sample: &[f32],
        options: DDIMOptions,
        noise: Option<&[f32]>,
        to: StepOutput<'_>,
    ) -> Result<(), SchedulerError> {
        let len = sample.len();
        expect_len("model_output", model_output.len(), len)?;
        expect_len("prev_sample", to.prev_sample.len(), len)?;
        expect_len("pred_original_sample", to.pred_original_sample.len(), len)?;
        let before = self.previous_timestep(timestep)?;
        let (alpha_prod, alpha_prod_prev) = self.alpha_prods(timestep, before)?;
        self.config.check_division(alpha_prod)?;
        if !(0.0..=1.0).contains(&options.eta) {
            return Err(SchedulerError::Config("eta is not 0 to 1"));
        }
        let mixture = Mixture::new(alpha_prod);
        let (previous, original) = (to.prev_sample, to.pred_original_sample);
        let inputs = (model_output, sample);
        predict_original(&self.config, mixture, inputs, original, previous);

        let deviation = options.eta * libm::sqrtf(self.variance(timestep, before)?);
        let of_original = libm::sqrtf(alpha_prod_prev);
        // At eta 1 nothing is left of it, or by rounding less than nothing.
        let of_noise = libm::sqrtf((1.0 - alpha_prod_prev - deviation * deviation).max(0.0));
        for i in 0..len {
            let predicted = match options.use_clipped_model_output {
                true => mixture.noise(original[i], sample[i]),
                false => self.predicted_noise(mixture, model_output[i], sample[i]),
            };
            previous[i] = of_original * original[i] + of_noise * predicted;
        }
        if options.eta > 0.0 {
            let noise = noise.ok_or(SchedulerError::NoiseMissing)?;
            expect_len("noise", noise.len(), len)?;
            for (previous, noise) in previous.iter_mut().zip(noise) {
                *previous += deviation * noise;
            }
        }
        Ok(())
    }

    /// The noise that the network's output implies, before any clipping.
    fn predicted_noise(&self, mixture: Mixture, output: f32, sample: f32) -> f32 {
        match self.config.prediction_type {
            PredictionType::Epsilon => output,
            PredictionType::Sample => mixture.noise(output, sample),
            PredictionType::VPrediction => mixture.signal * output + mixture.spread * sample,
        }
    }

    /// abar of `timestep` and of the step before it.
    fn alpha_prods(
        &self,
        timestep: usize,
        previous: Option<usize>,
    ) -> Result<(f32, f32), SchedulerError> {
        let before = match previous {
            Some(previous) => self.schedule.alpha_prod(previous)?,
            None => self.final_alpha_cumprod,
        };
        Ok((self.schedule.alpha_prod(timestep)?, before))
    }
}
