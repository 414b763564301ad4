//! Where QEMU is, and which version.

use crate::target_dir;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// QEMU's program for Arm.
const QEMU: &str = "qemu-system-arm";
/// The first version whose `b-l475e-iot01a` has a UART (QEMU's change log, 9.1). The other boards
/// need 7.2, except `netduinoplus2`, which was tried with 10 only.
pub const WANTED: (u32, u32) = (9, 1);

/// The folder into which `cargo verify qemu-install` unpacks QEMU where the system's is older than
/// [`WANTED`] (Debian 12).
pub fn unpacked_qemu_dir() -> PathBuf {
    target_dir().join("verify/qemu")
}

/// QEMU's program: the unpacked one if it is there, otherwise the system's.
pub fn qemu_program() -> PathBuf {
    let unpacked = unpacked_qemu_dir().join("usr/bin").join(QEMU);
    if unpacked.is_file() {
        return unpacked;
    }
    QEMU.into()
}

/// The version of [`qemu_program`], major and minor; `None` if it cannot be started.
pub fn qemu_version() -> Option<(u32, u32)> {
    version_of(Command::new(qemu_program()))
}

/// The version of a program of QEMU, major and minor; `None` if it cannot be started.
pub(crate) fn version_of(mut qemu: Command) -> Option<(u32, u32)> {
    let output = qemu.arg("--version").stdin(Stdio::null()).output().ok()?;
    version_in(&String::from_utf8_lossy(&output.stdout))
}

/// Whether QEMU can be started.
pub fn is_qemu_there() -> bool {
    qemu_version().is_some()
}

/// Major and minor version in `QEMU emulator version 10.0.2 (...)`.
fn version_in(line: &str) -> Option<(u32, u32)> {
    let (_, version) = line.split_once(" version ")?;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_what_qemu_prints() {
        let debian = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright";
        assert_eq!(version_in(debian), Some((7, 2)));
        assert_eq!(version_in("qemu-aarch64 version 10.0.2"), Some((10, 0)));
        assert!(Some((9, 0)) < Some(WANTED) && version_in("QEMU") < Some(WANTED));
    }
}
