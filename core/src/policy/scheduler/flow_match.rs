//! Flow matching by Euler's method (Lipman et al. 2023, arXiv 2210.02747; Liu et al. 2023, arXiv
//! 2209.03003).

use super::{SchedulerConfig, SchedulerError, StepOutput, expect_len};
use heapless::Vec;

/// The straight flow `x_sigma = (1 - sigma) x_0 + sigma noise`, whose velocity `noise - x_0` the
/// network predicts.
///
/// Diffusers' `FlowMatchEulerDiscreteScheduler` with `shift` 1, `sigma = (timestep + 1) /
/// num_train_timesteps`, sigmas spaced as [`Trailing`](super::TimestepSpacing::Trailing) timesteps
/// (the first pass begins at pure noise, and steps have equal lengths), and the other schedulers'
/// clipping of the predicted x_0.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowMatchEulerScheduler<const T: usize> {
    num_train_timesteps: usize,
    /// Largest magnitude of the predicted x_0.
    clip: Option<f32>,
    timesteps: Vec<usize, T>,
}

impl<const T: usize> FlowMatchEulerScheduler<T> {
    /// Takes `num_train_timesteps`, `clip_sample` and `clip_sample_range` from `config`. Until
    /// [`Self::set_timesteps`], inference visits every training step.
    ///
    /// # Errors
    /// [`SchedulerError::Capacity`] unless `num_train_timesteps` is 1 to `T`;
    /// [`SchedulerError::Config`] for a limit of the clean sample that is none.
    pub fn new(config: &SchedulerConfig<'_>) -> Result<Self, SchedulerError> {
        let num_train_timesteps = config.num_train_timesteps;
        if !(1..=T).contains(&num_train_timesteps) {
            return Err(SchedulerError::Capacity {
                num_train_timesteps,
                capacity: T,
            });
        }
        config.check_limits()?;
        let mut scheduler = Self {
            num_train_timesteps,
            clip: config.clip_sample.then_some(config.clip_sample_range),
            timesteps: Vec::new(),
        };
        scheduler.set_timesteps(num_train_timesteps)?;
        Ok(scheduler)
    }

    /// Spreads `num_inference_steps` timesteps evenly over the training steps.
    ///
    /// # Errors
    /// [`SchedulerError::InferenceSteps`] unless `num_inference_steps` is 1 to
    /// `num_train_timesteps`.
    pub fn set_timesteps(&mut self, num_inference_steps: usize) -> Result<(), SchedulerError> {
        let (n, most) = (num_inference_steps, self.num_train_timesteps);
        if !(1..=most).contains(&n) {
            return Err(SchedulerError::InferenceSteps {
                num_inference_steps: n,
                num_train_timesteps: most,
            });
        }
        self.timesteps.clear();
        // Rounded to the nearest: (n - i) * most / n, less one.
        let steps = (0..n).map(|i| ((2 * (n - i) * most + n) / (2 * n)).max(1) - 1);
        self.timesteps.extend(steps);
        Ok(())
    }

    /// The timesteps that inference visits, in descending order.
    pub fn timesteps(&self) -> &[usize] {
        &self.timesteps
    }

    /// The share of noise in the sample at `timestep`, above 0 and at most 1.
    pub fn sigma(&self, timestep: usize) -> f32 {
        (timestep + 1) as f32 / self.num_train_timesteps as f32
    }

    /// One Euler step: from `x_sigma` (`sample`) and the network's velocity to the sample of the
    /// timestep visited next, or to x_0 after the last.
    ///
    /// # Errors
    /// [`SchedulerError::WrongLength`] if a slice has not the sample's length;
    /// [`SchedulerError::UnknownTimestep`] if inference does not visit `timestep`.
    pub fn step(
        &self,
        model_output: &[f32],
        timestep: usize,
        sample: &[f32],
        to: StepOutput<'_>,
    ) -> Result<(), SchedulerError> {
        let len = sample.len();
        expect_len("model_output", model_output.len(), len)?;
        expect_len("prev_sample", to.prev_sample.len(), len)?;
        expect_len("pred_original_sample", to.pred_original_sample.len(), len)?;
        let index = (self
            .timesteps
            .iter()
            .position(|&visited| visited == timestep))
        .ok_or(SchedulerError::UnknownTimestep(timestep))?;
        let sigma = self.sigma(timestep);
        let next = self
            .timesteps
            .get(index + 1)
            .map_or(0.0, |&next| self.sigma(next));
        let results = (to.prev_sample.iter_mut()).zip(to.pred_original_sample);
        for ((x, velocity), (previous, original)) in sample.iter().zip(model_output).zip(results) {
            *original = x - sigma * velocity;
            if let Some(clip) = self.clip {
                *original = original.clamp(-clip, clip);
            }
            // On the straight line through x and the predicted x_0.
            *previous = *original + next / sigma * (x - *original);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    fn scheduler(clip_sample: bool, passes: usize) -> FlowMatchEulerScheduler<100> {
        let config = SchedulerConfig {
            num_train_timesteps: 100,
            clip_sample,
            ..SchedulerConfig::default()
        };
        let mut scheduler = FlowMatchEulerScheduler::new(&config).unwrap();
        scheduler.set_timesteps(passes).unwrap();
        scheduler
    }

    #[test]
    fn steps_have_the_same_length_and_begin_at_pure_noise() {
        assert_eq!(scheduler(true, 1).timesteps(), [99]);
        assert_eq!(scheduler(true, 4).timesteps(), [99, 74, 49, 24]);
        assert_eq!(scheduler(true, 3).timesteps(), [99, 66, 32]);
        assert_eq!(scheduler(true, 100).timesteps().len(), 100);
        assert_eq!(scheduler(true, 2).sigma(99), 1.0);
    }

    /// It visited none, so the sample stayed noise.
    #[test]
    fn a_new_scheduler_visits_every_training_step() {
        let config = SchedulerConfig {
            num_train_timesteps: 100,
            ..SchedulerConfig::default()
        };
        let new = FlowMatchEulerScheduler::<100>::new(&config).unwrap();
        assert_eq!(new.timesteps(), scheduler(true, 100).timesteps());
    }

    #[test]
    fn a_step_without_clipping_is_eulers() {
        let scheduler = scheduler(false, 4);
        let (mut previous, mut original) = ([0.0; 2], [0.0; 2]);
        for (timestep, sigma, next) in [(99, 1.0, 0.75), (74, 0.75, 0.5), (24, 0.25, 0.0)] {
            let to = StepOutput {
                prev_sample: &mut previous,
                pred_original_sample: &mut original,
            };
            scheduler
                .step(&[3.0, -2.0], timestep, &[1.0, 0.5], to)
                .unwrap();
            for (at, (x, v)) in [(1.0, 3.0), (0.5, -2.0)].into_iter().enumerate() {
                let (expected, clean): (f32, f32) = (x + (next - sigma) * v, x - sigma * v);
                assert!(
                    (previous[at] - expected).abs() < 1e-6,
                    "{timestep}: {previous:?}"
                );
                assert!(
                    (original[at] - clean).abs() < 1e-6,
                    "{timestep}: {original:?}"
                );
            }
        }
    }

    #[test]
    fn the_exact_velocity_leads_to_the_clean_sample_in_any_number_of_passes() {
        let (clean, noise) = (0.4_f32, -1.7_f32);
        for passes in [1, 2, 7, 100] {
            let scheduler = scheduler(true, passes);
            let mut x = [noise];
            for &timestep in scheduler.timesteps() {
                let (mut previous, mut original) = ([0.0], [0.0]);
                let to = StepOutput {
                    prev_sample: &mut previous,
                    pred_original_sample: &mut original,
                };
                scheduler.step(&[noise - clean], timestep, &x, to).unwrap();
                x = previous;
            }
            assert!((x[0] - clean).abs() < 1e-5, "{passes}: {x:?}");
        }
    }

    #[test]
    fn unknown_timesteps_and_impossible_numbers_of_steps_are_refused() {
        let mut scheduler = scheduler(true, 4);
        let (mut previous, mut original) = ([0.0], [0.0]);
        let to = StepOutput {
            prev_sample: &mut previous,
            pred_original_sample: &mut original,
        };
        let error = scheduler.step(&[0.0], 98, &[0.0], to);
        assert_eq!(error, Err(SchedulerError::UnknownTimestep(98)));
        assert_eq!(
            std::format!("{}", error.unwrap_err()),
            "scheduler: timestep 98 is not among those that were set"
        );
        assert!(scheduler.set_timesteps(0).is_err() && scheduler.set_timesteps(101).is_err());
    }
}
