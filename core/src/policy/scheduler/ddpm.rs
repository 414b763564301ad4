//! Denoising diffusion probabilistic models (Ho et al. 2020, arXiv 2006.11239).

use super::prediction::{Mixture, predict_original};
use super::{NoiseSchedule, SchedulerConfig, SchedulerError, StepOutput, VarianceType, expect_len};

/// Variances are kept at or above this, since their logarithm may be taken.
const MIN_VARIANCE: f32 = 1e-20;

/// Diffusers' `DDPMScheduler`: stochastic steps.
///
/// # Examples
/// ```
/// use pusht_core::noise::{Noise, NoiseSource};
/// use pusht_core::policy::scheduler::{
///     DDPMScheduler, SchedulerConfig, SchedulerError, StepOutput,
/// };
///
/// let config = SchedulerConfig {
///     num_train_timesteps: 100,
///     ..SchedulerConfig::default()
/// };
/// let scheduler = DDPMScheduler::<100>::new(config)?;
///
/// let mut source = NoiseSource::new(0);
/// let mut normal = || [(); 2].map(|()| source.next_gaussian().to_num::<f32>());
/// let mut sample = normal();
/// for &t in scheduler.schedule().timesteps() {
///     // In place of a network that predicts the noise.
///     let model_output = sample.map(|x| 0.5 * x);
///     let noise = scheduler.needs_noise(t).then(&mut normal);
///     let noise = noise.as_ref().map(|noise| noise.as_slice());
///     let (mut prev_sample, mut pred_original_sample) = ([0.0; 2], [0.0; 2]);
///     let to = StepOutput {
///         prev_sample: &mut prev_sample,
///         pred_original_sample: &mut pred_original_sample,
///     };
///     scheduler.step(&model_output, t, &sample, noise, to)?;
///     sample = prev_sample;
/// }
/// // The last step returns the predicted clean sample, which `clip_sample` bounds.
/// assert!(sample.iter().all(|x| x.abs() <= 1.0));
/// # Ok::<(), SchedulerError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DDPMScheduler<'a, const T: usize> {
    config: SchedulerConfig<'a>,
    schedule: NoiseSchedule<T>,
    /// False until timesteps are set: every training step is visited then.
    timesteps_are_set: bool,
}

/// The factors of a step.
struct Coefficients {
    alpha_prod: f32,
    alpha_prod_prev: f32,
    /// 1 - abar_t / abar_prev.
    current_beta: f32,
}

impl<'a, const T: usize> DDPMScheduler<'a, T> {
    /// Computes the noise schedule of `config`. Inference visits every training step until
    /// [`Self::set_timesteps`].
    ///
    /// # Errors
    /// [`SchedulerError::Capacity`] unless `num_train_timesteps` is 1 to `T`;
    /// [`SchedulerError::Config`] for a beta outside 0 to 1, betas that leave a step to divide by
    /// zero, or a limit of the clean sample that is none; [`SchedulerError::WrongLength`] unless
    /// there is one of `trained_betas` per training step.
    pub fn new(config: SchedulerConfig<'a>) -> Result<Self, SchedulerError> {
        Ok(Self {
            config,
            schedule: NoiseSchedule::new(&config)?,
            timesteps_are_set: false,
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
        self.timesteps_are_set = true;
        Ok(())
    }

    /// Visits the given timesteps.
    ///
    /// # Errors
    /// [`SchedulerError::NotDescending`] if one is not below its predecessor;
    /// [`SchedulerError::TimestepOutOfRange`] if the first is no training step;
    /// [`SchedulerError::InferenceSteps`] if there is none.
    pub fn set_custom_timesteps(&mut self, timesteps: &[usize]) -> Result<(), SchedulerError> {
        self.schedule.set_custom_timesteps(timesteps)?;
        self.timesteps_are_set = true;
        Ok(())
    }

    /// The timestep that `timestep` leads to; None (diffusers: -1) for the last.
    ///
    /// # Errors
    /// [`SchedulerError::UnknownTimestep`] if timesteps were set and it is not among them.
    pub fn previous_timestep(&self, timestep: usize) -> Result<Option<usize>, SchedulerError> {
        match self.timesteps_are_set {
            true => self.schedule.next_visited(timestep),
            false => Ok(timestep.checked_sub(1)),
        }
    }

    /// The variance of the noise that the step from `timestep` adds, as `variance_type` states it.
    /// For the learned types `predicted` is the network's value.
    ///
    /// # Errors
    /// [`SchedulerError::TimestepOutOfRange`] if `timestep` is no training step;
    /// [`SchedulerError::UnknownTimestep`] if timesteps were set and it is not among them.
    pub fn variance(&self, timestep: usize, predicted: f32) -> Result<f32, SchedulerError> {
        let coefficients = self.coefficients(timestep)?;
        Ok(coefficients.variance(self.config.variance_type, predicted))
    }

    /// Whether the step from `timestep` adds noise.
    pub fn needs_noise(&self, timestep: usize) -> bool {
        timestep > 0
    }

    /// Values of `model_output` for a sample of `len` values: twice as many if the variance is
    /// learned.
    pub fn model_output_len(&self, len: usize) -> usize {
        match self.config.variance_type {
            VarianceType::Learned | VarianceType::LearnedRange => 2 * len,
            _ => len,
        }
    }

    /// One step of the reverse process: from x_t (`sample`) and the network's output to x_{t-1}.
    ///
    /// With a learned variance `model_output` is the prediction followed by as many variances.
    /// `noise` is needed where [`Self::needs_noise`], and has as many values as the sample.
    ///
    /// # Errors
    /// [`SchedulerError::WrongLength`] if a slice has not the sample's length (`model_output`:
    /// [`Self::model_output_len`]); [`SchedulerError::NoiseMissing`] if the step adds noise and
    /// `noise` is None; [`SchedulerError::Config`] for unclipped epsilon prediction at a step of
    /// pure noise; otherwise those of [`Self::variance`].
    pub fn step(
        &self,
        model_output: &[f32],
        timestep: usize,
        sample: &[f32],
        noise: Option<&[f32]>,
        to: StepOutput<'_>,
    ) -> Result<(), SchedulerError> {
        let len = sample.len();
        let expected = self.model_output_len(len);
        expect_len("model_output", model_output.len(), expected)?;
        expect_len("prev_sample", to.prev_sample.len(), len)?;
        expect_len("pred_original_sample", to.pred_original_sample.len(), len)?;
        let coefficients = self.coefficients(timestep)?;
        self.config.check_division(coefficients.alpha_prod)?;
        let (output, predicted) = model_output.split_at(len);
        let mixture = Mixture::new(coefficients.alpha_prod);
        let (previous, original) = (to.prev_sample, to.pred_original_sample);
        predict_original(&self.config, mixture, (output, sample), original, previous);
        coefficients.posterior_mean(original, sample, previous);
        if !self.needs_noise(timestep) {
            return Ok(());
        }
        let noise = noise.ok_or(SchedulerError::NoiseMissing)?;
        expect_len("noise", noise.len(), len)?;
        for (i, (previous, noise)) in previous.iter_mut().zip(noise).enumerate() {
            let predicted = predicted.get(i).copied().unwrap_or_default();
            *previous += coefficients.deviation(self.config.variance_type, predicted) * noise;
        }
        Ok(())
    }

    fn coefficients(&self, timestep: usize) -> Result<Coefficients, SchedulerError> {
        let alpha_prod = self.schedule.alpha_prod(timestep)?;
        let alpha_prod_prev = match self.previous_timestep(timestep)? {
            Some(previous) => self.schedule.alpha_prod(previous)?,
            None => 1.0,
        };
        Ok(Coefficients {
            alpha_prod,
            alpha_prod_prev,
            current_beta: 1.0 - alpha_prod / alpha_prod_prev,
        })
    }
}

impl Coefficients {
    /// The mean of q(x_{t-1} | x_t, x_0) (arXiv 2006.11239, eq. 7).
    fn posterior_mean(&self, original: &[f32], sample: &[f32], previous: &mut [f32]) {
        let (beta_prod, beta_prod_prev) = (1.0 - self.alpha_prod, 1.0 - self.alpha_prod_prev);
        let current_alpha = self.alpha_prod / self.alpha_prod_prev;
        let of_original = libm::sqrtf(self.alpha_prod_prev) * self.current_beta / beta_prod;
        let of_sample = libm::sqrtf(current_alpha) * beta_prod_prev / beta_prod;
        for ((previous, original), sample) in previous.iter_mut().zip(original).zip(sample) {
            *previous = of_original * original + of_sample * sample;
        }
    }

    fn variance(&self, kind: VarianceType, predicted: f32) -> f32 {
        let beta_prod_prev = 1.0 - self.alpha_prod_prev;
        let posterior = beta_prod_prev / (1.0 - self.alpha_prod) * self.current_beta;
        let posterior = posterior.max(MIN_VARIANCE);
        match kind {
            VarianceType::FixedSmall => posterior,
            VarianceType::FixedSmallLog => libm::expf(0.5 * libm::logf(posterior)),
            VarianceType::FixedLarge => self.current_beta,
            VarianceType::FixedLargeLog => libm::logf(self.current_beta),
            VarianceType::Learned => predicted,
            VarianceType::LearnedRange => {
                let fraction = (predicted + 1.0) / 2.0;
                let (low, high) = (libm::logf(posterior), libm::logf(self.current_beta));
                fraction * high + (1.0 - fraction) * low
            }
        }
    }

    /// What a value of noise is multiplied with.
    fn deviation(&self, kind: VarianceType, predicted: f32) -> f32 {
        let variance = self.variance(kind, predicted);
        match kind {
            VarianceType::FixedSmallLog => variance,
            VarianceType::LearnedRange => libm::expf(0.5 * variance),
            _ => libm::sqrtf(variance),
        }
    }
}
