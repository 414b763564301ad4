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
/// Targets whose sources are those of another one of the list: only the commands are checked again.
const TWINS: [&str; 2] = ["x86_64-apple-darwin", "x86_64-pc-windows-msvc"];
const COMMANDS: &str = "--package pusht-host --bins";
/// What runs on a machine: the commands, the environments, the Python package and the tools behind
/// `cargo web`, with their tests; and apart from them, since its tests would bring in C, the tools
/// behind `cargo firmware` and `cargo verify`.
const EVERYTHING: [&str; 2] = [
    "--package pusht-host --package pusht-gym --package pusht-python --package pusht-web-tool --all-targets",
    "--package pusht-tests --lib --bins",
];
/// The commands with features that bring C, each for a target.
const WITH_C: [(&str, &str); 2] = [
    ("aarch64-apple-darwin", "train"),
    ("x86_64-pc-windows-gnu", "demonstrations"),
];

/// Commands that check them for every target.
pub fn compile() -> Result<Vec<Command>> {
    let mut commands = Vec::new();
    for target in TARGETS {
        let packages: &[&str] = match TWINS.contains(&target) {
            true => &[COMMANDS],
            false => &EVERYTHING,
        };
        for packages in packages {
            let mut check = cargo(&format!("check {packages} --target {target}"));
            // No Python of that machine is looked for.
            check.env("PYO3_NO_PYTHON", "1");
            commands.push(check);
        }
    }
    if cfg!(unix) {
        commands.extend(WITH_C.map(|(target, features)| with_c(target, features)));
    }
    Ok(commands)
}

/// A command that checks the commands with `features`. Nothing is linked, so their C stays
/// uncompiled, by a compiler that does nothing: none of that machine is needed.
fn with_c(target: &str, features: &str) -> Command {
    let mut check = cargo(&format!(
        "check {COMMANDS} --features {features} --target {target}"
    ));
    for tool in ["CC", "CXX", "AR"] {
        check.env(format!("{tool}_{}", target.replace('-', "_")), "true");
    }
    check
}
