//! Values that environments exchange: numbers, strings, arrays, and lists and dictionaries of them.

pub use super::array::{Array, Data, Dtype, Element};

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
    /// An integer; an element of [`Space::Discrete`](crate::space::Space::Discrete).
    Int(i64),
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

    /// The integer, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
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

/// A [`Dict`] of these entries.
pub fn dict<const N: usize>(entries: [(&str, Value); N]) -> Dict {
    entries
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
