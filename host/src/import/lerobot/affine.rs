//! Normalisation of a value: modes and statistics become center, scale and offset.

use super::config::Sizes;
use crate::policy_file::{Tensor, Tensors};
use anyhow::{Context, Result, bail, ensure};

/// normalised = (raw - center) * scale + offset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Affine {
    center: f32,
    scale: f32,
    offset: f32,
}

/// Values that pass through unchanged.
pub(super) const IDENTITY: Affine = Affine {
    center: 0.0,
    scale: 1.0,
    offset: 0.0,
};

/// Normalisation of a whole policy.
pub(super) struct Normalised {
    pub(super) state: Vec<Affine>,
    pub(super) environment: Vec<Affine>,
    pub(super) action: Vec<Affine>,
    /// Names outside of the policy for `observation.state` and `observation.environment_state`.
    pub(super) sources: [String; 2],
    /// Whether each action is counted from the same value of `observation.state`.
    pub(super) relative: Vec<bool>,
    /// Names of the actions; empty if unknown.
    pub(super) action_names: Vec<String>,
    /// A line per feature: mode and origin.
    pub(super) modes: Vec<String>,
    pub(super) files: Vec<String>,
}

impl Normalised {
    /// Every value unchanged.
    pub(super) fn identity(sizes: &Sizes) -> Self {
        Self {
            state: vec![IDENTITY; sizes.state],
            environment: vec![IDENTITY; sizes.environment],
            action: vec![IDENTITY; sizes.action],
            sources: [super::STATE, super::ENVIRONMENT].map(str::to_owned),
            relative: vec![false; sizes.action],
            action_names: Vec::new(),
            modes: Vec::new(),
            files: Vec::new(),
        }
    }
}

/// Direction of a normalisation: denominators differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Observations are normalised.
    Observed,
    /// Actions are un-normalised.
    Commanded,
}

/// How a version of LeRobot keeps denominators from being zero.
#[derive(Clone, Copy, Debug)]
pub(super) enum Guard {
    /// `eps` instead of a range that is zero (since version 0.4).
    Instead(f32),
    /// `eps` added to every range, when normalising.
    Added(f32),
}

impl Guard {
    fn eps(self) -> f32 {
        match self {
            Self::Instead(eps) | Self::Added(eps) => eps,
        }
    }

    fn range(self, side: Side, low: f32, high: f32) -> f32 {
        match (self, side) {
            (Self::Instead(eps), _) if high - low == 0.0 => eps,
            (Self::Instead(_), _) | (Self::Added(_), Side::Commanded) => high - low,
            (Self::Added(eps), Side::Observed) => high - low + eps,
        }
    }
}

/// Statistics that a mode needs: those of -1 and 1, or mean and standard deviation.
fn needed(mode: &str) -> Result<[&'static str; 2]> {
    match mode {
        "MIN_MAX" => Ok(["min", "max"]),
        "QUANTILES" => Ok(["q01", "q99"]),
        "QUANTILE10" => Ok(["q10", "q90"]),
        "MEAN_STD" => Ok(["mean", "std"]),
        _ => bail!(
            "normalisation {mode:?} is not supported, only IDENTITY, MIN_MAX, MEAN_STD, QUANTILES and QUANTILE10"
        ),
    }
}

/// Normalisation of the `dim` values of `feature` by `mode`, not IDENTITY, from `statistics`
/// (`<feature>.<kind>`).
///
/// # Errors
/// If the mode is unknown, or a statistic is missing, of another size or not finite.
pub(super) fn of_feature(
    (mode, feature, dim): (&str, &str, usize),
    statistics: &Tensors,
    side: Side,
    guard: Guard,
) -> Result<Vec<Affine>> {
    let [first, second] = needed(mode)?;
    let find = |kind: &str| -> Result<Vec<f32>> {
        let name = format!("{feature}.{kind}");
        let tensor = statistics.get(&name);
        let tensor = tensor.with_context(|| format!("{mode} needs the statistic {name}"))?;
        tensor.check_finite(&name)?;
        match tensor.data[..] {
            [value] => Ok(vec![value; dim]),
            _ => {
                let got = tensor.data.len();
                ensure!(
                    got == dim,
                    "the statistic {name} has {got} values, not {dim}"
                );
                Ok(tensor.data.clone())
            }
        }
    };
    let affine = |(index, (first, second)): (usize, (&f32, &f32))| {
        let affine = match mode {
            "MEAN_STD" => of_moments(*first, *second, side, guard.eps()),
            _ => of_range(*first, *second, side, guard),
        };
        let is_finite = affine.scale.is_finite() && affine.scale != 0.0;
        ensure!(
            is_finite,
            "{mode} of {feature}: value {index} has the scale {}, from statistics {first} and {second} and eps {}",
            affine.scale,
            guard.eps()
        );
        Ok(affine)
    };
    let (first, second) = (find(first)?, find(second)?);
    first.iter().zip(&second).enumerate().map(affine).collect()
}

/// `low` becomes -1, `high` becomes 1.
fn of_range(low: f32, high: f32, side: Side, guard: Guard) -> Affine {
    let scale = 2.0 / guard.range(side, low, high);
    Affine {
        center: low,
        scale: finite_where_commanded(scale, side),
        offset: -1.0,
    }
}

/// Mean 0, standard deviation 1; only observations have `eps` in the denominator.
fn of_moments(mean: f32, std: f32, side: Side, eps: f32) -> Affine {
    let scale = match side {
        Side::Observed => 1.0 / (std + eps),
        Side::Commanded => 1.0 / std,
    };
    Affine {
        center: mean,
        scale: finite_where_commanded(scale, side),
        offset: 0.0,
    }
}

/// An action that never changes has range 0: the largest scale keeps it at its value.
fn finite_where_commanded(scale: f32, side: Side) -> f32 {
    match side {
        Side::Commanded if scale == f32::INFINITY => f32::MAX,
        _ => scale,
    }
}

/// Adds the normaliser of `field` (`obs` or `action`).
pub(super) fn insert(tensors: &mut Tensors, field: &str, values: &[Affine]) {
    let [mut center, mut scale, mut offset] = [(); 3].map(|()| Vec::new());
    for value in values {
        center.push(value.center);
        scale.push(value.scale);
        offset.push(value.offset);
    }
    for (kind, data) in [("center", center), ("scale", scale), ("offset", offset)] {
        let name = format!("normalizer.params_dict.{field}.{kind}");
        let shape = vec![data.len()];
        tensors.insert(name, Tensor { shape, data });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_value_is_normalised_as_upstream_does() {
        let observed = of_range(0.7, 0.7, Side::Observed, Guard::Instead(1e-8));
        assert_eq!((observed.scale, observed.offset), (2.0 / 1e-8, -1.0));
        let old = of_range(0.7, 0.7, Side::Commanded, Guard::Added(1e-8));
        assert_eq!((old.center, old.scale), (0.7, f32::MAX));
        assert_eq!(of_moments(3.0, 0.0, Side::Commanded, 1.0).scale, f32::MAX);
        assert_eq!(of_moments(3.0, 0.0, Side::Observed, 1.0).scale, 1.0);
    }
}
