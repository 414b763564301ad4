//! What every binary of the firmware shares: the board, the end of a run, and two gauges.
//!
//! A binary is one behaviour. It logs through `defmt`, and leaves through [`exit`] with a code
//! that the shell sees when QEMU runs it.
#![no_std]

#[cfg(feature = "silicon")]
use defmt_rtt as _;
#[cfg(feature = "qemu")]
use defmt_semihosting as _;

pub mod board;
pub mod counter;
pub mod exit;
pub mod expected;
pub mod fault;
pub mod image;
pub mod products;
pub mod realtime;
pub mod stack;
pub mod telemetry;
pub mod timed;
