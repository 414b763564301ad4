//! Gymnasium's environments, spaces, wrappers and vector environments, with PushT as one of the
//! environments.
//!
//! In the order of the data: [`value`] and [`space`] are what goes in and out; [`mod@env`] is one
//! environment, [`pusht`] the one of this repository, [`wrappers`] change an environment's
//! behaviour; [`batch_space`] makes one value of many, [`vector`] runs several environments as one.
//! [`batch`] steps many PushT environments as one array, without [`value::Value`]s in between: the
//! fastest way. [`snapshot`] turns an environment's exact state into bytes and back.
//!
//! The feature `render` adds pictures: PushT's `render` and `RecordVideo`.
//!
//! Worker processes run the caller's own program, which calls [`vector::run_if_worker`] first in
//! `main`. Unix only.

#![deny(missing_debug_implementations)]

mod array;
pub mod batch;
pub mod batch_space;
pub mod env;
pub mod pixels;
pub mod pusht;
#[cfg(feature = "render")]
pub mod scene;
pub mod snapshot;
pub mod space;
pub mod value;
pub mod vector;
pub mod wrappers;
