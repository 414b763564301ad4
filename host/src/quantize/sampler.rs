//! Conversion of the scheduler's steps to coefficients.
//!
//! Every scheduler's step is linear in x, the network's output, the clipped clean sample and the
//! noise. The float scheduler's response to unit inputs therefore gives the coefficients.

use super::file::Pass;
use super::fixed_point::{binary_places, to_fixed};
use crate::float_engine::scheduler_config;
use crate::policy_file::{PolicyConfig, SchedulerKind};
use anyhow::{Result, ensure};
use pusht_core::policy::scheduler::{
    DDIMOptions, DDIMScheduler, DDPMScheduler, FlowMatchEulerScheduler, SchedulerConfig, StepOutput,
};

/// Largest number of training steps of a scheduler.
const MAX_TRAIN_TIMESTEPS: usize = 1000;
/// Bits of a coefficient's mantissa.
const MANTISSA_BITS: u32 = 29;
/// Binary places of the sample.
const SAMPLE_PLACES: u32 = 24;

/// Computes the passes of a plan, in order.
///
/// # Errors
/// If the scheduler's configuration is invalid.
pub(super) fn passes(config: &PolicyConfig) -> Result<Vec<Pass>> {
    let scheduler = &config.scheduler;
    let options = scheduler_config(scheduler)?;
    let call = DDIMOptions {
        eta: scheduler.eta,
        use_clipped_model_output: scheduler.use_clipped_model_output,
    };
    let with_clip = |clip_sample, clip_sample_range| {
        let options = SchedulerConfig {
            clip_sample,
            clip_sample_range,
            ..options
        };
        Stepper::new(scheduler.kind, options, call, config.num_inference_steps)
    };
    let free = with_clip(true, f32::INFINITY)?;
    let without_clean = with_clip(true, 0.0)?;
    let clip = if options.clip_sample {
        to_fixed(options.clip_sample_range.into(), SAMPLE_PLACES)
    } else {
        i32::MAX
    };
    let coefficients = |timestep| pass(timestep, clip, &free, &without_clean);
    free.timesteps().iter().copied().map(coefficients).collect()
}

fn pass(timestep: usize, clip: i32, free: &Stepper, without_clean: &Stepper) -> Result<Pass> {
    let (x_next, x_clean) = free.step(timestep, [1.0, 0.0, 0.0])?;
    let (output_next, output_clean) = free.step(timestep, [0.0, 1.0, 0.0])?;
    let (x_direct, _) = without_clean.step(timestep, [1.0, 0.0, 0.0])?;
    let (output_direct, _) = without_clean.step(timestep, [0.0, 1.0, 0.0])?;
    let (noise, _) = without_clean.step(timestep, [0.0, 0.0, 1.0])?;
    // Response by way of the clean sample, measured with the input that has more influence on it.
    let clean = if x_clean.abs() > output_clean.abs() {
        (x_next - x_direct) / x_clean
    } else {
        (output_next - output_direct) / output_clean
    };
    let (clean_mantissas, clean_shift) = mantissas([x_clean, output_clean], timestep)?;
    let (next, next_shift) = mantissas([clean, x_direct, output_direct, noise], timestep)?;
    Ok(Pass {
        timestep: timestep as u32,
        draws_noise: free.needs_noise(timestep),
        clean: clean_mantissas,
        clean_shift,
        clip,
        next,
        next_shift,
    })
}

/// Converts to integers with a common number of binary places.
///
/// # Errors
/// If a coefficient of the step from `timestep` is not finite, or 2^29 or more.
fn mantissas<const N: usize>(values: [f64; N], timestep: usize) -> Result<([i32; N], u32)> {
    let largest = values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let are_served =
        values.iter().all(|v| v.is_finite()) && largest < f64::from(1 << MANTISSA_BITS);
    ensure!(
        are_served,
        "scheduler: the step from timestep {timestep} has the coefficients {values:?}, the integer \
         path serves finite ones below 2^{MANTISSA_BITS}: another eta, schedule or number of \
         passes avoids them"
    );
    let places = binary_places(largest, MANTISSA_BITS, 60);
    Ok((values.map(|v| to_fixed(v, places)), places))
}

/// Any of the schedulers, applied to single values.
enum Stepper {
    Ddpm(DDPMScheduler<'static, MAX_TRAIN_TIMESTEPS>),
    Ddim(DDIMScheduler<'static, MAX_TRAIN_TIMESTEPS>, DDIMOptions),
    FlowMatchEuler(FlowMatchEulerScheduler<MAX_TRAIN_TIMESTEPS>),
}

impl Stepper {
    fn new(
        kind: SchedulerKind,
        options: SchedulerConfig<'static>,
        call: DDIMOptions,
        n_passes: usize,
    ) -> Result<Self> {
        Ok(match kind {
            SchedulerKind::Ddpm => {
                let mut ddpm = DDPMScheduler::new(options)?;
                ddpm.set_timesteps(n_passes)?;
                Self::Ddpm(ddpm)
            }
            SchedulerKind::Ddim => {
                let mut ddim = DDIMScheduler::new(options)?;
                ddim.set_timesteps(n_passes)?;
                Self::Ddim(ddim, call)
            }
            SchedulerKind::FlowMatchEuler => {
                let mut flow = FlowMatchEulerScheduler::new(&options)?;
                flow.set_timesteps(n_passes)?;
                Self::FlowMatchEuler(flow)
            }
        })
    }

    fn timesteps(&self) -> &[usize] {
        match self {
            Self::Ddpm(ddpm) => ddpm.schedule().timesteps(),
            Self::Ddim(ddim, _) => ddim.schedule().timesteps(),
            Self::FlowMatchEuler(flow) => flow.timesteps(),
        }
    }

    fn needs_noise(&self, timestep: usize) -> bool {
        match self {
            Self::Ddpm(ddpm) => ddpm.needs_noise(timestep),
            Self::Ddim(_, call) => call.eta > 0.0,
            Self::FlowMatchEuler(_) => false,
        }
    }

    /// Computes (next x, clean sample) from [x, output, noise].
    fn step(&self, timestep: usize, [x, output, noise]: [f32; 3]) -> Result<(f64, f64)> {
        let (mut next, mut clean) = ([0.0], [0.0]);
        let to = StepOutput {
            prev_sample: &mut next,
            pred_original_sample: &mut clean,
        };
        match self {
            Self::Ddpm(ddpm) => ddpm.step(&[output], timestep, &[x], Some(&[noise]), to)?,
            Self::Ddim(ddim, call) => {
                ddim.step(&[output], timestep, &[x], *call, Some(&[noise]), to)?;
            }
            Self::FlowMatchEuler(flow) => flow.step(&[output], timestep, &[x], to)?,
        }
        Ok((next[0].into(), clean[0].into()))
    }
}
