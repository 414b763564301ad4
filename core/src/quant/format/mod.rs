//! The model file: its bytes, checked, as views of the network.

pub(crate) mod error;
pub(crate) mod layers;
pub(crate) mod limits;
pub(crate) mod model;
pub(crate) mod parse;
pub(crate) mod reader;
pub(crate) mod values;
