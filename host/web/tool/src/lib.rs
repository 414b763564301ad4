//! The browser page as a folder: built, and served on this machine alone.

mod build;
mod digests;
mod serve;

pub use build::{SIMD, TARGET, build, target_dir};
pub use serve::Server;
