//! The Python package: its wheel for this machine, its tests, and its checks for other machines.

use crate::setup;
use crate::steps::{cargo, repository};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

const PYTHON_BY_HAND: &str =
    "a Python from 3.10 on with its module venv is missing; install it with
      Debian, Ubuntu   sudo apt-get install python3-venv
      Fedora           sudo dnf install python3
      Arch             sudo pacman -S python
      macOS            brew install python";

/// Folder of the virtual environment.
fn environment() -> PathBuf {
    repository().join("target/verify/python")
}

/// Command that makes the virtual environment; one that is there is left as it is.
///
/// # Errors
/// If there is no Python to make it with.
pub fn make_environment() -> Result<Command> {
    let python = python().context(PYTHON_BY_HAND)?;
    let mut venv = Command::new(python);
    venv.args(["-m", "venv"]).arg(environment());
    Ok(venv)
}

/// A program of the virtual environment.
pub fn installed(name: &str, words: &[&str]) -> Command {
    let folder = if cfg!(windows) { "Scripts" } else { "bin" };
    let mut command = Command::new(environment().join(folder).join(name));
    command
        .args(words)
        .current_dir(repository())
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        // Pictures are compared without a window.
        .env("SDL_VIDEODRIVER", "dummy");
    command
}

/// Commands that install the wheel in a virtual environment of its own, and test it there.
pub fn tests() -> Result<Vec<Command>> {
    let pytest = installed(
        "pytest",
        &["tests/python", "--ignore", "tests/python/clients"],
    );
    Ok(vec![
        cargo("build --release"),
        make_environment()?,
        installed(
            "pip",
            &["install", "--requirement", "tests/python/requirements.txt"],
        ),
        // The build tool of pyproject.toml is downloaded by pip.
        installed(
            "pip",
            &["install", "--force-reinstall", "--no-deps", "./host/python"],
        ),
        installed("mypy", &["--config-file", "host/python/pyproject.toml"]),
        installed(
            "python",
            &[
                "-m",
                "mypy.stubtest",
                "pusht._pusht",
                "--ignore-disjoint-bases",
            ],
        ),
        pytest,
    ])
}

/// A Python that is new enough and makes virtual environments.
fn python() -> Option<&'static str> {
    const CHECK: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";
    let known = [
        "python3",
        "python3.13",
        "python3.12",
        "python3.11",
        "python3.10",
        "python",
    ];
    known
        .into_iter()
        .find(|python| setup::runs(python, &["-c", CHECK]))
}
