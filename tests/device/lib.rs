//! The firmware from the host: builds it for a board, runs it in QEMU, reads its log.

mod board;
mod elf;
mod qemu;

pub use board::{BOARDS, Board, MICROBIT, Runner, SILICON};
pub use elf::{Footprint, Symbols, demangled, footprint};
pub use qemu::{Log, Setup, is_qemu_there, run, run_beside, run_with};

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The folder of the firmware in this repository.
pub fn firmware_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("firmware")
}

/// Boards with the same target share a build folder, so that one binary is built at a time and
/// copied to a folder of the board.
static BUILDING: Mutex<()> = Mutex::new(());

/// Builds one binary of the firmware for one board, with a model file (the shipped one if `model`
/// is `None`), and returns the path of the ELF file.
///
/// # Errors
/// If the model file does not exist or cargo fails; the output of cargo goes to standard error.
pub fn build(binary: &str, board: &Board, model: Option<&Path>) -> Result<PathBuf> {
    build_with(binary, board, &[], model)
}

/// As [`build`], with further features of the firmware.
///
/// # Errors
/// As [`build`].
pub fn build_with(
    binary: &str,
    board: &Board,
    features: &[&str],
    model: Option<&Path>,
) -> Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    if let Some(model) = model {
        let path = model.canonicalize();
        let path = path.with_context(|| model.display().to_string())?;
        cargo.env("PUSHT_MODEL", path);
    }
    let _guard = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let status = cargo
        .args(["build", "--quiet", "--release", "--no-default-features"])
        .args(["--bin", binary])
        .args([
            "--features",
            &format!("board-{},{}", board.name, features.join(",")),
        ])
        .args(["--target", board.target])
        .current_dir(firmware_dir())
        .status()
        .context("cargo cannot be started")?;
    ensure!(
        status.success(),
        "firmware binary {binary} does not build for {}",
        board.name
    );
    let target = firmware_dir().join("target");
    let built = target.join(board.target).join("release").join(binary);
    let folder = target.join(board.name);
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let elf = folder.join(binary);
    std::fs::copy(&built, &elf).with_context(|| built.display().to_string())?;
    Ok(elf)
}
