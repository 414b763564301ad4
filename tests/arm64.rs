//! Instructions of a plan on 64-bit Arm, counted in QEMU, against what is committed in `budgets.rs`.
//!
//!     cargo test -p pusht-tests --test arm64 -- --ignored --show-output
//!
//! QEMU loads `arm64/count.c`, which is called for each block of instructions that the program
//! `arm64/plans.rs` executes. Two runs differ by one round of plans.

#[allow(dead_code, reason = "other budgets")]
mod budgets;

use pusht_core::quant::BATCH;
use pusht_device::arm64::{TARGET, cross, qemu, qemu_version};
use pusht_device::target_dir;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
#[ignore = "needs QEMU's qemu-aarch64, a cross linker and a C compiler (docs/testing.md)"]
fn a_plan_takes_no_more_instructions_than_are_committed() {
    let program = build();
    let plugin = compile_plugin();
    let mut are_within = true;
    for (model, budgets) in budgets::ARM64_PLAN_INSTRUCTIONS.into_iter().enumerate() {
        for (batching, budget) in ["alone", "together"].into_iter().zip(budgets) {
            let count = |n_rounds| count(&plugin, &program, model, batching, n_rounds);
            let per_plan = (count(2) - count(1)) / BATCH as u64;
            println!("model {model}, {batching}: {per_plan} instructions, budget {budget}");
            are_within &= per_plan <= budget;
        }
    }
    assert!(are_within, "more than tests/budgets.rs allows");
}

/// The program, in a release build.
fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--quiet", "--release", "--package", "pusht-core"])
        .args(["--example", "plans"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    assert!(cross(&mut cargo).status().unwrap().success());
    target_dir().join(TARGET).join("release/examples/plans")
}

/// The plugin, for this machine.
fn compile_plugin() -> PathBuf {
    let version = if qemu_version().unwrap() < (9, 0) {
        1
    } else {
        2
    };
    let plugin = target_dir().join(TARGET).join("count.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/arm64/count.c");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-O2", source, "-o"])
        .arg(&plugin)
        .arg(format!("-DPLUGIN_VERSION={version}"));
    assert!(compiler.status().unwrap().success());
    plugin
}

/// Instructions of the whole program.
fn count(plugin: &Path, program: &Path, model: usize, batching: &str, n_rounds: u32) -> u64 {
    let output = qemu()
        .arg("-plugin")
        .args([plugin, program])
        .args([&model.to_string(), batching, &n_rounds.to_string()])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let count = text.trim_end().strip_suffix(" instructions");
    let count = count.and_then(|count| count.parse().ok());
    count.unwrap_or_else(|| panic!("{}: {text}", output.status))
}
