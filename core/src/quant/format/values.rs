//! Values of an observation and of an action: fixed-point format, normaliser, name, unit.

use super::limits::{MAX_NAME_LEN, MAX_UNIT_LEN};
use crate::control::Value;
use crate::quant::kernels::read;
use crate::quant::kernels::rounding::Factor;
use fixed::types::{I8F24, I16F16};

/// Affine map: a factor and an offset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Affine {
    factor: Factor,
    offset: i32,
}

impl Affine {
    /// Size of a map in the model file, bytes.
    const SIZE: usize = Factor::SIZE + 4;

    fn read(table: &[u8], at: usize) -> Self {
        Self {
            factor: Factor::read(table, at),
            offset: read::i32_at(table, at + Factor::SIZE),
        }
    }

    pub(crate) fn is_valid(self) -> bool {
        self.factor.is_valid()
    }

    fn apply(self, value: i32) -> i32 {
        self.factor.apply(value).saturating_add(self.offset)
    }
}

/// Fixed-point format and normaliser of one value of an observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObservationValue {
    /// Binary places: the fixed-point value is `round(value * 2^exponent)`.
    pub exponent: u32,
    pub(crate) normalizer: Affine,
}

impl ObservationValue {
    /// Size of a value in the model file, bytes.
    pub(crate) const SIZE: usize = 4 + Affine::SIZE;

    pub(crate) fn read(table: &[u8], index: usize) -> Self {
        let at = index * Self::SIZE;
        Self {
            exponent: read::i32_at(table, at) as u32,
            normalizer: Affine::read(table, at + 4),
        }
    }

    /// Converts to the fixed-point format of [`normalize`](Self::normalize): nearest, saturating.
    pub fn to_fixed(&self, value: f64) -> i32 {
        let value = value * exp2(self.exponent as i32 - 16);
        // `saturating_from_num` panics at NaN; the optimiser cannot know that none occurs.
        let end = if value < 0.0 {
            I16F16::MIN
        } else {
            I16F16::MAX
        };
        I16F16::checked_from_num(value).unwrap_or(end).to_bits()
    }

    /// Normalises a fixed-point value.
    #[inline(always)]
    pub fn normalize(&self, fixed: i32) -> I16F16 {
        I16F16::from_bits(self.normalizer.apply(fixed))
    }
}

/// Value of an action while there is no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Hold {
    /// Value of the last action: for positions.
    Last,
    /// Observed value that a relative action is relative to.
    Observed,
    /// Zero: for velocities and displacements.
    Zero,
}

/// Fixed-point format and normaliser of one value of an action.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActionValue {
    /// Binary places of the policy's fixed-point output.
    pub exponent: u32,
    /// Index of the value in the newest observation that is added; `None` for an absolute value.
    pub relative_to: Option<usize>,
    /// Value while there is no plan.
    pub hold: Hold,
    pub(crate) unnormalizer: Affine,
}

impl ActionValue {
    /// Size of a value in the model file, bytes.
    pub(crate) const SIZE: usize = 12 + Affine::SIZE;
    /// Index of an observed value that stands for "absolute".
    pub(crate) const ABSOLUTE: u32 = u32::MAX;

    pub(crate) fn read(table: &[u8], index: usize) -> Self {
        let at = index * Self::SIZE;
        let relative_to = read::i32_at(table, at + 4) as u32;
        Self {
            exponent: read::i32_at(table, at) as u32,
            relative_to: (relative_to != Self::ABSOLUTE).then_some(relative_to as usize),
            hold: match read::i32_at(table, at + 8) {
                0 => Hold::Last,
                1 => Hold::Observed,
                _ => Hold::Zero,
            },
            unnormalizer: Affine::read(table, at + 12),
        }
    }

    /// Converts a normalised action to fixed point, relative to the observed value `origin`.
    #[inline(always)]
    pub fn unnormalize(&self, normalized: I8F24, origin: i32) -> i32 {
        origin.saturating_add(self.unnormalizer.apply(normalized.to_bits()))
    }

    /// Converts a fixed-point value to a float.
    pub fn to_f64(&self, fixed: i32) -> f64 {
        f64::from(fixed) * exp2(-(self.exponent as i32))
    }
}

/// `2^exponent`, exact; `exponent` is -30 to 14.
fn exp2(exponent: i32) -> f64 {
    f64::from_bits(((1023 + i64::from(exponent)) as u64) << 52)
}

/// Names in a model file: lines of text, the task's first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Names<'a>(&'a str);

impl<'a> Names<'a> {
    /// Checks the names of a task and `n_values` values; `None` if one is missing or too long.
    pub(crate) fn checked(text: &'a str, n_values: usize) -> Option<Self> {
        let names = Self(text);
        let mut lines = names.lines();
        let is_name = |line: &str| line.len() <= MAX_NAME_LEN && !line.contains('\t');
        let mut are_names = lines.next().is_some_and(is_name);
        for _ in 0..n_values {
            let line = lines.next()?;
            let Value { name, unit } = Self::split(line);
            are_names &= is_name(name) && unit.len() <= MAX_UNIT_LEN && !unit.contains('\t');
        }
        are_names.then_some(names)
    }

    pub(crate) fn task(self) -> &'a str {
        self.lines().next().unwrap_or_default()
    }

    pub(crate) fn value(self, index: usize) -> Value<'a> {
        Self::split(self.lines().nth(1 + index).unwrap_or_default())
    }

    fn lines(self) -> impl Iterator<Item = &'a str> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let line;
            (line, rest) = match rest {
                "" => return None,
                _ => cut(rest, b'\n'),
            };
            Some(line)
        })
    }

    fn split(line: &'a str) -> Value<'a> {
        let (name, unit) = cut(line, b'\t');
        Value { name, unit }
    }
}

/// What comes before and after the first `separator`, an ASCII character; `text` and nothing where
/// there is none. `str::split_once` leaves a panic in its search that the optimiser keeps.
fn cut(text: &str, separator: u8) -> (&str, &str) {
    let end = text.bytes().position(|byte| byte == separator);
    let end = end.unwrap_or(text.len());
    let parts = (text.get(..end), text.get(end + 1..));
    (parts.0.unwrap_or_default(), parts.1.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_units_are_what_the_lines_say() {
        let text = "lift\nheight\tm\ngrip\n\n\n";
        let names = Names::checked(text, 2).unwrap();
        assert_eq!(names.task(), "lift");
        let value = |name, unit| Value { name, unit };
        assert_eq!(names.value(0), value("height", "m"));
        assert_eq!(names.value(1), value("grip", ""));
        assert_eq!(names.value(7), Value::default());
        assert_eq!(Names::default().task(), "");
        assert!(Names::checked("lift\nheight\tm", 1).is_some());
        assert!(Names::checked("lift\nheight\tm", 2).is_none());
        assert!(Names::checked("lift\nheight\tm\tof it\n", 1).is_none());
    }
}
