//! Statistics as buffers among the weights, as LeRobot saved them before version 0.4.

use super::affine::{self, Affine, Guard, Normalised, Side};
use super::config::{Config, Sizes};
use super::{ACTION, ENVIRONMENT, STATE};
use crate::import::tensors::Converted;
use crate::policy_file::Tensors;
use anyhow::{Context, Result};

/// Added to denominators (`Normalize` in LeRobot's `normalize.py`).
const EPS: f32 = 1e-8;

/// Normalisation of all values by the modes of `config` and the buffers among `weights`.
///
/// # Errors
/// If a statistic is missing; the error names it.
pub(super) fn normalised(
    config: &Config,
    sizes: &Sizes,
    weights: &Converted,
) -> Result<Normalised> {
    let mut result = Normalised::identity(sizes);
    let features = [
        (STATE, "normalize_inputs", Side::Observed),
        (ENVIRONMENT, "normalize_inputs", Side::Observed),
        (ACTION, "unnormalize_outputs", Side::Commanded),
    ];
    for (feature, owner, side) in features {
        let values: &mut Vec<Affine> = match feature {
            STATE => &mut result.state,
            ENVIRONMENT => &mut result.environment,
            _ => &mut result.action,
        };
        if values.is_empty() {
            continue;
        }
        let mode = config.normalization(feature);
        if mode != "IDENTITY" {
            let statistics = buffers(weights, owner, feature);
            let of = (mode.as_str(), feature, values.len());
            *values = affine::of_feature(of, &statistics, side, Guard::Added(EPS)).with_context(
                || {
                    format!(
                        "no policy_preprocessor.json, so that {owner}.buffer_* of model.safetensors and \
                         normalization_mapping of config.json decide"
                    )
                },
            )?;
        }
        let line = format!("{feature} by {mode}, statistics among the weights");
        result.modes.push(line);
    }
    Ok(result)
}

/// Statistics of `feature` as `<feature>.<kind>`.
fn buffers(weights: &Converted, owner: &str, feature: &str) -> Tensors {
    let prefix = format!("{owner}.buffer_{}.", feature.replace('.', "_"));
    let kinds = weights.tensors.iter().filter_map(|(name, tensor)| {
        let kind = name.strip_prefix(&prefix)?;
        Some((format!("{feature}.{kind}"), tensor.clone()))
    });
    kinds.collect()
}
