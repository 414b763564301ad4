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

    /// Value `index` of a table.
    pub(crate) fn read(table: &[u8], index: usize) -> Self {
        let value = table.as_chunks().0.get(index);
        debug_assert!(value.is_some(), "an observation's value {index}");
        Self::of(value.unwrap_or(&[0; _]))
    }

    #[inline(always)]
    pub(crate) fn of(value: &[u8; Self::SIZE]) -> Self {
        Self {
            exponent: read::i32_at(value, 0) as u32,
            normalizer: Affine::read(value, 4),
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
    extern crate std;

    use super::*;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    fn table(words: &[i32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// `1.5 x + offset`.
    fn affine(offset: i32) -> Affine {
        let factor = Factor {
            multiplier: 3,
            shift: 1,
        };
        Affine { factor, offset }
    }

    #[test]
    fn a_value_of_an_observation_is_what_its_record_says() {
        let table = table(&[16, 1, 0, 5, 8, 3, 1, -7, 0, 0, 0, 0]);
        let value = ObservationValue::read(&table, 1);
        let expected = ObservationValue {
            exponent: 8,
            normalizer: affine(-7),
        };
        assert_eq!(value, expected);
        assert_eq!(ObservationValue::read(&table, 0).exponent, 16);
        for (fixed, normalized) in [(10, 8), (-10, -22), (i32::MAX, i32::MAX - 7)] {
            assert_eq!(value.normalize(fixed).to_bits(), normalized, "{fixed}");
        }
        assert_eq!(value.normalize(i32::MIN), I16F16::MIN);
    }

    #[test]
    fn a_number_is_fixed_to_the_nearest_and_saturates() {
        let value = |exponent| ObservationValue {
            exponent,
            normalizer: affine(0),
        };
        for (exponent, number, fixed) in [
            (8, 1.5, 384),
            (8, -1.5, -384),
            (8, 0.0, 0),
            (0, 3.4, 3),
            (30, 0.25, 1 << 28),
            (16, 1e30, i32::MAX),
            (16, -1e30, i32::MIN),
            (16, f64::INFINITY, i32::MAX),
            (16, f64::NEG_INFINITY, i32::MIN),
            (16, f64::NAN, i32::MAX),
        ] {
            assert_eq!(value(exponent).to_fixed(number), fixed, "{number}");
        }
    }

    #[test]
    fn a_value_of_an_action_is_what_its_record_says() {
        let record = |hold| [4, 2, hold, 3, 1, 100];
        let absolute = [30, -1, 0, 1, 0, 0];
        let table = table(&[absolute, record(1), record(2)].concat());
        let expected = |hold| ActionValue {
            exponent: 4,
            relative_to: Some(2),
            hold,
            unnormalizer: affine(100),
        };
        let value = ActionValue::read(&table, 1);
        assert_eq!(value, expected(Hold::Observed));
        assert_eq!(ActionValue::read(&table, 2), expected(Hold::Zero));
        let first = ActionValue::read(&table, 0);
        assert_eq!((first.hold, first.relative_to), (Hold::Last, None));
        let unnormalized = |bits, origin| value.unnormalize(I8F24::from_bits(bits), origin);
        assert_eq!(unnormalized(10, 1000), 1115);
        assert_eq!(unnormalized(-10, -1000), -915);
        assert_eq!(unnormalized(10, i32::MAX), i32::MAX);
        assert_eq!(unnormalized(i32::MAX, 0), i32::MAX);
        assert_eq!((value.to_f64(24), value.to_f64(-8)), (1.5, -0.5));
        assert_eq!(first.to_f64(1 << 29), 0.5);
    }

    #[test]
    fn a_map_is_valid_if_its_factor_is() {
        let valid = |multiplier, shift| {
            let factor = Factor { multiplier, shift };
            Affine { factor, offset: 0 }.is_valid()
        };
        assert!(valid(0, 0) && valid(i32::MAX, 62));
        assert!(!valid(-1, 0) && !valid(1, 63));
    }

    #[test]
    fn a_name_or_unit_is_refused_wherever_it_is_wrong() {
        let [name, unit] = [MAX_NAME_LEN, MAX_UNIT_LEN].map(|len| "n".repeat(len));
        let is_checked = |text: String| Names::checked(&text, 2).is_some();
        assert!(is_checked(format!(
            "{name}\n{name}\t{unit}\n{name}\t{unit}\n"
        )));
        for wrong in [
            format!("{name}n\na\nb"),
            "task\t\na\nb".into(),
            format!("task\n{name}n\nb"),
            format!("task\na\n{name}n"),
            format!("task\na\t{unit}n\nb"),
            format!("task\na\nb\t{unit}n"),
            "task\na\tb\tc\nb".into(),
            "task\na".into(),
            "task".into(),
            String::new(),
        ] {
            assert!(!is_checked(wrong.clone()), "{wrong}");
        }
        assert!(Names::checked("task", 0).is_some());
        assert!(Names::checked("", 0).is_none());
    }

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
