//! PushT and its diffusion policy, from the control tick to the action, without an allocator.
//!
//! ```text
//!  env: observe --> receding_horizon: window(To) --> Planner: normalise, [U-Net, scheduler step] x N --> chunk(Ta)
//!   ^                                                                                                     |
//!   +-- coverage, reward <-- physics step x 10 <-- PD control <-- one goal position a control tick <------+
//! ```
#![no_std]
// Tests compare with the platform's functions; the crate itself keeps to those of `clippy.toml`.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

#[cfg(feature = "platform-math")]
extern crate std;

pub mod digest;
pub mod env;
pub mod episode;
pub mod error;
pub mod geometry;
#[cfg(feature = "link")]
pub mod link;
mod math;
pub mod noise;
pub mod observation;
pub mod physics;
pub mod pipeline;
pub mod policy;
pub mod quant;
pub mod real_time;
pub mod receding_horizon;
pub mod scheduler;
pub mod seeding;
pub mod selftest;
pub mod unet;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub use error::Error;
