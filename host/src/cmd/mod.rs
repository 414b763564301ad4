//! One module a command: its arguments and what it does with them.

pub mod bench;
pub mod collect;
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
