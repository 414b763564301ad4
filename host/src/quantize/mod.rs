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

pub use network::quantize;

use crate::float_engine::FloatPolicy;
use crate::policy_file::{PolicyConfig, Tensors};
use anyhow::Result;
use indicatif::ProgressBar;
use std::ops::Range;

/// Legacy seeds of the episodes that the shipped model is calibrated on; no score is reported on them.
pub const CALIBRATION_SEEDS: &str = "20000..20032";

/// The integer model file of a float policy, calibrated on the episodes of these (legacy) seeds.
///
/// # Errors
/// Those of [`calibrate::play`] and [`quantize`].
pub fn model_file(
    policy: &FloatPolicy,
    tensors: &Tensors,
    seeds: &Range<u64>,
    progress: &ProgressBar,
) -> Result<Vec<u8>> {
    network::check(policy.config())?;
    progress.set_length(seeds.end - seeds.start);
    let calibration = calibrate::play(policy, seeds.clone(), progress)?;
    let provenance = provenance(policy.config(), seeds)?;
    Ok(quantize(policy, tensors, &calibration, provenance)?.to_bytes())
}

/// What the model file says of its making: the policy's settings and history, and the calibration.
fn provenance(config: &PolicyConfig, seeds: &Range<u64>) -> Result<String> {
    let text = serde_json::json!({
        "quantized_by": concat!("pusht ", env!("CARGO_PKG_VERSION")),
        "calibration_seeds": format!("{}..{} (legacy)", seeds.start, seeds.end),
        "policy": config,
    });
    Ok(serde_json::to_string(&text)?)
}
