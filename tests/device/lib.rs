//! The firmware seen from the host: build it for a board, run it in QEMU, read its log.

mod board;
mod elf;
mod qemu;

pub use board::{BOARDS, Board};
pub use elf::{Footprint, footprint};
pub use qemu::{Log, run};

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The firmware's folder in this repository.
pub fn firmware_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("firmware")
}

/// Builds one binary of the firmware for one board and returns its ELF file.
///
/// # Errors
/// Whatever cargo says; its output goes to standard error.
pub fn build(binary: &str, board: &Board) -> Result<PathBuf> {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--no-default-features"])
        .args(["--bin", binary])
        .args(["--features", &format!("board-{}", board.name)])
        .args(["--target", board.target])
        .args(["--target-dir", &format!("target/{}", board.name)])
        .current_dir(firmware_dir())
        .status()
        .context("cargo cannot be started")?;
    ensure!(
        status.success(),
        "firmware binary {binary} does not build for {}",
        board.name
    );
    Ok(firmware_dir()
        .join("target")
        .join(board.name)
        .join(board.target)
        .join("release")
        .join(binary))
}
