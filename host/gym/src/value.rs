//! What environments exchange: numbers, texts, arrays, and values built of them.

pub use super::array::{Array, Data, Dtype, Element};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Named values: an observation of several parts, an `info`, options. Sorted by name, as Gymnasium sorts `Dict`.
pub type Dict = BTreeMap<String, Value>;

/// An observation, an action, an argument, or an entry of an `info`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// Nothing.
    #[default]
    None,
    /// A flag.
    Bool(bool),
    /// A whole number, and an element of `Discrete`.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
    /// An array, and an element of `Box`.
    Array(Array),
    /// Several values, one after another.
    List(Vec<Value>),
    /// Several values with names, and an element of a space of that name.
    Dict(Dict),
}

impl Value {
    /// What kind of value it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Bool(_) => "a flag",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::Array(_) => "an array",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dictionary",
        }
    }

    /// The whole number, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, if it is one, whole or not.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Int(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// The flag, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The text, if it is one.
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

    /// The elements of an array of this type, if it is one.
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

    /// Whether it contains a NaN or an infinite number.
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

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
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

/// A dictionary of these entries.
pub fn dict<const N: usize>(entries: [(&str, Value); N]) -> Dict {
    entries
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
