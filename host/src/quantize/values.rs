//! Fixed-point formats of observations and actions.

use super::calibrate::Window;
use super::file::ValueFormat;
use super::fixed_point::{affine, is_fine, value_places};
use crate::policy_file::{Task, Tensors};
use anyhow::{Context, Result, ensure};

/// Formats of all values.
pub(super) struct Formats {
    pub(super) observation: Vec<ValueFormat>,
    pub(super) action: Vec<ValueFormat>,
}

/// Binary places of normalised observations.
const NORMALIZED_PLACES: u32 = 16;
/// Binary places of normalised actions.
const SAMPLE_PLACES: u32 = 24;

/// Chooses the formats of a task's values from the policy's normalisers and calibration windows.
///
/// # Errors
/// If no 32-bit format has the resolution and range that a value needs.
pub(super) fn formats(task: &Task, tensors: &Tensors, windows: &[Window]) -> Result<Formats> {
    let (observed, commanded) = (normalizer(tensors, "obs")?, normalizer(tensors, "action")?);
    ensure!(
        observed.len() == task.observation.len() && commanded.len() == task.action.len(),
        "normalizer.params_dict: {} values of obs and {} of action, the task has {} and {}",
        observed.len(),
        commanded.len(),
        task.observation.len(),
        task.action.len()
    );
    let mut places = Vec::new();
    for (index, &[scale, offset]) in observed.iter().enumerate() {
        places.push(match value_places(scale, offset) {
            Some(places) => Some(places),
            // The scale of a value that is constant in training has no meaning.
            None if constant(windows, index, observed.len()).is_some() => None,
            None => no_format(
                &format!("observation {}", task.observation[index].name),
                scale,
                offset,
            )?,
        });
    }
    let mut own_places = Vec::new();
    for (value, &[scale, offset]) in task.action.iter().zip(&commanded) {
        let own = value_places(scale, offset);
        let own = own.map_or_else(
            || no_format(&format!("action {}", value.name), scale, offset),
            Ok,
        )?;
        own_places.push(own);
        // A relative action and its reference are added: they share one format.
        if let Some(from) = value.relative_to {
            places[from] = Some(places[from].map_or(own, |observed| observed.min(own)));
        }
    }
    let mut action = Vec::new();
    let values = task.action.iter().zip(&commanded).zip(own_places);
    for ((value, &[scale, offset]), own) in values {
        let common = value.relative_to.and_then(|from| places[from]);
        let exponent = common.unwrap_or(own);
        let observed = value.relative_to.map_or(scale, |from| observed[from][0]);
        ensure!(
            is_fine(exponent, scale) && is_fine(exponent, observed),
            "action {}: it and what it is counted from (relative_to) change by {:.3e} and {:.3e}, too different for one 32-bit format; count it from another value, or from none",
            value.name,
            2.0 / scale,
            2.0 / observed
        );
        let unit = (f64::from(exponent) - f64::from(SAMPLE_PLACES)).exp2();
        let affine = affine(unit / scale, -offset / scale, exponent);
        let affine = affine.with_context(|| format!("action {}", value.name))?;
        action.push(ValueFormat { exponent, affine });
    }
    let observation = observed
        .iter()
        .enumerate()
        .map(|(index, &[scale, offset])| {
            let name = || format!("observation {}", task.observation[index].name);
            let Some(exponent) = places[index] else {
                let value = constant(windows, index, observed.len()).unwrap_or_default();
                let affine = affine(0.0, scale * value + offset, NORMALIZED_PLACES);
                return Ok(ValueFormat {
                    exponent: NORMALIZED_PLACES,
                    affine: affine.with_context(name)?,
                });
            };
            let unit = (f64::from(NORMALIZED_PLACES) - f64::from(exponent)).exp2();
            let affine = affine(unit * scale, offset, NORMALIZED_PLACES).with_context(name)?;
            Ok(ValueFormat { exponent, affine })
        });
    Ok(Formats {
        observation: observation.collect::<Result<_>>()?,
        action,
    })
}

/// Error for a value without a format.
fn no_format<T>(name: &str, scale: f64, offset: f64) -> Result<T> {
    anyhow::bail!(
        "{name}: its values are around {:.3e} and change by {:.3e}, 32 bits are not fine and wide enough for that; another unit or origin of the value makes them so",
        -offset / scale,
        2.0 / scale
    )
}

/// Value `index` of an observation, if it is equal in all windows; in the float engine's 32 bits, as
/// the scale of such a value may be 2e8.
fn constant(windows: &[Window], index: usize, obs_dim: usize) -> Option<f64> {
    let mut values = windows
        .iter()
        .flat_map(|w| w.iter().skip(index).step_by(obs_dim));
    let first = *values.next()? as f32;
    let is_constant = values.all(|value| *value as f32 == first);
    is_constant.then_some(f64::from(first))
}

/// Scale and offset of each value of `field`, with its center folded into the offset.
fn normalizer(tensors: &Tensors, field: &str) -> Result<Vec<[f64; 2]>> {
    let find = |kind: &str| tensors.get(&format!("normalizer.params_dict.{field}.{kind}"));
    let needed = |kind: &str| {
        find(kind).with_context(|| format!("no tensor normalizer.params_dict.{field}.{kind}"))
    };
    let (scale, offset) = (needed("scale")?, needed("offset")?);
    let center = find("center").map_or(&[][..], |center| &center.data);
    let pairs = scale.data.iter().zip(&offset.data).enumerate();
    Ok(pairs
        .map(|(index, (scale, offset))| {
            let center = center.get(index).copied().unwrap_or_default();
            let (scale, offset) = (f64::from(*scale), f64::from(*offset));
            [scale, offset - f64::from(center) * scale]
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy_file::Tensor;

    /// LeRobot's scale of a constant value is 2e8: a digit past 32 bits would be a whole unit.
    #[test]
    fn a_constant_value_is_normalised_as_in_32_bits() {
        let values = |field: &str, [center, scale, offset]: [f32; 3]| {
            [("center", center), ("scale", scale), ("offset", offset)].map(|(kind, value)| {
                let name = format!("normalizer.params_dict.{field}.{kind}");
                let (shape, data) = (vec![1], vec![value]);
                (name, Tensor { shape, data })
            })
        };
        let obs = values("obs", [0.7, 2e8, -1.0]);
        let tensors = obs.into_iter().chain(values("action", [0.0, 1.0, 0.0]));
        let windows = [vec![0.7], vec![f64::from(0.7_f32)]];
        let task = Task::unnamed(1, 1);
        let formats = formats(&task, &tensors.collect(), &windows).unwrap();
        let expected = affine(0.0, -1.0, NORMALIZED_PLACES).unwrap();
        assert_eq!(formats.observation[0].affine, expected);
    }
}
