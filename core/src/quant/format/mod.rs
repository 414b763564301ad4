//! Model file format: validation, and views of the network in the file's bytes.

pub(crate) mod error;
pub(crate) mod include;
pub(crate) mod layers;
pub(crate) mod limits;
pub(crate) mod model;
pub(crate) mod parse;
pub(crate) mod reader;
pub(crate) mod tables;
pub(crate) mod values;
