//! Calibration: ranges of all tensors of the float policy on representative plans.

use super::fixed_point::activation_exponent;
use crate::float_engine::FloatPolicy;
use anyhow::{Context, Result};
use indicatif::ProgressBar;
use pusht_core::Error;
use pusht_core::control::{PlanShape, Planner};
use pusht_core::noise::{Noise, NoiseSource};
use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
use pusht_core::pusht::episode::MAX_EPISODE_STEPS;
use pusht_core::pusht::rollout::{Horizon, Rollout};
use pusht_core::quant::LANES;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;

/// Sampling interval of plans whose tensors are kept.
const PLANS_A_SAMPLE: usize = 5;
/// Path of the condition, the `mish` of the normalised observations; none when inpainting.
pub(super) const CONDITION: &str = "condition";

/// Largest magnitude of every tensor, by PyTorch module path.
#[derive(Clone, Debug, Default)]
pub struct Ranges(BTreeMap<String, f32>);

impl Ranges {
    /// Includes a tensor in its range.
    pub fn note(&mut self, path: &str, values: &[f32]) {
        let largest = values.iter().fold(0.0, |m: f32, v| m.max(v.abs()));
        match self.0.get_mut(path) {
            Some(known) => *known = known.max(largest),
            None => {
                self.0.insert(path.to_owned(), largest);
            }
        }
    }

    /// Largest magnitude of the tensor at `path`.
    ///
    /// # Errors
    /// If the network has no such tensor.
    pub fn largest(&self, path: &str) -> Result<f64> {
        let largest = self
            .0
            .get(path)
            .with_context(|| format!("calibration has met no tensor {path}"))?;
        Ok(f64::from(*largest))
    }

    /// Binary places for the tensor at `path`.
    pub(super) fn exponent(&self, path: &str) -> Result<u32> {
        Ok(activation_exponent(self.largest(path)?))
    }

    fn join(mut self, other: Self) -> Self {
        for (path, largest) in other.0 {
            self.note(&path, &[largest]);
        }
        self
    }
}

/// Tensors of some plans, by PyTorch module path: values and number of channels.
#[derive(Clone, Debug, Default)]
pub struct Samples(BTreeMap<String, Vec<(Vec<f32>, usize)>>);

/// Receptive field of a convolution's output position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// First row, relative to the position.
    pub(super) first_row: isize,
    /// Number of rows.
    pub(super) taps: usize,
    /// Rows between neighbouring positions.
    pub(super) stride: usize,
}

impl Samples {
    fn note(&mut self, path: &str, values: &[f32], n_channels: usize) {
        let tensor = (values.to_vec(), n_channels);
        match self.0.get_mut(path) {
            Some(known) => known.push(tensor),
            None => {
                self.0.insert(path.to_owned(), vec![tensor]);
            }
        }
    }

    /// All windows of a convolution of the tensor at `path`, with zeros outside of it and for the
    /// channels that pad it to [`LANES`].
    pub(super) fn windows(&self, path: &str, span: Span) -> Vec<Vec<f32>> {
        let tensors = self.0.get(path).map_or(&[][..], Vec::as_slice);
        let mut windows = Vec::new();
        for (values, n_channels) in tensors {
            let n_rows = values.len() / n_channels;
            for position in (0..n_rows).step_by(span.stride) {
                let mut window = Vec::new();
                for tap in 0..span.taps {
                    let row = (position + tap).checked_add_signed(span.first_row);
                    let row = row.filter(|row| *row < n_rows);
                    let row = row.map_or(&[][..], |row| &values[row * n_channels..][..*n_channels]);
                    window.extend(row);
                    window.resize((tap + 1) * n_channels.next_multiple_of(LANES), 0.0);
                }
                windows.push(window);
            }
        }
        windows
    }

    fn join(mut self, other: Self) -> Self {
        for (path, tensors) in other.0 {
            self.0.entry(path).or_default().extend(tensors);
        }
        self
    }
}

/// Whether a convolution or projection reads the tensor at `path`.
fn is_read(path: &str) -> bool {
    let parts: Vec<&str> = path.split('.').collect();
    match parts[..] {
        ["sample"] | ["mid_modules", _] | ["final_conv", "0", "block", "2"] => true,
        ["down_modules" | "up_modules", _, "0" | "1" | "cat"] => true,
        ["down_modules" | "up_modules", _, "2", "conv"] => true,
        _ => path.ends_with(".film"),
    }
}

/// Window of a plan: `[To][Do]`, oldest first.
pub type Window = Vec<f64>;

/// Data recorded in calibration.
#[derive(Clone, Debug, Default)]
pub struct Calibration {
    /// Ranges of all tensors.
    pub ranges: Ranges,
    /// Inputs of the layers in some plans.
    pub samples: Samples,
    /// Windows of all plans.
    pub windows: Vec<Window>,
}

impl Calibration {
    fn join(mut self, other: Self) -> Self {
        self.windows.extend(other.windows);
        self.ranges = self.ranges.join(other.ranges);
        self.samples = self.samples.join(other.samples);
        self
    }
}

/// Plays the PushT episodes of the given legacy seeds with the float policy.
///
/// # Errors
/// If the policy is for another task, or a seed is out of range.
pub fn play(
    policy: &FloatPolicy,
    seeds: Range<u64>,
    progress: &ProgressBar,
) -> Result<Calibration> {
    let seeds: Vec<u64> = seeds.collect();
    join(progress, seeds, |seed| {
        play_one(policy, seed).with_context(|| format!("seed {seed}"))
    })
}

/// Plans from recorded windows with the float policy; plan `i` has the noise of seed `i`.
///
/// # Errors
/// If a window has another length than the policy's, or a value is NaN or infinite.
pub fn plan_from(
    policy: &FloatPolicy,
    windows: &[Window],
    progress: &ProgressBar,
) -> Result<Calibration> {
    const PLANS_PER_TASK: usize = 32;
    let parts: Vec<_> = windows.chunks(PLANS_PER_TASK).enumerate().collect();
    join(progress, parts, |(part, windows)| {
        let mut recorder = Recorder::new(policy);
        let mut chunk = vec![0.0; policy.shape().chunk_len()];
        for (index, window) in windows.iter().enumerate() {
            let seed = PLANS_PER_TASK * part + index;
            let planned = recorder.plan(window, &mut NoiseSource::new(seed as u64), &mut chunk);
            planned.with_context(|| format!("window {seed}"))?;
        }
        Ok(recorder.calibration)
    })
}

/// Concatenates the recordings in order.
fn join<T: Send>(
    progress: &ProgressBar,
    parts: Vec<T>,
    show: impl Fn(T) -> Result<Calibration> + Sync,
) -> Result<Calibration> {
    progress.set_length(parts.len() as u64);
    let shown = parts.into_par_iter().map(|part| {
        let shown = show(part);
        progress.inc(1);
        shown
    });
    let shown = shown.collect::<Result<Vec<_>>>()?;
    Ok(shown
        .into_iter()
        .fold(Calibration::default(), Calibration::join))
}

fn play_one(policy: &FloatPolicy, seed: u64) -> Result<Calibration> {
    let mut recorder = Recorder::new(policy);
    let start = StartState::from_seed(seed, Seeding::Legacy)?;
    let env = PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy)?;
    let kind = policy.observation().context("not a policy of PushT")?;
    let horizon = Horizon::new(policy.shape(), seed)?;
    let mut rollout = Rollout::new(env, kind, horizon, MAX_EPISODE_STEPS)?;
    rollout.run(&mut recorder, |_, _| ())?;
    Ok(recorder.calibration)
}

fn mish(x: f32) -> f32 {
    x * x.exp().ln_1p().tanh()
}

/// Float policy that records its windows and tensors.
struct Recorder {
    policy: FloatPolicy,
    calibration: Calibration,
}

impl Recorder {
    fn new(policy: &FloatPolicy) -> Self {
        Self {
            policy: policy.clone(),
            calibration: Calibration::default(),
        }
    }
}

impl Planner for Recorder {
    fn shape(&self) -> PlanShape {
        self.policy.shape()
    }

    fn plan(
        &mut self,
        window: &[f64],
        noise: &mut dyn Noise,
        chunk: &mut [f64],
    ) -> Result<(), Error> {
        let Calibration {
            ranges,
            samples,
            windows,
        } = &mut self.calibration;
        let is_sampled = windows.len().is_multiple_of(PLANS_A_SAMPLE);
        windows.push(window.to_vec());
        let embed_dim = self.policy.config().unet.diffusion_step_embed_dim;
        let mut note = |path: &str, values: &[f32], n_channels: usize, _: usize| {
            ranges.note(path, values);
            if is_sampled && is_read(path) {
                samples.note(path, values, n_channels);
            }
            if path == "global_feature" && values.len() > embed_dim {
                let condition: Vec<f32> = values[embed_dim..].iter().copied().map(mish).collect();
                ranges.note(CONDITION, &condition);
                samples.note(CONDITION, &condition, condition.len());
            }
        };
        let plan = self.policy.predict(&[window], noise, &mut note)?;
        let executed = self.policy.action_steps();
        let dim = self.shape().action_dim;
        chunk.copy_from_slice(&plan[dim * executed.start..dim * executed.end]);
        Ok(())
    }
}
