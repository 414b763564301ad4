//! Values that environments exchange: numbers, strings, arrays, and lists and dictionaries of them.

pub use super::array::{Array, Data, Dtype, Element};

use half::f16;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Named values: a dictionary observation, an `info`, options. Sorted by name, as in Gymnasium's
/// `Dict`.
pub type Dict = BTreeMap<String, Value>;

/// An observation, an action, an argument or an `info` entry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// Python's `None`.
    #[default]
    None,
    /// A boolean.
    Bool(bool),
    /// An integer, wide enough for an `i64` and a `u64` alike; an element of
    /// [`Space::Discrete`](crate::space::Space::Discrete).
    Int(i128),
    /// A float.
    Float(f64),
    /// A string.
    Text(String),
    /// An array; an element of [`Space::Box`](crate::space::Space::Box).
    Array(Array),
    /// A list; an element of [`Space::Tuple`](crate::space::Space::Tuple).
    List(Vec<Value>),
    /// A dictionary; an element of [`Space::Dict`](crate::space::Space::Dict).
    Dict(Dict),
}

impl Value {
    /// The kind of value, for error messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dictionary",
        }
    }

    /// The integer, if it is one within 64 bits.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => i64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// The integer, if it is one from 0 to 2^64 - 1, as a seed is.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// The float or integer, if it is one, as `f64`.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Int(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(value) => Some(value),
            _ => None,
        }
    }

    /// The array, if it is one.
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    /// The elements, if it is an array of type `T`.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        self.as_array()?.slice()
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(values) => Some(values),
            _ => None,
        }
    }

    /// The dictionary, if it is one.
    pub fn as_dict(&self) -> Option<&Dict> {
        match self {
            Self::Dict(values) => Some(values),
            _ => None,
        }
    }

    /// Type and shape, for error messages.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Array(array) => {
                format!("{} of shape {:?}", array.dtype().name(), array.shape())
            }
            Self::Dict(parts) => {
                let parts: Vec<String> = parts
                    .iter()
                    .map(|(name, part)| format!("{name}: {}", part.describe()))
                    .collect();
                format!("{{{}}}", parts.join(", "))
            }
            other => other.kind().to_owned(),
        }
    }

    /// The value itself where it is short, otherwise type and shape, for error messages.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => format!("{value:?}"),
            Self::Text(value) => format!("{value:?}"),
            other => other.describe(),
        }
    }

    /// Whether every number in it is finite.
    pub fn is_finite(&self) -> bool {
        match self {
            Self::Float(value) => value.is_finite(),
            Self::Array(array) => array.first_not_finite().is_none(),
            Self::List(values) => values.iter().all(Self::is_finite),
            Self::Dict(values) => values.values().all(Self::is_finite),
            Self::None | Self::Bool(_) | Self::Int(_) | Self::Text(_) => true,
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// Conversions that keep every number as it is.
macro_rules! from_numbers {
    ($($kind:ident: $($number:ty)*;)*) => {
        $($(impl From<$number> for Value {
            fn from(value: $number) -> Self {
                Self::$kind(value.into())
            }
        })*)*
    };
}

from_numbers! {
    Int: i8 i16 i32 i64 i128 u8 u16 u32 u64;
    Float: f16 f32 f64;
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Int(value as i128)
    }
}

impl From<isize> for Value {
    fn from(value: isize) -> Self {
        Self::Int(value as i128)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

/// `None` becomes [`Value::None`].
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

impl From<Array> for Value {
    fn from(value: Array) -> Self {
        Self::Array(value)
    }
}

impl<T: Element> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        Self::Array(Array::vector(values))
    }
}

impl<T: Element, const N: usize> From<[T; N]> for Value {
    fn from(values: [T; N]) -> Self {
        Self::Array(Array::vector(values.to_vec()))
    }
}

impl From<Vec<Value>> for Value {
    fn from(values: Vec<Value>) -> Self {
        Self::List(values)
    }
}

impl From<Dict> for Value {
    fn from(values: Dict) -> Self {
        Self::Dict(values)
    }
}

/// A [`Dict`] of these entries.
pub fn dict<const N: usize>(entries: [(&str, Value); N]) -> Dict {
    entries
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_and_string_becomes_a_value_unchanged() {
        let least = [
            Value::from(i8::MIN),
            i16::MIN.into(),
            i32::MIN.into(),
            i64::MIN.into(),
            isize::MIN.into(),
        ];
        let integers = [
            -128,
            -32768,
            i32::MIN.into(),
            i64::MIN.into(),
            isize::MIN as i128,
        ];
        assert_eq!(least, integers.map(Value::Int));
        let most = [
            Value::from(u8::MAX),
            u16::MAX.into(),
            u32::MAX.into(),
            u64::MAX.into(),
            usize::MAX.into(),
        ];
        let integers = [
            255,
            65535,
            u32::MAX.into(),
            u64::MAX.into(),
            usize::MAX as i128,
        ];
        assert_eq!(most, integers.map(Value::Int));
        assert_eq!(most[3].as_u64(), Some(u64::MAX));
        assert_eq!(most[3].as_int(), None, "it has more than 63 bits");
        assert_eq!(least[3].as_int(), Some(i64::MIN));
        let floats = [Value::from(0.5_f32), 0.5.into(), f16::from_f32(0.5).into()];
        assert_eq!(floats, [0.5; 3].map(Value::Float));
        let text = String::from("T");
        let texts = [Value::from(&text), "T".into(), text.into()];
        assert_eq!(texts, ["T"; 3].map(|text| Value::Text(text.to_owned())));
        assert_eq!(Value::from(Some(3)), Value::Int(3));
        assert_eq!(Value::from(None::<f64>), Value::None);
    }
}
