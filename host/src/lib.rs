//! PushT on the host: from demonstrations to a trained, quantised and evaluated policy.
//!
//! In data-flow order: [`expert`] plays, [`collect`] records its episodes, [`data`] reads
//! demonstrations (feature `demonstrations`), the feature `train` trains a float policy,
//! [`policy_file`] stores it, [`engine`] runs it in floats or integers on what [`plan_input`] has
//! checked, [`evaluate`] scores it, [`render`] draws it. Environments and vector environments, as in
//! Gymnasium, are in [`pusht_gym`]. [`cmd`] has one module per command.

// A closed pipe ends the program quietly only where every line goes through [`stdout`].
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod arguments;
pub mod cmd;
pub mod collect;
pub mod console;
pub mod data;
pub mod engine;
pub mod evaluate;
pub mod expert;
pub mod float_engine;
pub mod import;
pub mod info;
mod kill;
pub mod link;
pub mod model_file;
pub mod output;
pub mod plan_input;
mod platform;
pub mod policy_file;
pub mod printable;
pub mod quantize;
pub mod regular_file;
pub mod render;
pub mod shipped;
pub mod stdout;
#[cfg(feature = "train")]
pub mod train;
