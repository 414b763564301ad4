//! Builds a binary of the firmware, runs it on a board and shows its log: `cargo firmware --help`.

use anyhow::{Result, ensure};
use clap::Parser;
use pusht_device::report::{self, Bench};
use pusht_device::{
    BOARDS, Board, Setup, attached, build, flash_and_run, footprint, outln, run_with, silicon_page,
    stdout,
};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const YEAR_S: u64 = 365 * 24 * 3600;

/// Builds a binary of the firmware, runs it on a board and shows its log.
///
/// Example: cargo firmware episode --board mps2-an386
#[derive(Parser)]
#[command(name = "cargo firmware")]
struct Args {
    /// The binary: a file of firmware/src/bin. Or `report`: measures a board by several of them; or
    /// `silicon-table`: writes the table of docs/silicon.md.
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
    /// Flash and run a physical board through its debug probe: the default where the board is one.
    #[arg(long, conflicts_with = "qemu")]
    probe: bool,
    /// Run a physical board's image in QEMU, if that has the board.
    #[arg(long)]
    qemu: bool,
    /// The serial port of a physical board, for `report`.
    #[arg(long, value_name = "PATH", default_value = "/dev/ttyACM0")]
    port: PathBuf,
    /// The file of `report` [default: report-BOARD.json].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
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
    match args.binary.as_deref() {
        Some("report") => return measure(args, &board),
        Some("silicon-table") => return write_table(),
        _ => {}
    }
    let uses_probe = args.probe || board.chip.is_some() && !args.qemu;
    if uses_probe {
        // Before the build, which takes minutes.
        attached()?;
    }
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
    let name = elf.file_stem().unwrap_or_default().to_string_lossy();
    let mut limit_s = args.limit_s;
    if name == "controller" {
        // It serves for ever.
        limit_s = YEAR_S;
    }
    let limit = Duration::from_secs(limit_s);
    let on_line = |line: &str| outln!("{line}");
    let log = if uses_probe {
        flash_and_run(&board, &elf, limit, on_line)?
    } else {
        let setup = Setup::of(&name, &board, args.tcp)?;
        show_port(&setup)?;
        run_with(&setup, &board, &elf, limit, on_line)?
    };
    ensure!(log.exit_code == Some(0), "the firmware ended with failure");
    Ok(())
}

/// Shows how to reach the board's UART, if it is served.
fn show_port(setup: &Setup) -> Result<()> {
    if let Some(port) = &setup.serial {
        let port = port.address()?.port();
        outln!("UART 0 is at port {port}: pusht link --tcp localhost:{port} [--describe]");
    }
    Ok(())
}

/// Measures a board and writes the report.
fn measure(args: &Args, board: &Board) -> Result<()> {
    let bench = match args.qemu {
        true => Bench::Qemu,
        false => Bench::Probe(args.port.clone()),
    };
    let report = report::report(board, &bench, |line| outln!("{line}"))?;
    let path = (args.out.clone()).unwrap_or_else(|| format!("report-{}.json", board.name).into());
    report::write(&report, &path)?;
    outln!("written: {}", path.display());
    Ok(())
}

fn write_table() -> Result<()> {
    let path = silicon_page::path();
    std::fs::write(&path, silicon_page::page()?)?;
    outln!("written: {}", path.display());
    Ok(())
}
