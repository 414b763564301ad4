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

pub mod control;
#[cfg(target_arch = "x86_64")]
mod cpu;
pub mod digest;
pub mod error;
#[cfg(feature = "link")]
pub mod link;
pub mod noise;
pub mod policy;
#[cfg(feature = "pusht")]
pub mod pusht;
pub mod quant;

pub use error::Error;
