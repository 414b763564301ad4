//! What quantisation costs: the noise it adds to every layer, and how far the actions move.

use super::calibrate::Window;
use crate::float_engine::FloatPolicy;
use anyhow::{Result, ensure};
use indicatif::ProgressBar;
use pusht_core::control::Planner;
use pusht_core::noise::NoiseSource;
use pusht_core::quant::{IntPolicy, Model, Observer};
use rayon::prelude::*;

/// Distance between the actions of both engines, for the same observations and noise, in the unit of a [`Metric`].
#[derive(Clone, Copy, Debug)]
pub struct Parity {
    /// Plans compared.
    pub n_plans: usize,
    /// Half of the actions are no farther apart.
    pub median: f64,
    /// 99 of 100 are no farther apart.
    pub p99: f64,
    /// None is farther apart.
    pub max: f64,
}

/// How the distance of two actions is measured: the Euclidean length of their weighted difference.
#[derive(Clone, Debug)]
pub struct Metric {
    weights: Vec<f64>,
    /// Unit of a distance.
    pub unit: &'static str,
}

impl Metric {
    /// Pixels for PushT; for another task, half of the range that each value of an action had in training.
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

    /// The distance of each action (`[Da]`) of a chunk from its counterpart.
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
    /// PyTorch's module path.
    pub path: String,
    /// Binary places of the tensor.
    pub exponent: u32,
    /// 10 log10 of the power of the float values over that of the difference.
    pub snr_db: f64,
    /// Share of values at the end of the 16 bits.
    pub saturated: f64,
}

/// Distances between the actions of both engines, a row for each window; plan `i` takes its noise from seed `i`.
///
/// # Errors
/// If a window does not suit the policy.
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

/// The actions of one plan, `[Ta][Da]`.
pub(super) fn plan(planner: &mut impl Planner, window: &[f64], seed: usize) -> Result<Vec<f64>> {
    let mut chunk = vec![0.0; planner.shape().chunk_len()];
    planner.plan(window, &mut NoiseSource::new(seed as u64), &mut chunk)?;
    Ok(chunk)
}

impl Parity {
    /// Of the distances of some plans.
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

/// The noise of every tensor over one plan a window, first layer first.
///
/// # Errors
/// If a window does not suit the policy.
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

/// The tensors that the integer network has too.
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

/// Every tensor of a plan: values, channels, binary places.
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
    /// The integer tensor may have more channels: those only fill up its rows.
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
