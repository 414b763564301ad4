//! The model file: its bytes, checked, as views of the network.

pub(crate) mod error;
pub(crate) mod model;
pub(crate) mod parse;
