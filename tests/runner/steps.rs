//! The steps of `cargo verify`, in order.

use crate::step::Step;
use crate::{arm64, browser, clients, hosts, proofs, python, qemu, setup, supply};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's root.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// Every step of a whole run.
pub fn all() -> Vec<Step> {
    vec![
        Step {
            name: "targets",
            purpose: "the compiler's targets, installed where they are missing",
            commands: setup::install_targets,
        },
        Step {
            name: "qemu-install",
            purpose: "QEMU, installed if it is missing and we may, and a newer one on Debian 12",
            commands: qemu::install,
        },
        Step {
            name: "solver-install",
            purpose: "the solver z3, installed if it is missing and we may",
            commands: proofs::install_solver,
        },
        Step {
            name: "browser-install",
            purpose: "Chromium and its driver, installed if they are missing and we may",
            commands: browser::install,
        },
        Step {
            name: "format",
            purpose: "the source as rustfmt writes it",
            commands: || {
                Ok(vec![
                    cargo("fmt --all --check"),
                    firmware("fmt --check"),
                    fuzz_workspace("fmt --check"),
                ])
            },
        },
        Step {
            name: "lints",
            purpose: "clippy without a warning, the firmware's and the fuzz targets' too",
            commands: || {
                let mut commands = vec![
                    cargo(
                        "clippy --workspace --features pusht-host/train --all-targets -- -D warnings",
                    ),
                    // The main build is without features, and its environments alone without pictures.
                    cargo("clippy --package pusht-host --all-targets -- -D warnings"),
                    cargo("clippy --package pusht-gym --all-targets -- -D warnings"),
                    // Here are functions that differ between machines, and clippy.toml keeps them out.
                    cargo("clippy --package pusht-core --features platform-math -- -D warnings"),
                    firmware("clippy --release -- -D warnings"),
                    firmware(
                        "clippy --release --no-default-features --features board-b-l475e-iot01a -- -D warnings",
                    ),
                    firmware(
                        "clippy --release --no-default-features --features board-netduinoplus2 -- -D warnings",
                    ),
                ];
                if setup::runs("c++", &["--version"]) {
                    commands.push(fuzz_workspace(
                        "clippy --release --all-targets -- -D warnings",
                    ));
                }
                Ok(commands)
            },
        },
        Step {
            name: "docs",
            purpose: "documentation without a broken link",
            commands: || {
                let mut doc = cargo("doc --workspace --no-deps");
                doc.env("RUSTDOCFLAGS", "-D warnings");
                Ok(vec![doc])
            },
        },
        Step {
            name: "tests",
            purpose: "the tests of core, host, training and the golden data",
            commands: || {
                Ok(vec![cargo(
                    "test --workspace --features pusht-host/train --no-fail-fast -- --show-output",
                )])
            },
        },
        Step {
            name: "pymunk-bits",
            purpose: "the simulator with the platform's sine, bit for bit pymunk's",
            commands: || {
                Ok(vec![cargo(
                    "test --package pusht-tests --features platform-math --test physics --test demonstrations -- --show-output",
                )])
            },
        },
        Step {
            name: "release",
            purpose: "the main build, a test of its commands, and core's tests in it: every input, the proofs",
            commands: || {
                Ok(vec![
                    cargo("build --release"),
                    // The commands without features.
                    cargo(
                        "test --release --package pusht-host --test cli_rollout -- --show-output",
                    ),
                    cargo("test --release --package pusht-core -- --show-output"),
                ])
            },
        },
        Step {
            name: "miri",
            purpose: "unsafe code and the link, interpreted by Miri, which is installed if missing",
            commands: proofs::miri,
        },
        Step {
            name: "python",
            purpose: "the Python package in a virtual environment, against gym-pusht and Gymnasium",
            commands: python::tests,
        },
        Step {
            name: "other-machines",
            purpose: "commands, tools and the Python package compile for macOS, Windows and Linux on Arm",
            commands: hosts::compile,
        },
        Step {
            name: "supply",
            purpose: "licences and sources of every dependency, in every workspace",
            commands: supply::rules,
        },
        Step {
            name: "packages",
            purpose: "core, gym and host as packages of crates.io, built from what is in them",
            commands: || Ok(vec![supply::packages()]),
        },
        Step {
            name: "interfaces",
            purpose: "the packages' interfaces against the last release, by cargo-semver-checks",
            commands: supply::interfaces,
        },
        Step {
            name: "no-std",
            purpose: "core compiles where there is no operating system",
            commands: || {
                Ok(["wasm32-unknown-unknown", "thumbv6m-none-eabi"]
                    .map(|target| cargo(&format!("check --package pusht-core --target {target}")))
                    .into())
            },
        },
        Step {
            name: "any-task",
            purpose: "the policy runtime without PushT, and firmware of one's own for another task",
            commands: any_task,
        },
        Step {
            name: "wasm",
            purpose: "WebAssembly against the host, bit for bit, debug and release",
            commands: || {
                Ok(vec![cargo(
                    "test --package pusht-tests --test wasm -- --include-ignored --show-output",
                )])
            },
        },
        Step {
            name: "arm64",
            purpose: "core and the environments on 64-bit Arm in QEMU: tests, kernels, every digest",
            commands: arm64::tests,
        },
        Step {
            name: "web",
            purpose: "the browser page in Chromium against the host, and a device behind it",
            commands: || {
                // One browser at a time: each has threads of its own.
                Ok(vec![cargo(
                    "test --package pusht-tests --test web -- --include-ignored --show-output --test-threads=1",
                )])
            },
        },
        Step {
            name: "fuzz",
            purpose: "every fuzz target for some seconds, from its corpus",
            commands: fuzz,
        },
        Step {
            name: "qemu",
            purpose: "the firmware in QEMU against the host, bit for bit",
            commands: || {
                // More threads than cores: one builds while others wait for QEMU or for a UART in
                // real time.
                Ok(vec![cargo(
                    "test --package pusht-tests --test qemu -- --include-ignored --show-output --test-threads=4",
                )])
            },
        },
    ]
}

/// Steps that run only when they are named.
pub fn by_hand() -> Vec<Step> {
    vec![
        Step {
            name: "figures",
            purpose: "writes docs/figures.md and its picture (only when named)",
            commands: || {
                Ok(vec![cargo(
                    "test --package pusht-tests --test figures -- --ignored",
                )])
            },
        },
        Step {
            name: "robustness",
            purpose: "measures and writes docs/robustness.md (only when named; an hour)",
            commands: || {
                Ok(vec![
                    cargo(
                        "run --release --package pusht-host -- bench robustness --json tests/robustness/rows.json",
                    ),
                    cargo("test --package pusht-tests --test robustness -- --ignored"),
                ])
            },
        },
        Step {
            name: "licences",
            purpose: "writes docs/licences.md (only when named)",
            commands: || {
                Ok(vec![cargo(
                    "test --package pusht-tests --test supply -- --ignored",
                )])
            },
        },
        Step {
            name: "arm64-all",
            purpose: "the commands' tests on 64-bit Arm in QEMU, too (only when named; long)",
            commands: arm64::all,
        },
        Step {
            name: "minimal-versions",
            purpose: "the packages with the oldest versions they allow (only when named)",
            commands: supply::minimal_versions,
        },
        Step {
            name: "sweeps",
            purpose: "every input of what has more than the release step tries (only when named)",
            commands: proofs::sweeps,
        },
        Step {
            name: "clients",
            purpose: "other projects' programs on the Python package (only when named; 10 GB)",
            commands: clients::commands,
        },
    ]
}

/// Commands that check core without its feature `pusht`, and everything that a policy of another
/// task runs in.
fn any_task() -> Result<Vec<Command>> {
    const ALONE: &str = "--package pusht-core --no-default-features --features link";
    let own_policy = |words: &str| {
        let mut command = cargo(words);
        command.current_dir(pusht_device::firmware_dir().join("examples/own-policy"));
        command
    };
    let mut commands = vec![
        cargo(&format!("clippy {ALONE} --all-targets -- -D warnings")),
        cargo(&format!("test {ALONE} -- --show-output")),
    ];
    commands.extend(
        ["thumbv6m-none-eabi", "thumbv7em-none-eabihf"]
            .map(|target| cargo(&format!("build {ALONE} --target {target}"))),
    );
    commands.extend([
        own_policy("fmt --check"),
        own_policy("clippy --release -- -D warnings"),
        cargo("test --package pusht-tests --test fetch -- --include-ignored --show-output"),
    ]);
    Ok(commands)
}

/// Commands that build the fuzz targets and run each from its corpus. What they find is added to
/// `verify/corpus` in the target folder, inputs that fail are written to `verify`.
fn fuzz() -> Result<Vec<Command>> {
    if !setup::runs("c++", &["--version"]) {
        return Ok(vec![skipped(
            "no C++ compiler (c++), which libFuzzer is built with",
        )]);
    }
    let mut targets = Vec::new();
    for entry in std::fs::read_dir(repository().join("tests/fuzz/fuzz_targets"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        targets.extend(name.strip_suffix(".rs").map(str::to_owned));
    }
    targets.sort();
    let verify = pusht_device::target_dir().join("verify/");
    let mut commands = vec![fuzz_workspace("build --release")];
    for target in targets {
        let found = verify.join("corpus").join(&target);
        std::fs::create_dir_all(&found)?;
        let mut run = fuzz_workspace("run --release --bin");
        run.arg(&target)
            .args([
                "--",
                "-max_total_time=4",
                "-timeout=10",
                "-rss_limit_mb=2048",
            ])
            .arg(format!("-artifact_prefix={}", verify.display()))
            .arg(found)
            .arg(Path::new("corpus").join(target));
        commands.push(run);
    }
    Ok(commands)
}

/// A command that says why the others of its step are left out.
pub fn skipped(reason: &str) -> Command {
    let mut skip = if cfg!(windows) {
        let mut shell = Command::new("cmd");
        shell.args(["/c", "echo"]);
        shell
    } else {
        Command::new("echo")
    };
    skip.arg(format!("skipped: {reason}"));
    skip
}

/// A cargo command at the root of the repository.
pub fn cargo(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(words.split_whitespace())
        .current_dir(repository());
    command
}

/// A cargo command in the workspace of the firmware.
fn firmware(words: &str) -> Command {
    let mut command = cargo(words);
    command.current_dir(pusht_device::firmware_dir());
    command
}

/// A cargo command in the workspace of the fuzz targets.
fn fuzz_workspace(words: &str) -> Command {
    let mut command = cargo(words);
    command.current_dir(repository().join("tests/fuzz"));
    command
}
