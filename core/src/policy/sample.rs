//! Sampling a trajectory: noise in, N passes of the network, a trajectory out.

use super::{PolicyError, expect_finite, expect_len};
use crate::noise::Noise;
use crate::policy::scheduler::{
    DDIMOptions, DDIMScheduler, DDPMScheduler, FlowMatchEulerScheduler, SchedulerError, StepOutput,
};
use crate::policy::unet::{ConditionalUnet1D, Observer, UnetConfig, UnetInput};

/// A scheduler, with the options of its steps.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)]
pub enum Scheduler<'a, const T: usize> {
    /// Stochastic steps.
    Ddpm(DDPMScheduler<'a, T>),
    /// Deterministic steps at eta 0.
    Ddim(DDIMScheduler<'a, T>, DDIMOptions),
    /// Deterministic steps for a network that predicts the velocity of a straight flow.
    FlowMatchEuler(FlowMatchEulerScheduler<T>),
}

impl<const T: usize> Scheduler<'_, T> {
    /// Spreads `num_inference_steps` timesteps over the training steps.
    ///
    /// # Errors
    /// [`SchedulerError::InferenceSteps`] unless `num_inference_steps` is 1 to
    /// `num_train_timesteps`.
    pub fn set_timesteps(&mut self, num_inference_steps: usize) -> Result<(), SchedulerError> {
        match self {
            Self::Ddpm(ddpm) => ddpm.set_timesteps(num_inference_steps),
            Self::Ddim(ddim, _) => ddim.set_timesteps(num_inference_steps),
            Self::FlowMatchEuler(flow) => flow.set_timesteps(num_inference_steps),
        }
    }

    /// The timesteps that inference visits, in descending order.
    pub fn timesteps(&self) -> &[usize] {
        match self {
            Self::Ddpm(ddpm) => ddpm.schedule().timesteps(),
            Self::Ddim(ddim, _) => ddim.schedule().timesteps(),
            Self::FlowMatchEuler(flow) => flow.timesteps(),
        }
    }

    /// Checks that every step of the chain leads from finite values to finite ones: some options of
    /// upstream make NaN of anything.
    pub(super) fn check_chain(&self) -> Result<(), SchedulerError> {
        for &timestep in self.timesteps() {
            let (mut prev_sample, mut pred_original_sample) = ([0.0], [0.0]);
            let to = StepOutput {
                prev_sample: &mut prev_sample,
                pred_original_sample: &mut pred_original_sample,
            };
            self.step(&[0.5], timestep, &[1.0], Some(&[1.0]), to)?;
            if !prev_sample[0].is_finite() {
                return Err(SchedulerError::Config("a step has no finite result"));
            }
        }
        Ok(())
    }

    /// Whether [`Self::step`] at `timestep` needs noise.
    pub fn needs_noise(&self, timestep: usize) -> bool {
        match self {
            Self::Ddpm(ddpm) => ddpm.needs_noise(timestep),
            Self::Ddim(_, options) => options.eta > 0.0,
            Self::FlowMatchEuler(_) => false,
        }
    }

    /// One step of the reverse process: from `sample` at `timestep` and the network's output for it
    /// to the sample of the timestep visited next. `noise`: standard normal, of the sample's
    /// length; it is read where [`Self::needs_noise`] holds.
    ///
    /// # Errors
    /// [`SchedulerError::WrongLength`] if a slice has not the sample's length; the others of the
    /// scheduler's own `step`, for a timestep that it does not know and for noise that is missing.
    pub fn step(
        &self,
        model_output: &[f32],
        timestep: usize,
        sample: &[f32],
        noise: Option<&[f32]>,
        to: StepOutput<'_>,
    ) -> Result<(), SchedulerError> {
        match self {
            Self::Ddpm(ddpm) => ddpm.step(model_output, timestep, sample, noise, to),
            Self::Ddim(ddim, options) => {
                ddim.step(model_output, timestep, sample, *options, noise, to)
            }
            Self::FlowMatchEuler(flow) => flow.step(model_output, timestep, sample, to),
        }
    }
}

/// Known values of a trajectory (inpainting): `data` where `mask` is set. Both have the
/// trajectory's shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition<'a> {
    /// The known values.
    pub data: &'a [f32],
    /// Where they are known.
    pub mask: &'a [bool],
}

impl Condition<'_> {
    fn apply(&self, trajectory: &mut [f32]) {
        for ((value, known), mask) in trajectory.iter_mut().zip(self.data).zip(self.mask) {
            if *mask {
                *value = *known;
            }
        }
    }
}

/// The conditions that a batch of trajectories is sampled under.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleInput<'a> {
    /// `B`, the plans of the batch.
    pub batch: usize,
    /// The known values, when inpainting.
    pub condition: Option<Condition<'a>>,
    /// `[B][Tp][local_cond_dim]`.
    pub local_cond: Option<&'a [f32]>,
    /// `[B][global_cond_dim]`.
    pub global_cond: Option<&'a [f32]>,
}

/// Values of scratch memory that [`conditional_sample`] needs for a trajectory of
/// `[batch][length][input_dim]`.
pub fn sample_scratch_len(unet: &UnetConfig, batch: usize, length: usize) -> usize {
    unet.scratch_len(batch, length) + 4 * batch * length * unet.input_dim
}

/// Samples normalised trajectories into `trajectory`, `[B][Tp][input_dim]` (diffusion_policy's
/// `conditional_sample`).
///
/// The known values are put in before each pass and once after the last. `noise` gives the initial
/// sample of the whole batch, then the noise of each step that adds some. `scratch` has at least
/// [`sample_scratch_len`] values.
///
/// # Errors
/// [`PolicyError::WrongLength`] if a condition has not the trajectory's shape, or `scratch` is too
/// short; [`PolicyError::NonFiniteAction`] if an output of the network or of the scheduler is NaN
/// or infinite; those of [`ConditionalUnet1D::forward`] and of the scheduler's step.
pub fn conditional_sample<W: AsRef<[f32]>, const T: usize, O: Observer>(
    (unet, scheduler): (&ConditionalUnet1D<W>, &Scheduler<'_, T>),
    input: &SampleInput<'_>,
    noise: &mut (impl Noise + ?Sized),
    trajectory: &mut [f32],
    scratch: &mut [f32],
    observer: &mut O,
) -> Result<(), PolicyError> {
    let len = trajectory.len();
    if let Some(condition) = input.condition {
        expect_len("condition data", condition.data.len(), len)?;
        expect_len("condition mask", condition.mask.len(), len)?;
    }
    if input.batch == 0 || scratch.len() < 4 * len {
        return expect_len("scratch", scratch.len(), 4 * len);
    }
    let plan_len = len / input.batch;
    let (model_output, scratch) = scratch.split_at_mut(len);
    let (step_noise, scratch) = scratch.split_at_mut(len);
    let (previous, scratch) = scratch.split_at_mut(len);
    let (original, scratch) = scratch.split_at_mut(len);

    draw(noise, trajectory);
    for &timestep in scheduler.timesteps() {
        if let Some(condition) = input.condition {
            condition.apply(trajectory);
        }
        let pass = UnetInput {
            batch: input.batch,
            sample: trajectory,
            timesteps: &[timestep as f32],
            local_cond: input.local_cond,
            global_cond: input.global_cond,
        };
        unet.forward(&pass, model_output, scratch, observer)?;
        // Clipping would hide it.
        expect_finite(model_output)?;
        if scheduler.needs_noise(timestep) {
            draw(noise, step_noise);
        }
        for start in (0..len).step_by(plan_len) {
            let plan = start..start + plan_len;
            let to = StepOutput {
                prev_sample: &mut previous[plan.clone()],
                pred_original_sample: &mut original[plan.clone()],
            };
            let (output, sample) = (&model_output[plan.clone()], &trajectory[plan.clone()]);
            scheduler.step(output, timestep, sample, Some(&step_noise[plan]), to)?;
        }
        trajectory.copy_from_slice(previous);
    }
    if let Some(condition) = input.condition {
        condition.apply(trajectory);
    }
    expect_finite(trajectory)
}

/// Fills `values` with noise, first to last.
fn draw(noise: &mut (impl Noise + ?Sized), values: &mut [f32]) {
    for value in values {
        *value = noise.next_gaussian().to_num();
    }
}
