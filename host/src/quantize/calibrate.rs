//! How large every tensor of the float policy gets while it plays.

use super::fixed_point::activation_exponent;
use crate::float_engine::FloatPolicy;
use anyhow::{Context, Result};
use indicatif::ProgressBar;
use pusht_core::Error;
use pusht_core::control::receding_horizon::{Action, Planner};
use pusht_core::noise::Noise;
use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
use pusht_core::pusht::episode::{self, MAX_EPISODE_STEPS};
use pusht_core::pusht::observation::STATE_DIM;
use pusht_core::quant::LANES;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;

/// The tensors of one plan in so many are kept.
const PLANS_A_SAMPLE: usize = 5;
/// Path in the ranges of the `mish` of the normalised observations.
pub(super) const CONDITION: &str = "condition";

/// Largest magnitude of every tensor, by its PyTorch module path.
#[derive(Clone, Debug, Default)]
pub struct Ranges(BTreeMap<String, f32>);

impl Ranges {
    /// Takes a tensor into account.
    pub fn note(&mut self, path: &str, values: &[f32]) {
        let largest = values.iter().fold(0.0, |m: f32, v| m.max(v.abs()));
        match self.0.get_mut(path) {
            Some(known) => *known = known.max(largest),
            None => {
                self.0.insert(path.to_owned(), largest);
            }
        }
    }

    /// The largest magnitude of `path`.
    ///
    /// # Errors
    /// If the network has no such tensor.
    pub fn largest(&self, path: &str) -> Result<f64> {
        let largest = self
            .0
            .get(path)
            .with_context(|| format!("no tensor {path}"))?;
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

/// Tensors of some plans, by their PyTorch module path: rows of channels.
#[derive(Clone, Debug, Default)]
pub struct Samples(BTreeMap<String, Vec<(Vec<f32>, usize)>>);

/// What a position of a convolution sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// The first row seen, counted from the position.
    pub(super) first_row: isize,
    /// Rows seen.
    pub(super) taps: usize,
    /// Rows from one position to the next.
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

    /// Every window that a convolution of the tensor at `path` saw: zeros outside of it, and for the channels that
    /// only fill up to [`LANES`].
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

/// The last `To` states when a plan was asked for.
pub type Window = Vec<[f64; STATE_DIM]>;

/// What episodes showed.
#[derive(Clone, Debug, Default)]
pub struct Calibration {
    /// How large every tensor got.
    pub ranges: Ranges,
    /// The inputs of the layers in some plans.
    pub samples: Samples,
    /// What every plan saw.
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

/// Plays the episodes of these (legacy) seeds with the float policy.
///
/// # Errors
/// If a seed has no episode, or the policy plans something that is not a number.
pub fn play(
    policy: &FloatPolicy,
    seeds: Range<u64>,
    progress: &ProgressBar,
) -> Result<Calibration> {
    let seeds: Vec<u64> = seeds.collect();
    let episodes: Vec<Calibration> = seeds
        .into_par_iter()
        .map(|seed| {
            let episode = play_one(policy, seed).with_context(|| format!("seed {seed}"));
            progress.inc(1);
            episode
        })
        .collect::<Result<_>>()?;
    Ok(episodes
        .into_iter()
        .fold(Calibration::default(), Calibration::join))
}

fn play_one(policy: &FloatPolicy, seed: u64) -> Result<Calibration> {
    let mut recorder = Recorder {
        policy: policy.clone(),
        calibration: Calibration::default(),
    };
    let start = StartState::from_seed(seed, Seeding::Legacy)?;
    let mut env = PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy)?;
    episode::run(&mut env, &mut recorder, seed, MAX_EPISODE_STEPS, |_| ())?;
    Ok(recorder.calibration)
}

fn mish(x: f32) -> f32 {
    x * x.exp().ln_1p().tanh()
}

/// A float policy that notes what it sees and computes.
struct Recorder {
    policy: FloatPolicy,
    calibration: Calibration,
}

impl Planner for Recorder {
    fn n_obs_steps(&self) -> usize {
        self.policy.n_obs_steps()
    }

    fn n_action_steps(&self) -> usize {
        self.policy.n_action_steps()
    }

    fn plan(
        &mut self,
        states: &[[f64; STATE_DIM]],
        noise: &mut dyn Noise,
        chunk: &mut [Action],
    ) -> Result<(), Error> {
        let Calibration {
            ranges,
            samples,
            windows,
        } = &mut self.calibration;
        let is_sampled = windows.len().is_multiple_of(PLANS_A_SAMPLE);
        windows.push(states.to_vec());
        let embed_dim = self.policy.config().unet.diffusion_step_embed_dim;
        let mut note = |path: &str, values: &[f32], n_channels: usize, _: usize| {
            ranges.note(path, values);
            if is_sampled && is_read(path) {
                samples.note(path, values, n_channels);
            }
            if path == "global_feature" {
                let condition: Vec<f32> = values[embed_dim..].iter().copied().map(mish).collect();
                ranges.note(CONDITION, &condition);
                samples.note(CONDITION, &condition, condition.len());
            }
        };
        let plan = self.policy.predict(&[states], noise, &mut note)?;
        let executed = self.policy.policy().options().action_steps();
        chunk.copy_from_slice(&plan[executed]);
        Ok(())
    }
}
