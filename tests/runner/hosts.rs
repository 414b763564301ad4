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
/// Targets whose sources are those of another one of the list: their tests are not checked again.
const TWINS: [&str; 2] = ["x86_64-apple-darwin", "x86_64-pc-windows-msvc"];
/// What runs on them: the commands, the environments, the Python package, the tools behind `cargo
/// web`, with their tests.
const PACKAGES: &str =
    "--package pusht-host --package pusht-gym --package pusht-python --package pusht-web-tool";
/// The tools behind `cargo firmware` and `cargo verify`: apart from them, since its tests would bring
/// in C.
const TOOLS: &str = "--package pusht-tests --lib --bins";

/// Commands that check them for every target.
pub fn compile() -> Result<Vec<Command>> {
    let of_target = |target| {
        let what = if TWINS.contains(&target) {
            "--lib --bins"
        } else {
            "--all-targets"
        };
        [format!("{PACKAGES} {what}"), TOOLS.to_owned()].map(|packages| {
            let mut check = cargo(&format!("check {packages} --target {target}"));
            // No Python of that machine is looked for.
            check.env("PYO3_NO_PYTHON", "1");
            check
        })
    };
    Ok(TARGETS.map(of_target).into_iter().flatten().collect())
}
