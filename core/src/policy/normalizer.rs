//! `LinearNormalizer`: normalised = (raw - center) * scale + offset, one of each per feature.

use super::{PolicyError, expect_len};

/// The scale and offset of every feature of a field (`obs` or `action`), and where a program
/// subtracts first, as LeRobot does, the center. `V` holds them.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearNormalizer<V> {
    scale: V,
    offset: V,
    center: Option<V>,
}

impl<V: AsRef<[f32]>> LinearNormalizer<V> {
    /// A normaliser of `scale` and `offset`, one value per feature.
    ///
    /// # Errors
    /// [`PolicyError::WrongLength`] if they are not equally many; [`PolicyError::Options`] if there
    /// is none, a scale is zero, a value is not finite, or -1 or 1 stand for no finite raw value.
    pub fn new(scale: V, offset: V) -> Result<Self, PolicyError> {
        let (scales, offsets) = (scale.as_ref(), offset.as_ref());
        expect_len("normalizer offset", offsets.len(), scales.len())?;
        if scales.is_empty() {
            return Err(PolicyError::Options("a normalizer has no features"));
        }
        if scales.iter().chain(offsets).any(|v| !v.is_finite()) || scales.contains(&0.0) {
            return Err(PolicyError::Options(
                "a normalizer's scale is zero, or a value of it is not finite",
            ));
        }
        let normalizer = Self {
            scale,
            offset,
            center: None,
        };
        normalizer.check_range()?;
        Ok(normalizer)
    }

    /// The normaliser with a value to subtract from each feature before the multiplication. Folded
    /// into the offset, it would lose digits where a feature's range is small beside its values.
    ///
    /// # Errors
    /// [`PolicyError::WrongLength`] if there is not one value per feature; [`PolicyError::Options`]
    /// if a value is not finite, or -1 or 1 stand for no finite raw value.
    pub fn with_center(self, center: V) -> Result<Self, PolicyError> {
        expect_len("normalizer center", center.as_ref().len(), self.dim())?;
        if center.as_ref().iter().any(|v| !v.is_finite()) {
            return Err(PolicyError::Options(
                "a value of a normalizer's center is not finite",
            ));
        }
        let normalizer = Self {
            center: Some(center),
            ..self
        };
        normalizer.check_range()?;
        Ok(normalizer)
    }

    /// The factor of each feature.
    pub fn scale(&self) -> &[f32] {
        self.scale.as_ref()
    }

    /// The offset of each feature, added after the multiplication.
    pub fn offset(&self) -> &[f32] {
        self.offset.as_ref()
    }

    /// The value subtracted from each feature first, if any.
    pub fn center(&self) -> Option<&[f32]> {
        self.center.as_ref().map(AsRef::as_ref)
    }

    /// The number of features.
    pub fn dim(&self) -> usize {
        self.scale.as_ref().len()
    }

    /// Normalises `rows` (any number of rows of [`Self::dim`] values) in place.
    pub fn normalize(&self, rows: &mut [f32]) {
        self.each_center(rows, |x, center| x - center);
        self.each(rows, |x, scale, offset| x * scale + offset);
    }

    /// The inverse of [`Self::normalize`].
    pub fn unnormalize(&self, rows: &mut [f32]) {
        self.each(rows, |x, scale, offset| (x - offset) / scale);
        self.each_center(rows, |x, center| x + center);
    }

    /// Checks that the range of normalised values is one of finite raw values.
    fn check_range(&self) -> Result<(), PolicyError> {
        let zeros = [0.0].into_iter().cycle();
        let centers = self.center().unwrap_or_default().iter().copied();
        let features = self.scale().iter().zip(self.offset());
        for ((scale, offset), center) in features.zip(centers.chain(zeros)) {
            let raw = |normalized: f32| (normalized - offset) / scale + center;
            if !raw(-1.0).is_finite() || !raw(1.0).is_finite() {
                return Err(PolicyError::Options(
                    "a normalizer's scale is too small: -1 or 1 stands for an infinite value",
                ));
            }
        }
        Ok(())
    }

    fn each_center(&self, rows: &mut [f32], map: impl Fn(f32, f32) -> f32) {
        let Some(center) = self.center() else {
            return;
        };
        for row in rows.chunks_mut(center.len()) {
            for (x, center) in row.iter_mut().zip(center) {
                *x = map(*x, *center);
            }
        }
    }

    fn each(&self, rows: &mut [f32], map: impl Fn(f32, f32, f32) -> f32) {
        let (scale, offset) = (self.scale.as_ref(), self.offset.as_ref());
        for row in rows.chunks_mut(self.dim()) {
            for ((x, scale), offset) in row.iter_mut().zip(scale).zip(offset) {
                *x = map(*x, *scale, *offset);
            }
        }
    }
}

/// What `fit` normalises to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FitMode {
    /// The smallest and the largest value become `output_min` and `output_max`.
    Limits,
    /// Mean 0 and standard deviation 1.
    Gaussian,
}

/// The options of `LinearNormalizer.fit`, with its defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FitOptions {
    /// Whether limits or moments are normalised.
    pub mode: FitMode,
    /// Largest normalised value.
    pub output_max: f32,
    /// Smallest normalised value.
    pub output_min: f32,
    /// The least range (or standard deviation) of a feature that is scaled.
    pub range_eps: f32,
    /// Whether the data is also shifted.
    pub fit_offset: bool,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            mode: FitMode::Limits,
            output_max: 1.0,
            output_min: -1.0,
            range_eps: 1e-4,
            fit_offset: true,
        }
    }
}

/// Statistics of one feature (`input_stats`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FitStats {
    /// Smallest value.
    pub min: f32,
    /// Largest value.
    pub max: f32,
    /// Mean.
    pub mean: f32,
    /// Standard deviation, with Bessel's correction as in PyTorch.
    pub std: f32,
}

impl FitStats {
    /// The statistics of `feature` over `rows` of `dim` values; the standard deviation needs two
    /// rows.
    pub fn of(rows: &[f32], dim: usize, feature: usize) -> Self {
        let values = || rows.iter().skip(feature).step_by(dim.max(1));
        let count = values().count() as f64;
        let mean = values().map(|v| f64::from(*v)).sum::<f64>() / count;
        let squares: f64 = values()
            .map(|v| (f64::from(*v) - mean) * (f64::from(*v) - mean))
            .sum();
        Self {
            min: values().copied().fold(f32::INFINITY, f32::min),
            max: values().copied().fold(f32::NEG_INFINITY, f32::max),
            mean: mean as f32,
            std: libm::sqrt(squares / (count - 1.0)) as f32,
        }
    }

    /// The scale and offset that normalise the feature (`normalizer.py`, `_fit`).
    pub fn scale_and_offset(&self, options: &FitOptions) -> (f32, f32) {
        let (low, high) = (options.output_min, options.output_max);
        match (options.mode, options.fit_offset) {
            (FitMode::Limits, true) => {
                let range = self.max - self.min;
                if range < options.range_eps {
                    return (1.0, (high + low) / 2.0 - self.min);
                }
                let scale = (high - low) / range;
                (scale, low - scale * self.min)
            }
            (FitMode::Limits, false) => {
                let reach = low.abs().min(high.abs());
                let magnitude = self.min.abs().max(self.max.abs());
                match magnitude < options.range_eps {
                    true => (1.0, 0.0),
                    false => (reach / magnitude, 0.0),
                }
            }
            (FitMode::Gaussian, shifted) => {
                let ignored = self.std < options.range_eps;
                let scale = if ignored { 1.0 } else { 1.0 / self.std };
                (scale, if shifted { -self.mean * scale } else { 0.0 })
            }
        }
    }
}
