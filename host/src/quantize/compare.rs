//! What quantisation costs: the noise it adds to every layer, and how far the actions move.

use super::calibrate::Window;
use crate::float_engine::FloatPolicy;
use anyhow::{Result, ensure};
use fixed::types::I16F16;
use indicatif::ProgressBar;
use pusht_core::control::receding_horizon::{Action, Planner};
use pusht_core::noise::NoiseSource;
use pusht_core::pusht::observation::STATE_DIM;
use pusht_core::quant::{IntPolicy, Model, ObservationWindow, Observer, Scratch};
use rayon::prelude::*;

/// Distance in pixels between the actions of both engines, for the same observations and noise.
#[derive(Clone, Copy, Debug)]
pub struct Parity {
    /// Plans compared.
    pub n_plans: usize,
    /// Half of the actions are no farther apart, px.
    pub median_px: f64,
    /// 99 of 100 are no farther apart, px.
    pub p99_px: f64,
    /// None is farther apart, px.
    pub max_px: f64,
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

/// Distances in pixels between the actions of both engines, a row a window; plan `i` takes its noise from seed `i`.
///
/// # Errors
/// If a window does not suit the policy.
pub fn distances_px(
    policy: &FloatPolicy,
    model: &Model<'_>,
    windows: &[&Window],
    progress: &ProgressBar,
) -> Result<Vec<Vec<f64>>> {
    windows
        .par_iter()
        .enumerate()
        .map_init(
            || (policy.clone(), Box::new(Scratch::new())),
            |(float, scratch), (seed, window)| {
                progress.inc(1);
                let expected = plan(float, window, seed)?;
                let got = plan(&mut IntPolicy::new(model, scratch), window, seed)?;
                Ok(between_px(&expected, &got).collect())
            },
        )
        .collect()
}

/// The actions of one plan.
pub(super) fn plan(
    planner: &mut impl Planner,
    window: &[[f64; STATE_DIM]],
    seed: usize,
) -> Result<Vec<Action>> {
    let mut chunk = vec![[0.0; 2]; planner.n_action_steps()];
    planner.plan(window, &mut NoiseSource::new(seed as u64), &mut chunk)?;
    Ok(chunk)
}

/// The distance of each action from its counterpart.
pub(super) fn between_px(a: &[Action], b: &[Action]) -> impl Iterator<Item = f64> {
    let pairs = a.iter().zip(b);
    pairs.map(|([ax, ay], [bx, by])| (ax - bx).hypot(ay - by))
}

impl Parity {
    /// Of the distances of some plans.
    ///
    /// # Errors
    /// If there are none.
    pub fn of(distances_px: &[Vec<f64>]) -> Result<Self> {
        let mut sorted_px = distances_px.concat();
        ensure!(!sorted_px.is_empty(), "no plans to compare");
        sorted_px.sort_by(f64::total_cmp);
        let quantile = |q: f64| sorted_px[(q * (sorted_px.len() - 1) as f64).round() as usize];
        Ok(Self {
            n_plans: distances_px.len(),
            median_px: quantile(0.5),
            p99_px: quantile(0.99),
            max_px: quantile(1.0),
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
    let mut scratch = Box::new(Scratch::new());
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
        let mut policy = IntPolicy::new(model, &mut scratch);
        let observed = ObservationWindow::of(model, window)?;
        let mut chunk = vec![[I16F16::ZERO; 2]; model.n_action_steps()];
        policy.plan_observed(
            observed.values(),
            &mut NoiseSource::new(seed as u64),
            &mut chunk,
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
