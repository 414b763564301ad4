//! `pusht bench plan`: instructions per convolution and per plan on every core that QEMU emulates.

use crate::output::{check_file, write_whole};
use crate::regular_file;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Counts instructions of convolutions and plans on QEMU's cores, compared with CMSIS-NN.
///
/// Needs this repository, from which it builds the firmware for each board, and `qemu-system-arm`;
/// without QEMU it says so and measures nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pusht bench plan --board mps2-an386 --json plan.json")]
pub struct Args {
    /// Only these boards [default: all].
    #[arg(long = "board", value_name = "NAME")]
    boards: Vec<String>,
    /// JSON file for the table.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// If the repository is not found, or a board's firmware can't be built or fails.
pub fn run(args: &Args) -> Result<()> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    ensure!(
        repository.join("tests/Cargo.toml").is_file(),
        "the repository that this program was built in is not at {} any more",
        repository.display()
    );
    // The firmware's tools are a separate program, to keep their dependencies apart.
    let mut tool = Command::new("cargo");
    tool.args(["run", "--quiet", "--package", "pusht-tests"])
        .args(["--bin", "bench-plan", "--"]);
    for board in &args.boards {
        tool.args(["--board", board]);
    }
    args.json.as_deref().map_or(Ok(()), check_file)?;
    let table = tempfile::NamedTempFile::new().context("no temporary file")?;
    if args.json.is_some() {
        tool.arg("--json").arg(table.path());
    }
    let status = tool
        .current_dir(repository)
        .status()
        .context("cargo cannot be started")?;
    ensure!(status.success(), "the measurement failed");
    match &args.json {
        Some(path) => write_whole(path, &regular_file::read(table.path())?),
        None => Ok(()),
    }
}
