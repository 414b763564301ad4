//! From the float policy to the integer model file, in the order of the work:
//! `calibrate` plays episodes and notes how large every tensor gets, `network` and `sampler` turn weights and
//! coefficients into integers (`rounding` chooses them), `file` writes them, and `compare` measures what was lost.
//!
//! `docs/quantisation.md` explains the arithmetic, `docs/model-format.md` the file.

pub mod calibrate;
pub mod compare;
pub mod file;
mod fixed_point;
mod network;
mod rounding;
mod sampler;
pub mod sensitivity;
mod values;
pub mod windows;

pub use network::quantize;

use crate::float_engine::FloatPolicy;
use crate::policy_file::{PolicyConfig, Tensors};
use anyhow::Result;
use calibrate::{Calibration, Window};
use indicatif::ProgressBar;
use std::ops::Range;

/// Legacy seeds of the episodes that the shipped model is calibrated on; no score is reported on them.
pub const CALIBRATION_SEEDS: &str = "20000..20032";

/// What a policy is calibrated on.
#[derive(Clone, Debug)]
pub enum CalibrationData {
    /// PushT's episodes of these (legacy) seeds, played by the policy.
    Episodes(Range<u64>),
    /// Recorded windows of observations, and what they are called.
    Windows(Vec<Window>, String),
}

impl CalibrationData {
    /// What the policy sees and computes there.
    ///
    /// # Errors
    /// Those of [`calibrate::play`] and [`calibrate::plan_from`].
    pub fn calibrate(&self, policy: &FloatPolicy, progress: &ProgressBar) -> Result<Calibration> {
        match self {
            Self::Episodes(seeds) => calibrate::play(policy, seeds.clone(), progress),
            Self::Windows(windows, _) => calibrate::plan_from(policy, windows, progress),
        }
    }
}

/// The integer model file of a float policy.
///
/// # Errors
/// If the integer path can't serve the policy, and those of [`CalibrationData::calibrate`] and [`quantize`].
pub fn model_file(
    policy: &FloatPolicy,
    tensors: &Tensors,
    data: &CalibrationData,
    progress: &ProgressBar,
) -> Result<Vec<u8>> {
    network::check(policy.config())?;
    let calibration = data.calibrate(policy, progress)?;
    let provenance = provenance(policy.config(), data)?;
    Ok(quantize(policy, tensors, &calibration, provenance)?.to_bytes())
}

/// What the model file says of its making: the policy's settings and history, and the calibration. The names of the task's
/// values have a section of their own.
fn provenance(config: &PolicyConfig, data: &CalibrationData) -> Result<String> {
    let (key, value) = match data {
        CalibrationData::Episodes(seeds) => {
            let seeds = format!("{}..{} (legacy)", seeds.start, seeds.end);
            ("calibration_seeds", seeds)
        }
        CalibrationData::Windows(_, name) => ("calibration_data", name.clone()),
    };
    let text = serde_json::json!({
        "quantized_by": concat!("pusht ", env!("CARGO_PKG_VERSION")),
        key: value,
        "policy": PolicyConfig { task: None, ..config.clone() },
    });
    Ok(serde_json::to_string(&text)?)
}
