//! The forward process: betas, their cumulative product, and the steps that inference visits.

use super::{BetaSchedule, SchedulerConfig, SchedulerError, TimestepSpacing, expect_len};
use heapless::Vec;

/// The betas and alphas of a scheduler, and the timesteps that inference visits.
///
/// q(x_t | x_0) = N(sqrt(abar_t) x_0, (1 - abar_t) I), abar_t = prod_{s <= t} (1 - beta_s) (arXiv
/// 2006.11239, eq. 4).
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseSchedule<const T: usize> {
    betas: Vec<f32, T>,
    alphas_cumprod: Vec<f32, T>,
    timesteps: Vec<usize, T>,
}

impl<const T: usize> NoiseSchedule<T> {
    pub(super) fn new(config: &SchedulerConfig<'_>) -> Result<Self, SchedulerError> {
        let n = config.num_train_timesteps;
        if n == 0 || n > T {
            return Err(SchedulerError::Capacity {
                num_train_timesteps: n,
                capacity: T,
            });
        }
        config.check_limits()?;
        if let Some(betas) = config.trained_betas {
            expect_len("trained_betas", betas.len(), n)?;
        }
        let mut betas: Vec<f32, T> = (0..n).map(|step| beta(config, step)).collect();
        if !betas.iter().all(|beta| (0.0..=1.0).contains(beta)) {
            return Err(SchedulerError::Config("a beta is not 0 to 1"));
        }
        if config.rescale_betas_zero_snr {
            rescale_zero_terminal_snr(&mut betas);
        }
        let mut product = 1.0_f64;
        let alphas_cumprod: Vec<f32, T> = betas
            .iter()
            .map(|beta| {
                // PyTorch multiplies in f64 and keeps each product as f32.
                product *= f64::from(1.0 - beta);
                product as f32
            })
            .collect();
        check_alphas(&alphas_cumprod)?;
        Ok(Self {
            betas,
            alphas_cumprod,
            timesteps: (0..n).rev().collect(),
        })
    }

    /// beta_t of every training step.
    pub fn betas(&self) -> &[f32] {
        &self.betas
    }

    /// abar_t of every training step: the cumulative product of 1 - beta.
    pub fn alphas_cumprod(&self) -> &[f32] {
        &self.alphas_cumprod
    }

    /// The timesteps that inference visits, in descending order.
    pub fn timesteps(&self) -> &[usize] {
        &self.timesteps
    }

    /// abar of `timestep`.
    pub(super) fn alpha_prod(&self, timestep: usize) -> Result<f32, SchedulerError> {
        match self.alphas_cumprod.get(timestep) {
            Some(alpha) => Ok(*alpha),
            None => Err(SchedulerError::TimestepOutOfRange {
                timestep,
                num_train_timesteps: self.betas.len(),
            }),
        }
    }

    /// Spreads `count` steps over the training steps, as numpy does it.
    pub(super) fn set_timesteps(
        &mut self,
        config: &SchedulerConfig<'_>,
        count: usize,
    ) -> Result<(), SchedulerError> {
        let n = config.num_train_timesteps;
        if count == 0 || count > n {
            return Err(SchedulerError::InferenceSteps {
                num_inference_steps: count,
                num_train_timesteps: n,
            });
        }
        let timesteps: Vec<usize, T> = (0..count)
            .map(|i| match config.timestep_spacing {
                TimestepSpacing::Linspace => linspace_step(n, count, count - 1 - i),
                TimestepSpacing::Leading => {
                    ((count - 1 - i) * (n / count)).saturating_add(config.steps_offset)
                }
                TimestepSpacing::Trailing => trailing_step(n, count, i),
            })
            .collect();
        for timestep in &timesteps {
            config.check_division(self.alpha_prod(*timestep)?)?;
        }
        self.timesteps = timesteps;
        Ok(())
    }

    /// Visits `timesteps` instead, in descending order.
    pub(super) fn set_custom_timesteps(
        &mut self,
        timesteps: &[usize],
    ) -> Result<(), SchedulerError> {
        let n = self.betas.len();
        if timesteps.windows(2).any(|pair| pair[1] >= pair[0]) {
            return Err(SchedulerError::NotDescending);
        }
        match timesteps.first() {
            Some(&first) if first < n => {}
            Some(&timestep) => {
                return Err(SchedulerError::TimestepOutOfRange {
                    timestep,
                    num_train_timesteps: n,
                });
            }
            None => {
                return Err(SchedulerError::InferenceSteps {
                    num_inference_steps: 0,
                    num_train_timesteps: n,
                });
            }
        }
        self.timesteps = timesteps.iter().copied().collect();
        Ok(())
    }

    /// The inference step after `timestep` on the way to the clean sample; None after the last.
    pub(super) fn next_visited(&self, timestep: usize) -> Result<Option<usize>, SchedulerError> {
        match self.timesteps.iter().position(|t| *t == timestep) {
            Some(index) => Ok(self.timesteps.get(index + 1).copied()),
            None => Err(SchedulerError::UnknownTimestep(timestep)),
        }
    }

    /// x_t = sqrt(abar_t) original + sqrt(1 - abar_t) noise, into `noisy`.
    ///
    /// # Errors
    /// [`SchedulerError::TimestepOutOfRange`] if `timestep` is no training step;
    /// [`SchedulerError::WrongLength`] if the slices are not equally long.
    pub fn add_noise(
        &self,
        original: &[f32],
        noise: &[f32],
        timestep: usize,
        noisy: &mut [f32],
    ) -> Result<(), SchedulerError> {
        self.blend(original, noise, timestep, noisy, |signal, spread| {
            (signal, spread)
        })
    }

    /// v_t = sqrt(abar_t) noise - sqrt(1 - abar_t) sample, into `velocity`.
    ///
    /// # Errors
    /// [`SchedulerError::TimestepOutOfRange`] if `timestep` is no training step;
    /// [`SchedulerError::WrongLength`] if the slices are not equally long.
    pub fn get_velocity(
        &self,
        sample: &[f32],
        noise: &[f32],
        timestep: usize,
        velocity: &mut [f32],
    ) -> Result<(), SchedulerError> {
        self.blend(sample, noise, timestep, velocity, |signal, spread| {
            (-spread, signal)
        })
    }

    /// out = a first + b second, with (a, b) from sqrt(abar_t) and sqrt(1 - abar_t).
    fn blend(
        &self,
        first: &[f32],
        second: &[f32],
        timestep: usize,
        out: &mut [f32],
        factors: impl Fn(f32, f32) -> (f32, f32),
    ) -> Result<(), SchedulerError> {
        expect_len("noise", second.len(), first.len())?;
        expect_len("output", out.len(), first.len())?;
        let alpha_prod = self.alpha_prod(timestep)?;
        let (a, b) = factors(libm::sqrtf(alpha_prod), libm::sqrtf(1.0 - alpha_prod));
        for ((out, first), second) in out.iter_mut().zip(first).zip(second) {
            *out = a * first + b * second;
        }
        Ok(())
    }
}

/// Checks that a step divides by none of the zeros that a schedule can contain: every sample has
/// some noise, and every sample but the last some signal.
fn check_alphas(alphas_cumprod: &[f32]) -> Result<(), SchedulerError> {
    let Some((last, before)) = alphas_cumprod.split_last() else {
        return Ok(());
    };
    let mixed = |alpha: &f32| *alpha > 0.0 && *alpha < 1.0;
    match before.iter().all(mixed) && (*last == 0.0 || mixed(last)) {
        true => Ok(()),
        false => Err(SchedulerError::Config(
            "the betas leave a step without noise, or one before the last without signal",
        )),
    }
}

/// beta of one step, before any rescaling.
fn beta(config: &SchedulerConfig<'_>, step: usize) -> f32 {
    let n = config.num_train_timesteps;
    let (start, end) = (config.beta_start, config.beta_end);
    if let Some(betas) = config.trained_betas {
        return betas[step];
    }
    match config.beta_schedule {
        BetaSchedule::Linear => linspace(start, end, n, step),
        BetaSchedule::ScaledLinear => {
            let root = linspace(libm::sqrt(start), libm::sqrt(end), n, step);
            root * root
        }
        BetaSchedule::SquaredcosCapV2 => {
            let (from, to) = (step as f64 / n as f64, (step + 1) as f64 / n as f64);
            f64::min(1.0 - cosine_alpha_bar(to) / cosine_alpha_bar(from), 0.999) as f32
        }
        BetaSchedule::Sigmoid => {
            let x = linspace(-6.0, 6.0, n, step);
            let sigmoid = 1.0 / (1.0 + libm::expf(-x));
            sigmoid * (end - start) as f32 + start as f32
        }
    }
}

/// abar at a fraction of the process (arXiv 2102.09672, eq. 17 with s = 0.008).
fn cosine_alpha_bar(fraction: f64) -> f64 {
    let cos = libm::cos((fraction + 0.008) / 1.008 * core::f64::consts::PI / 2.0);
    cos * cos
}

/// `torch.linspace` in `f32`: counted from the nearer end, each value rounded once (PyTorch uses
/// fused multiply-add).
fn linspace(start: f64, end: f64, count: usize, index: usize) -> f32 {
    let (start, end) = (start as f32, end as f32);
    if count == 1 {
        return start;
    }
    let step = f64::from((end - start) / (count - 1) as f32);
    match index < count / 2 {
        true => (f64::from(start) + step * index as f64) as f32,
        false => (f64::from(end) - step * (count - 1 - index) as f64) as f32,
    }
}

/// Algorithm 1 of arXiv 2305.08891: shifts sqrt(abar) so that its last value is zero and its first
/// stays.
fn rescale_zero_terminal_snr(betas: &mut [f32]) {
    let mut product = 1.0_f64;
    for beta in betas.iter_mut() {
        product *= f64::from(1.0 - *beta);
        *beta = libm::sqrtf(product as f32);
    }
    // From here to the last loop `betas` holds sqrt(abar).
    let (first, last) = (betas[0], betas[betas.len() - 1]);
    let scale = first / (first - last);
    let mut before = 1.0;
    for beta in betas {
        let root = (*beta - last) * scale;
        let alpha_bar = root * root;
        *beta = 1.0 - alpha_bar / before;
        before = alpha_bar;
    }
}

/// `numpy.linspace(0, n - 1, count).round()[index]`. The last is `n - 1` without numpy's own case for
/// it: the error of a quotient and a product is far below a half.
fn linspace_step(n: usize, count: usize, index: usize) -> usize {
    // Of a single step, which is the first, any width.
    let width = (n - 1) as f64 / (count - 1).max(1) as f64;
    libm::rint(index as f64 * width) as usize
}

/// `numpy.round(numpy.arange(n, 0, -n / count))[index] - 1`.
fn trailing_step(n: usize, count: usize, index: usize) -> usize {
    let start = n as f64;
    // arange adds up the difference of its first two values.
    let delta = (start - start / count as f64) - start;
    libm::rint(start + index as f64 * delta) as usize - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_number_of_values_is_the_same_from_either_end() {
        for count in [4, 6, 10, 50, 100] {
            for index in 0..count {
                let forwards = linspace(0.0001, 0.02, count, index);
                let backwards = linspace(0.02, 0.0001, count, count - 1 - index);
                assert_eq!(forwards, backwards, "{index} of {count}");
            }
        }
    }

    #[test]
    fn steps_spread_by_linspace_begin_and_end_with_the_training_steps() {
        for n in 1..=300 {
            assert_eq!(linspace_step(n, 1, 0), 0);
            for count in 2..=n {
                assert_eq!(linspace_step(n, count, 0), 0);
                assert_eq!(linspace_step(n, count, count - 1), n - 1, "{count} of {n}");
            }
        }
    }
}
