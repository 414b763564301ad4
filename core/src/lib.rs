//! A runtime for low-dimensional diffusion policies on microcontrollers, and PushT, its first task;
//! without an allocator.
//!
//! ```text
//!  task: observe --> control: window [To][Do] --> policy: normalise, [U-Net, scheduler step] x N,
//!   ^                                             |       unnormalise --> chunk [Ta][Da]
//!   |                                             |                         |
//!   +--- step <--- one action [Da] per tick <--- control: queue <-----------+
//! ```
//!
//! Modules, in the order of the data. Dependencies point from the task down, never up:
//!
//! - [`pusht`] (feature `pusht`, on by default): the task. Environment, physics, observations, and
//!   the closed loop in [`pusht::rollout`].
//! - [`control`]: when a policy plans, and which action is due: [`control::Planner`],
//!   [`control::RecedingHorizon`], [`control::pipeline`] for real time.
//! - `link` (feature `link`): the same over a wire, with the policy on a device.
//! - `slots` (feature `slots`): model files that a host sends over the link, in flash.
//! - [`policy`]: the float policy, by the names of diffusers and diffusion_policy. The reference of
//! - [`quant`]: the same policy in integers, from a model file: [`quant::Model`],
//!   [`quant::IntPolicy`].
//! - [`noise`], [`digest`]: what all of them use.
//!
//! Features: `pusht` and `link` as above; `defmt` formats public types for a device's log; `dsp` and
//! `mve` allow the instructions of Armv8-M cores that have them; `platform-math` takes sine and
//! cosine from the C library, for pymunk's bits on x86-64.
//!
//! A policy of one's own, on the host or a device: see [`quant::IntPolicy`].
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
mod names;
pub mod noise;
pub mod policy;
#[cfg(feature = "pusht")]
pub mod pusht;
pub mod quant;
#[cfg(feature = "slots")]
pub mod slots;

pub use error::Error;
