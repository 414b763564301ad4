//! Commands, one module per command: arguments and execution.

pub mod bench;
pub mod collect;
pub mod compare;
pub mod demo;
pub mod eval;
pub mod import;
pub mod info;
pub mod link;
pub mod predict;
pub mod quantize;
pub mod render;
pub mod replay;
pub mod rollout;
#[cfg(feature = "train")]
pub mod train;
