//! What looks for undefined behaviour and for counterexamples: Miri, and the solver z3.

use crate::setup;
use crate::steps::{cargo, repository, skipped};
use anyhow::Result;
use std::process::Command;

/// The compiler that Miri belongs to. A later one can replace it whenever the step passes with it.
const NIGHTLY: &str = "nightly-2026-05-20";

/// Package, what is tested of it, and words in the names of its tests that are interpreted: all of
/// `unsafe` code, and the link. Other tests have no unsafe code of ours below them, or take hours.
const INTERPRETED: [(&str, &str, &[&str]); 3] = [
    (
        "--package pusht-core --features link",
        "--lib",
        &[
            "link::",
            "control::",
            "digest::",
            "quant::arch",
            "quant::kernels::linear",
            "physics::side_by_side",
        ],
    ),
    (
        "--package pusht-core --features link",
        "--test small_cases",
        &[],
    ),
    (
        "--package pusht-gym",
        "--lib",
        &["shared_memory", "shared_slice"],
    ),
];

/// Commands that interpret small tests with Miri, which is installed first if it is missing.
pub fn miri() -> Result<Vec<Command>> {
    let is_there = || setup::runs("rustup", &["run", NIGHTLY, "cargo", "miri", "--version"]);
    let install = ["toolchain", "install", NIGHTLY, "--profile", "minimal"];
    let install = [&install[..], &["--component", "miri,rust-src"]].concat();
    if !is_there() && !setup::runs("rustup", &install) {
        let why = format!("Miri of {NIGHTLY}, which rustup can't install here");
        return Ok(vec![skipped(&why)]);
    }
    Ok(INTERPRETED
        .map(|(package, tests, words)| {
            let mut miri = Command::new("rustup");
            miri.args(["run", NIGHTLY, "cargo", "miri", "test"])
                // Any machine can interpret this one's instructions.
                .args(["--target", "x86_64-unknown-linux-gnu"])
                .args(package.split(' '))
                .args(tests.split(' '))
                .arg("--")
                .args(words)
                .current_dir(repository())
                .env("RUSTFLAGS", "-C target-feature=+avx2")
                // Temporary files, and the number of cores; tests leak what has to live for ever.
                .env("MIRIFLAGS", "-Zmiri-disable-isolation -Zmiri-ignore-leaks");
            miri
        })
        .into())
}

/// Commands that install the solver if it is missing and we may.
pub fn install_solver() -> Result<Vec<Command>> {
    if setup::runs("z3", &["--version"]) {
        return Ok(Vec::new());
    }
    let why = "the proofs by the solver z3, which is missing and cannot be installed from here";
    Ok(setup::apt_get_install(&["z3"]).unwrap_or_else(|| vec![skipped(why)]))
}

/// Commands that try every input of routines that have many.
pub fn sweeps() -> Result<Vec<Command>> {
    Ok(vec![cargo(
        "test --release --package pusht-core --lib -- for_every_number --ignored --show-output",
    )])
}
