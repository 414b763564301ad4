//! Other machines than this one: what compiles for them.

use crate::steps::cargo;
use anyhow::Result;
use std::process::Command;

/// Targets of hosts, besides Linux on x86-64.
pub const TARGETS: [&str; 5] = [
    "aarch64-unknown-linux-gnu",
    "aarch64-apple-darwin",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-gnu",
    "x86_64-pc-windows-msvc",
];
/// What runs on them: the commands with their tests, the environments, the Python package, the tools
/// behind `cargo web`, and apart from them, since its tests would bring in C, those behind `cargo
/// firmware` and `cargo verify`.
const PACKAGES: [&str; 2] = [
    "--package pusht-host --package pusht-gym --package pusht-python --package pusht-web-tool --all-targets",
    "--package pusht-tests --lib --bins",
];

/// Commands that check them for every target.
pub fn compile() -> Result<Vec<Command>> {
    let of_target = |target| {
        PACKAGES.map(|packages| {
            let mut check = cargo(&format!("check {packages} --target {target}"));
            // No Python of that machine is looked for.
            check.env("PYO3_NO_PYTHON", "1");
            check
        })
    };
    Ok(TARGETS.map(of_target).into_iter().flatten().collect())
}
