//! Cost of quantisation: the noise in every layer and the deviation of the actions.

use super::calibrate::Window;
use crate::float_engine::FloatPolicy;
use anyhow::{Result, ensure};
use indicatif::ProgressBar;
use pusht_core::control::Planner;
use pusht_core::noise::NoiseSource;
use pusht_core::quant::{IntPolicy, Model, Observer};
use rayon::prelude::*;

/// Distances of both engines' actions for equal observations and noise, in [`Metric`]'s unit.
#[derive(Clone, Copy, Debug)]
pub struct Parity {
    /// Number of compared plans.
    pub n_plans: usize,
    /// Median.
    pub median: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Maximum.
    pub max: f64,
}

/// Distance of two actions: the Euclidean norm of their weighted difference.
#[derive(Clone, Debug)]
pub struct Metric {
    weights: Vec<f64>,
    /// Unit of the distance.
    pub unit: &'static str,
}

impl Metric {
    /// Pixels for PushT; for another task, half the training range of each action value.
    pub fn of(policy: &FloatPolicy) -> Self {
        let n = policy.task().action.len();
        let [_, action] = policy.policy().normalizers();
        match policy.observation() {
            Some(_) => Self {
                weights: vec![1.0; n],
                unit: "px",
            },
            None => Self {
                weights: action.scale().iter().map(|s| f64::from(*s)).collect(),
                unit: "of an action's half range",
            },
        }
    }

    /// Distance of each action (`[Da]`) of a chunk from its counterpart.
    pub(super) fn between(&self, a: &[f64], b: &[f64]) -> Vec<f64> {
        let dim = self.weights.len();
        let distance = |(a, b): (&[f64], &[f64])| {
            let differences = a.iter().zip(b).zip(&self.weights);
            let squares = differences.map(|((a, b), weight)| ((a - b) * weight).powi(2));
            squares.sum::<f64>().sqrt()
        };
        a.chunks(dim).zip(b.chunks(dim)).map(distance).collect()
    }
}

/// Signal-to-quantisation-noise ratio of a tensor.
#[derive(Clone, Debug)]
pub struct LayerNoise {
    /// PyTorch module path.
    pub path: String,
    /// Binary places of the tensor.
    pub exponent: u32,
    /// 10 log10 of the ratio of the float values' power to the difference's power, dB.
    pub snr_db: f64,
    /// Share of saturated values.
    pub saturated: f64,
}

/// Distances of both engines' actions, a row per window; plan `i` has the noise of seed `i`.
///
/// # Errors
/// If a window has the wrong length or a value that is NaN or infinite.
pub fn distances(
    policy: &FloatPolicy,
    model: &Model<'_>,
    windows: &[&Window],
    progress: &ProgressBar,
) -> Result<Vec<Vec<f64>>> {
    let metric = Metric::of(policy);
    windows
        .par_iter()
        .enumerate()
        .map_init(
            || (policy.clone(), vec![0; model.scratch_len()]),
            |(float, scratch), (seed, window)| {
                progress.inc(1);
                let expected = plan(float, window, seed)?;
                let got = plan(&mut IntPolicy::new(model, scratch)?, window, seed)?;
                Ok(metric.between(&expected, &got))
            },
        )
        .collect()
}

/// Computes the actions of one plan, `[Ta][Da]`.
pub(super) fn plan(planner: &mut impl Planner, window: &[f64], seed: usize) -> Result<Vec<f64>> {
    let mut chunk = vec![0.0; planner.shape().chunk_len()];
    planner.plan(window, &mut NoiseSource::new(seed as u64), &mut chunk)?;
    Ok(chunk)
}

impl Parity {
    /// Computes the statistics of the distances.
    ///
    /// # Errors
    /// If there are none.
    pub fn of(distances: &[Vec<f64>]) -> Result<Self> {
        let mut sorted = distances.concat();
        ensure!(!sorted.is_empty(), "no plans to compare");
        sorted.sort_by(f64::total_cmp);
        let quantile = |q: f64| sorted[(q * (sorted.len() - 1) as f64).round() as usize];
        Ok(Self {
            n_plans: distances.len(),
            median: quantile(0.5),
            p99: quantile(0.99),
            max: quantile(1.0),
        })
    }
}

/// Measures the noise of every tensor over one plan per window, in the order of computation.
///
/// # Errors
/// If a window has the wrong length or a value that is NaN or infinite.
pub fn layer_noise(
    policy: &FloatPolicy,
    model: &Model<'_>,
    windows: &[&Window],
) -> Result<Vec<LayerNoise>> {
    let mut paths = Vec::new();
    let mut sums = Vec::<Sums>::new();
    let mut scratch = vec![0; model.scratch_len()];
    let shape = model.shape();
    let mut float = policy.clone();
    for (seed, window) in windows.iter().enumerate() {
        let mut expected = Vec::new();
        let mut note = |path: &str, values: &[f32], n_channels: usize, _: usize| {
            if is_compared(path) {
                expected.push((path.to_owned(), values.to_vec(), n_channels));
            }
        };
        float.predict(
            &[window.as_slice()],
            &mut NoiseSource::new(seed as u64),
            &mut note,
        )?;
        let mut got = Tensors(Vec::new());
        let mut policy = IntPolicy::new(model, &mut scratch)?;
        let values = window.iter().enumerate();
        let fixed: Vec<i32> = values
            .map(|(i, value)| model.observation_value(i % shape.obs_dim).to_fixed(*value))
            .collect();
        policy.plan_observed(
            &fixed,
            &mut NoiseSource::new(seed as u64),
            &mut vec![0; shape.chunk_len()],
            &mut got,
        )?;
        ensure!(
            expected.len() == got.0.len(),
            "the engines compute different tensors"
        );
        let per_pass = expected.len() / model.n_passes();
        for (i, ((path, expected, n_channels), got)) in expected.into_iter().zip(&got.0).enumerate()
        {
            if sums.len() < per_pass {
                sums.push(Sums::default());
                paths.push(path);
            }
            sums[i % per_pass].add(&expected, n_channels, got);
        }
    }
    Ok(paths
        .into_iter()
        .zip(sums)
        .map(|(path, sums)| sums.noise(path))
        .collect())
}

/// Whether the integer network has the tensor too.
fn is_compared(path: &str) -> bool {
    let in_block = [
        ".blocks.0.block.0",
        ".film",
        ".blocks.1.block.0",
        ".residual_conv",
        ".2.conv",
    ];
    let whole = ["sample", "final_conv.0.block.0", "final_conv.0.block.2"];
    let parts: Vec<&str> = path.split('.').collect();
    let is_block = match parts[..] {
        ["mid_modules", i] => i.parse::<u32>().is_ok(),
        ["down_modules" | "up_modules", _, i] => i == "0" || i == "1",
        _ => false,
    };
    is_block || whole.contains(&path) || in_block.iter().any(|part| path.ends_with(part))
}

/// Tensors of a plan: values, channels, binary places.
struct Tensors(Vec<(Vec<i16>, usize, u32)>);

impl Observer for Tensors {
    fn observe(&mut self, values: &[i16], n_channels: usize, exponent: u32) {
        self.0.push((values.to_vec(), n_channels, exponent));
    }
}

#[derive(Clone, Copy, Default)]
struct Sums {
    signal: f64,
    noise: f64,
    n: usize,
    n_saturated: usize,
    exponent: u32,
}

impl Sums {
    /// Adds a tensor; the integer one may have more channels, as padding.
    fn add(
        &mut self,
        expected: &[f32],
        n_channels: usize,
        (got, n_wide, exponent): &(Vec<i16>, usize, u32),
    ) {
        self.exponent = *exponent;
        let unit = (-f64::from(*exponent)).exp2();
        for (expected, got) in expected.chunks(n_channels).zip(got.chunks(*n_wide)) {
            for (expected, got) in expected.iter().zip(got) {
                let expected = f64::from(*expected);
                self.signal += expected.powi(2);
                self.noise += (expected - f64::from(*got) * unit).powi(2);
                self.n += 1;
                self.n_saturated += usize::from(*got == i16::MAX || *got == i16::MIN);
            }
        }
    }

    fn noise(self, path: String) -> LayerNoise {
        LayerNoise {
            path,
            exponent: self.exponent,
            snr_db: 10.0 * (self.signal / self.noise).log10(),
            saturated: self.n_saturated as f64 / self.n as f64,
        }
    }
}
