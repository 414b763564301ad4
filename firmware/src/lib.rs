//! Code shared by the binaries of the firmware: board support, fault handling, measurements, and
//! the values that the host expects.
//!
//! Each binary does one thing. It logs through `defmt` and ends through [`exit`] with a code that
//! `cargo firmware` passes on. `firmware/README.md` says how to run, wire and add a board.
#![no_std]

#[cfg(feature = "silicon")]
use defmt_rtt as _;
#[cfg(feature = "qemu")]
use defmt_semihosting as _;

pub mod board;
pub mod closed_loop;
pub mod counter;
pub mod disturbances;
pub mod exit;
pub mod expected;
pub mod fault;
pub mod image;
pub mod kernels;
pub mod model_source;
pub mod policy;
pub mod products;
pub mod realtime;
#[cfg(feature = "silicon")]
pub mod rtt;
pub mod stack;
pub mod telemetry;
pub mod timed;
