//! Environments as Gymnasium has them, one or many, for PushT and for any other.
//!
//! In the order of the data: [`value`] and [`space`] are what goes in and out; [`mod@env`] is one environment, [`pusht`] the
//! one of this repository, [`wrappers`] go around it; [`batch_space`] makes one value of many, [`vector`] one
//! environment of many. [`batch`] is many PushT environments at once, without anything in between: the fast one.

mod array;
pub mod batch;
pub mod batch_space;
pub mod env;
pub mod pusht;
pub mod space;
pub mod value;
pub mod vector;
pub mod wrappers;
