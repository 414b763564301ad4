//! Programs for Linux on 64-bit Arm, on a host of another kind: Debian's cross linker, and QEMU,
//! which runs a single program.

use crate::program::version_of;
use std::process::{Command, Stdio};

/// The compiler's name of the target.
pub const TARGET: &str = "aarch64-unknown-linux-gnu";
/// QEMU's program.
const QEMU: &str = "qemu-aarch64";
/// Debian's packages of both, and of the C library.
pub const PACKAGES: [&str; 3] = [
    "qemu-user",
    "gcc-aarch64-linux-gnu",
    "libc6-dev-arm64-cross",
];
const LINKER: &str = "aarch64-linux-gnu-gcc";
/// Where Debian has that machine's C library.
const LIBRARIES: &str = "/usr/aarch64-linux-gnu";

/// Whether programs can be linked and run.
pub fn are_tools_there() -> bool {
    let mut linker = Command::new(LINKER);
    linker.arg("--version").stdin(Stdio::null());
    linker.output().is_ok_and(|output| output.status.success()) && qemu_version().is_some()
}

/// QEMU's version, major and minor; `None` if it cannot be started.
pub fn qemu_version() -> Option<(u32, u32)> {
    version_of(Command::new(QEMU))
}

/// Tells a cargo command with which programs it links and runs others.
pub fn cross(cargo: &mut Command) -> &mut Command {
    cargo
        .args(["--target", TARGET])
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", QEMU)
        .env("QEMU_LD_PREFIX", LIBRARIES)
}

/// QEMU, to be given a program and its arguments.
pub fn qemu() -> Command {
    let mut qemu = Command::new(QEMU);
    qemu.env("QEMU_LD_PREFIX", LIBRARIES);
    qemu
}
