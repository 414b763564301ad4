//! Builds a binary of the firmware, runs it on a board and shows its log: `cargo firmware --help`.

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use pusht_device::report::{self, Bench};
use pusht_device::{
    BOARDS, Board, Setup, attached, build, firmware_dir, flash_and_run, footprint, outln, run_all,
    run_with, silicon_page, stdout, tests_in, uf2, uf2_family,
};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const YEAR_S: u64 = 365 * 24 * 3600;

/// Builds a binary of the firmware, runs it on a board and shows its log.
///
/// Example: cargo firmware episode --board mps2-an386
#[derive(Debug, Parser)]
#[command(
    name = "cargo firmware",
    after_help = lists(),
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Args {
    #[command(subcommand)]
    command: Option<Action>,
    /// The binary, one of those below. Or `report`: measures a board by several of them; or
    /// `silicon-table`: writes the table of docs/silicon.md. With `--elf` and a file with tests:
    /// part of their names.
    #[arg(required_unless_present = "elf")]
    binary: Option<String>,
    /// The board.
    #[arg(long, default_value = BOARDS[0].name)]
    board: String,
    /// An ELF file already built for the board: a program, or tests, each of which is run in QEMU.
    #[arg(long, value_name = "FILE")]
    elf: Option<PathBuf>,
    /// Of the tests in an ELF file, those that are left out otherwise.
    #[arg(long, requires = "elf")]
    ignored: bool,
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

/// What can be done instead of running.
#[derive(Debug, Subcommand)]
enum Action {
    /// Builds a binary and writes it as a UF2 file, for a board that shows up as a USB drive.
    ///
    /// Example: cargo firmware uf2 controller --board pico2
    Uf2 {
        /// The binary.
        binary: String,
        /// The board: pico or pico2.
        #[arg(long, value_name = "NAME")]
        board: String,
        /// The model file to embed [default: models/pusht.ptm].
        #[arg(long, value_name = "FILE")]
        model: Option<PathBuf>,
        /// The file to write [default: BINARY.uf2 beside the ELF file].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    match stdout::parse() {
        Ok(args) => stdout::exit_code(firmware(&args)),
        Err(code) => code,
    }
}

/// The boards and binaries there are, for `--help`.
fn lists() -> String {
    let mut text = "Boards:\n".to_owned();
    for board in Board::all() {
        let place = match (board.machine, board.chip) {
            (Some(_), Some(_)) => "physical, and in QEMU",
            (_, None) => "in QEMU",
            _ => "physical",
        };
        text += &format!("  {:16} {}, {place}\n", board.name, board.core);
    }
    text += "\nBinaries:\n";
    for (name, purpose) in binaries() {
        text += &format!("  {name:20} {purpose}\n");
    }
    text
}

/// Names of the firmware's binaries and what each is, by the source files.
fn binaries() -> Vec<(String, String)> {
    let folder = firmware_dir().join("src/bin");
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = files
        .filter_map(|file| {
            let name = file.file_name().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(file.path()).ok()?;
            Some((name.strip_suffix(".rs")?.to_owned(), beginning(&text)))
        })
        .collect();
    found.sort();
    found
}

/// The beginning of a file's doc comment, up to a full stop, a colon or a comma.
fn beginning(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let text: Vec<&str> = lines.map(str::trim).collect();
    let text = text.join(" ");
    let ends = [". ", ": ", ", ", "; "].into_iter();
    let end = ends.filter_map(|end| text.find(end)).min();
    let end = end.unwrap_or(text.len());
    text[..end].trim_end_matches('.').to_owned()
}

/// Builds a binary and writes its UF2 file.
fn write_uf2(action: &Action) -> Result<()> {
    let Action::Uf2 {
        binary,
        board,
        model,
        out,
    } = action;
    let board = Board::named(board)?;
    // Before a build of minutes: whether the board takes such files.
    uf2_family(&board)?;
    let elf = build(binary, &board, model.as_deref())?;
    let bytes = std::fs::read(&elf).with_context(|| elf.display().to_string())?;
    let path = out.clone().unwrap_or_else(|| elf.with_extension("uf2"));
    std::fs::write(&path, uf2(&board, &bytes)?).with_context(|| path.display().to_string())?;
    outln!(
        "{}: hold BOOTSEL while the board is plugged in, then copy it to the drive that appears",
        path.display()
    );
    Ok(())
}

fn firmware(args: &Args) -> Result<()> {
    if let Some(action) = &args.command {
        return write_uf2(action);
    }
    let board = Board::named(&args.board)?;
    if let Some(elf) = &args.elf {
        let part = args.binary.as_deref();
        if !tests_in(elf)?.is_empty() {
            let part = part.unwrap_or_default();
            return run_all(&board, elf, part, args.ignored, |line| outln!("{line}"));
        }
        let is_all = part.is_none() && !args.ignored;
        ensure!(is_all, "{}: has no tests to choose from", elf.display());
    }
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
