//! Tools that a fresh machine lacks: installed where possible, otherwise named in an error.

use crate::hosts;
use anyhow::{Context, Result, bail, ensure};
use pusht_device::BOARDS;
use std::collections::BTreeSet;
use std::process::{Command, Stdio};

/// Commands that install the missing targets of the compiler.
pub fn install_targets() -> Result<Vec<Command>> {
    let wanted: BTreeSet<&str> = BOARDS
        .iter()
        .map(|board| board.target)
        .chain(["wasm32-unknown-unknown", "thumbv6m-none-eabi"])
        .chain(hosts::TARGETS)
        .collect();
    let sysroot = output_of(Command::new("rustc").args(["--print", "sysroot"]))?;
    let folder = std::path::Path::new(sysroot.trim()).join("lib/rustlib");
    let missing: Vec<&str> = wanted
        .into_iter()
        .filter(|target| !folder.join(target).join("lib").is_dir())
        .collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    ensure!(
        runs("rustup", &["--version"]),
        "install rustup (https://rustup.rs), or add to your compiler the targets {}",
        missing.join(", ")
    );
    let mut add = Command::new("rustup");
    add.args(["target", "add"]).args(missing);
    Ok(vec![add])
}

/// Commands that install packages of Debian's; nothing where there is no `apt-get`, or no right to
/// use it.
pub fn apt_get_install(packages: &[&str]) -> Option<Vec<Command>> {
    let is_root = output_of(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    let may = runs("apt-get", &["--version"])
        && (is_root || runs("sudo", &["--non-interactive", "true"]));
    let apt_get = |words: &[&str]| {
        let mut command = Command::new(if is_root { "apt-get" } else { "sudo" });
        if !is_root {
            command.args(["--non-interactive", "apt-get"]);
        }
        command.args(words).stdin(Stdio::null());
        command
    };
    may.then(|| {
        vec![
            apt_get(&["update"]),
            apt_get(&[&["install", "--yes", "--no-install-recommends"], packages].concat()),
        ]
    })
}

/// Installs packages of Debian's where we may; whether that succeeded.
pub fn install(packages: &[&str]) -> bool {
    let commands = apt_get_install(packages);
    commands.is_some_and(|mut all| all.iter_mut().all(|command| output_of(command).is_ok()))
}

/// Whether `program` exists and exits successfully.
pub fn runs(program: &str, words: &[&str]) -> bool {
    output_of(Command::new(program).args(words)).is_ok()
}

/// Standard output of a command.
///
/// # Errors
/// If it cannot be started or fails.
pub fn output_of(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{command:?} cannot be started"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
