//! .

pub(crate) mod linear;
