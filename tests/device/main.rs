//! Builds a binary of the firmware, runs it on a board and shows its log: `cargo firmware --help`.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use pusht_device::{BOARDS, Board, Runner, Setup, build, footprint, outln, run_with, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

const YEAR_S: u64 = 365 * 24 * 3600;

/// Builds a binary of the firmware, runs it on a board and shows its log.
///
/// Example: cargo firmware episode --board mps2-an386
#[derive(Parser)]
#[command(name = "cargo firmware")]
struct Args {
    /// The binary: a file of firmware/src/bin.
    #[arg(required_unless_present = "elf")]
    binary: Option<String>,
    /// The board.
    #[arg(long, default_value = BOARDS[0].name)]
    board: String,
    /// An ELF file already built for the board.
    #[arg(long, conflicts_with = "binary")]
    elf: Option<PathBuf>,
    /// The model file to embed [default: models/pusht.ptm].
    #[arg(long, value_name = "FILE", conflicts_with = "elf")]
    model: Option<PathBuf>,
    /// The TCP port at which QEMU serves the UART of the board, for `controller`.
    #[arg(long, value_name = "PORT", default_value_t = 4321)]
    tcp: u16,
    /// Seconds after which a run is aborted.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=YEAR_S))]
    limit_s: u64,
}

fn main() -> ExitCode {
    match stdout::parse() {
        Ok(args) => stdout::exit_code(firmware(&args)),
        Err(code) => code,
    }
}

fn firmware(args: &Args) -> Result<()> {
    let board = Board::named(&args.board)?;
    let elf = match (&args.elf, &args.binary) {
        (Some(elf), _) => elf.clone(),
        (None, Some(binary)) => build(binary, &board, args.model.as_deref())?,
        (None, None) => unreachable!("clap demands one of the two"),
    };
    let size = footprint(&elf)?;
    outln!(
        "{} ({}): {} KiB of flash, {} KiB of RAM without stack",
        board.name,
        board.core,
        size.flash_bytes.div_ceil(1024),
        size.ram_bytes.div_ceil(1024),
    );
    if let Runner::ProbeRs(chip) = board.runner {
        return flash_and_show(chip, &elf);
    }
    let name = elf.file_stem().unwrap_or_default().to_string_lossy();
    let setup = Setup::of(&name, args.tcp)?;
    let mut limit_s = args.limit_s;
    if let Some(port) = &setup.serial {
        let port = port.address()?.port();
        outln!("UART 0 is at port {port}: pusht link --tcp localhost:{port} [--describe]");
        // `controller` serves for ever.
        limit_s = YEAR_S;
    }
    let limit = Duration::from_secs(limit_s);
    let log = run_with(&setup, &board, &elf, limit, |line| outln!("{line}"))?;
    ensure!(log.exit_code == Some(0), "the firmware ended with failure");
    Ok(())
}

/// Flashes the chip with `probe-rs run` and shows the log until the firmware ends.
fn flash_and_show(chip: &str, elf: &Path) -> Result<()> {
    let status = Command::new("probe-rs")
        .args(["run", "--chip", chip])
        .arg(elf)
        .status()
        .context("probe-rs cannot be started; https://probe.rs says how to install it")?;
    ensure!(status.success(), "probe-rs: {status}");
    Ok(())
}
