//! The tests of `core`, the environments and the commands on 64-bit Arm, in QEMU.

use crate::setup;
use crate::steps::{cargo, skipped};
use anyhow::Result;
use pusht_device::arm64::{PACKAGES, are_tools_there, cross};
use std::process::Command;

const CORE_AND_ENVIRONMENTS: &str = "--package pusht-core --package pusht-gym --lib --tests";

/// Commands that run the tests of `core` and of the environments.
pub fn tests() -> Result<Vec<Command>> {
    commands(&[CORE_AND_ENVIRONMENTS])
}

/// Commands that run those of the commands, too.
pub fn all() -> Result<Vec<Command>> {
    commands(&[
        CORE_AND_ENVIRONMENTS,
        "--package pusht-host --lib --tests --no-fail-fast",
    ])
}

/// Commands that build tests for that processor and run them. What they need is installed first if
/// it is missing and we may.
fn commands(packages: &[&str]) -> Result<Vec<Command>> {
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
    let test = |packages: &&str| {
        let mut test = cargo(&format!("test {packages}"));
        // In QEMU a program that cannot be started seems to start.
        let left_out = ["--skip", "bench_vector_says_what_is_wrong"];
        cross(&mut test)
            .args(["--", "--show-output"])
            .args(left_out);
        test
    };
    Ok(packages.iter().map(test).collect())
}
