//! .

pub(crate) mod linear;
pub(crate) mod norm;
