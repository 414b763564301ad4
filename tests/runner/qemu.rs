//! QEMU: installed and, on Debian 12, the newer one of its backports unpacked beside it.

use crate::setup;
use crate::steps::{repository, skipped};
use anyhow::{Context, Result};
use pusht_device::{WANTED, qemu_version, unpacked_qemu_dir};
use std::process::{Command, Stdio};

const PACKAGE: &str = "qemu-system-arm";
const BY_HAND: &str =
    "qemu-system-arm is missing and cannot be installed from here; install it with
      Debian, Ubuntu   sudo apt-get install qemu-system-arm
      Fedora           sudo dnf install qemu-system-arm
      Arch             sudo pacman -S qemu-system-arm
      macOS            brew install qemu";
const TOO_OLD: &str = "the tests of b-l475e-iot01a and netduinoplus2: this system's QEMU is older than 9.1; \
                       https://www.qemu.org/download has a newer one";

/// Commands that install QEMU if it is missing or, where we may, too old for some boards.
pub fn install() -> Result<Vec<Command>> {
    if qemu_version() >= Some(WANTED) {
        return Ok(Vec::new());
    }
    let mut commands = Vec::new();
    if qemu_version().is_none() {
        commands.extend(setup::apt_get_install(&[PACKAGE]).context(BY_HAND)?);
    }
    if is_debian_12() {
        commands.push(from_backports());
    } else if qemu_version().is_some() {
        commands.push(skipped(TOO_OLD));
    }
    Ok(commands)
}

fn is_debian_12() -> bool {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    release.contains("VERSION_CODENAME=bookworm") && release.contains("\nID=debian")
}

/// The command that unpacks the backport; it needs no root.
fn from_backports() -> Command {
    let mut sh = Command::new("sh");
    sh.arg(repository().join("tests/runner/qemu_backport.sh"))
        .arg(unpacked_qemu_dir())
        .stdin(Stdio::null());
    sh
}
