//! Quantisation of the float policy to the integer model file, in this order: `calibrate` measures
//! the range of every tensor, `network` and `sampler` convert weights and coefficients to integers
//! (rounded by `rounding`, of more or fewer bits by `mixed`), `file` writes them, and `compare`
//! measures the error.
//!
//! `docs/quantisation.md` explains the arithmetic, `docs/model-format.md` the file.

pub mod boards;
pub mod calibrate;
mod check;
pub mod compare;
pub mod file;
mod fixed_point;
mod mixed;
pub mod needs;
mod network;
pub(crate) mod rounding;
mod sampler;
pub mod sensitivity;
mod values;
pub mod windows;

pub use check::check;
pub use network::quantize;

use crate::arguments::legacy_seeds;
use crate::float_engine::FloatPolicy;
use crate::policy_file::{PolicyConfig, Tensors};
use anyhow::{Result, ensure};
use calibrate::{Calibration, Window};
use indicatif::ProgressBar;
use needs::{Needs, Widths};
use pusht_core::quant::WeightBits;
use serde_json::{Value, json};
use std::ops::Range;

/// Legacy seeds of the shipped model's calibration episodes; no score is reported on them.
pub const CALIBRATION_SEEDS: &str = "20000..20032";

/// Data for the calibration of a policy.
#[derive(Clone, Debug)]
pub enum CalibrationData {
    /// PushT episodes of these legacy seeds, played by the policy.
    Episodes(Range<u64>),
    /// Recorded windows of observations, and the name of their file.
    Windows(Vec<Window>, String),
}

/// Of this many recorded windows, one is kept for the comparison.
const KEPT_BACK: usize = 10;

impl CalibrationData {
    /// Recorded windows of the file `name` for calibration, and every tenth for a comparison.
    ///
    /// # Errors
    /// If there are none for the calibration.
    pub fn split(windows: Vec<Window>, name: &str) -> Result<(Self, Self)> {
        let (kept_back, used) = (windows.into_iter().enumerate())
            .partition::<Vec<_>, _>(|(index, _)| index.is_multiple_of(KEPT_BACK));
        ensure!(
            !used.is_empty(),
            "one window, which is kept back for the comparison; at least 2 are needed, some hundred \
             are good"
        );
        let data = |windows: Vec<(usize, Window)>| {
            let windows = windows.into_iter().map(|(_, window)| window).collect();
            Self::Windows(windows, name.to_owned())
        };
        Ok((data(used), data(kept_back)))
    }

    /// Runs the policy on the data and records its tensors.
    ///
    /// # Errors
    /// As [`calibrate::play`] and [`calibrate::plan_from`].
    pub fn calibrate(&self, policy: &FloatPolicy, progress: &ProgressBar) -> Result<Calibration> {
        match self {
            Self::Episodes(seeds) => calibrate::play(policy, seeds.clone(), progress),
            Self::Windows(windows, _) => calibrate::plan_from(policy, windows, progress),
        }
    }
}

/// Bits of a model's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bits {
    /// As many for all.
    All(WeightBits),
    /// 4 bits for the products where they cost least, until the file has at most `max_bytes`; 8 for
    /// the others.
    Mixed {
        /// Largest length of the model file, bytes.
        max_bytes: usize,
    },
}

impl Default for Bits {
    fn default() -> Self {
        Self::All(WeightBits::default())
    }
}

/// Creates the integer model file of a float policy.
///
/// # Errors
/// If the integer engine does not support the policy, calibration or [`quantize`] fails, or no mix
/// of bits is as small as demanded.
pub fn model_file(
    policy: &FloatPolicy,
    tensors: &Tensors,
    data: &CalibrationData,
    bits: Bits,
    progress: &ProgressBar,
) -> Result<Vec<u8>> {
    check(policy.config())?;
    let calibration = data.calibrate(policy, progress)?;
    let provenance = provenance(policy.config(), data)?;
    let quantized = |bits| quantize(policy, tensors, &calibration, bits, provenance.clone());
    let file = match bits {
        Bits::All(bits) => quantized(bits)?,
        Bits::Mixed { max_bytes } => {
            let (eight, four) = (quantized(WeightBits::Eight)?, quantized(WeightBits::Four)?);
            mixed::mix(eight, &four, &calibration.windows, max_bytes)?
        }
    };
    Ok(file.to_bytes())
}

impl CalibrationData {
    /// What `pusht quantize` calibrates a policy on unless told otherwise; a recording of another
    /// task has the name of docs/own-task.md.
    ///
    /// # Errors
    /// None: the default seeds are valid.
    pub fn usual(config: &PolicyConfig) -> Result<Self> {
        match config.observation {
            Some(_) => Ok(Self::Episodes(legacy_seeds(CALIBRATION_SEEDS)?)),
            None => Ok(Self::Windows(Vec::new(), "windows.npy".into())),
        }
    }
}

/// What the integer model of a policy needs that is calibrated on `data`.
///
/// # Errors
/// If the integer engine does not serve the policy.
pub fn needs(
    config: &PolicyConfig,
    tensors: &Tensors,
    data: &CalibrationData,
    widths: Widths<'_>,
) -> Result<Needs> {
    check(config)?;
    Needs::of(config, tensors, &provenance(config, data)?, widths)
}

/// Provenance for the model file: settings and provenance of the policy, and the calibration data,
/// as JSON. Its bytes depend on no feature of serde_json that another crate of the build switches on:
/// keys are sorted, and numbers of single precision are written with the digits of double precision.
///
/// # Errors
/// If a value has no form in JSON.
pub fn provenance(config: &PolicyConfig, data: &CalibrationData) -> Result<String> {
    let (key, value) = match data {
        CalibrationData::Episodes(seeds) => {
            let seeds = format!("{}..{} (legacy)", seeds.start, seeds.end);
            ("calibration_seeds", seeds)
        }
        CalibrationData::Windows(_, name) => ("calibration_data", name.clone()),
    };
    let mut text = json!({
        "quantized_by": concat!("pusht ", env!("CARGO_PKG_VERSION")),
        key: value,
        "policy": PolicyConfig { task: None, ..config.clone() },
    });
    text.sort_all_objects();
    widen(&mut text);
    Ok(serde_json::to_string(&text)?)
}

/// Replaces the fractions in `json`, all of single precision, by those of double precision.
fn widen(json: &mut Value) {
    match json {
        Value::Array(values) => values.iter_mut().for_each(widen),
        Value::Object(fields) => fields.values_mut().for_each(widen),
        Value::Number(number) if !number.is_u64() && !number.is_i64() => {
            let single = number.as_f64().unwrap_or_default() as f32;
            *json = Value::from(f64::from(single));
        }
        _ => {}
    }
}
