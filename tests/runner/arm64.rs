//! The tests of `core` on 64-bit Arm, in QEMU.

use crate::setup;
use crate::steps::{cargo, skipped};
use anyhow::Result;
use pusht_device::arm64::{PACKAGES, are_tools_there, cross};
use std::process::Command;

/// Commands that build the tests for that processor and run them. What they need is installed first
/// if it is missing and we may.
pub fn tests() -> Result<Vec<Command>> {
    if cfg!(target_arch = "aarch64") {
        let why = "this machine is one of 64-bit Arm: the step `tests` had all of it";
        return Ok(vec![skipped(why)]);
    }
    let is_ready = are_tools_there() || setup::install(&PACKAGES) && are_tools_there();
    if !is_ready {
        let why = format!(
            "{}, which are missing and cannot be installed from here",
            PACKAGES.join(", ")
        );
        return Ok(vec![skipped(&why)]);
    }
    let mut test = cargo("test --package pusht-core --lib --tests");
    cross(&mut test).args(["--", "--show-output"]);
    Ok(vec![test])
}
