//! Flashes a physical board and shows its log, through probe-rs.

use crate::log::in_time_column;
use crate::{Board, Log};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The message by which a board ends its run.
const END: &str = "exit_code=";

/// Options of `probe-rs run`: faults and restarts are the firmware's own affair, which it logs. By
/// default probe-rs would end at the first of either.
const OPTIONS: [&str; 4] = [
    "--no-catch-hardfault",
    "--no-catch-reset",
    "--log-format",
    "{t} {L:5} {s}",
];

const MISSING: &str = "probe-rs cannot be started; install it with `cargo install probe-rs-tools \
                       --locked`, or as https://probe.rs says";
/// The message of `controller` when a host may come.
const WAITING: &str = "waiting for a host";

/// A running probe-rs, killed on drop.
struct Probe {
    child: Child,
    output: Receiver<String>,
    limit: Duration,
    end: Instant,
}

/// probe-rs, and a debug probe that it has found.
#[derive(Clone, Debug)]
pub struct Attached {
    /// What `probe-rs --version` prints.
    pub version: String,
    /// What `probe-rs list` says of the first.
    pub probe: String,
}

/// The attached debug probe.
///
/// # Errors
/// If probe-rs is missing, or finds none.
pub fn attached() -> Result<Attached> {
    let version = said(&["--version"])?;
    let list = said(&["list"])?;
    Ok(Attached {
        version: version.trim().to_owned(),
        probe: first_probe(&list).context(
            "no debug probe is attached (`probe-rs list`); --qemu runs a board that QEMU has",
        )?,
    })
}

/// The name in `[0]: STLINK-V2-1 -- 0483:374b:0671FF (ST-LINK)`.
fn first_probe(list: &str) -> Option<String> {
    list.lines().find_map(|line| {
        let (number, name) = line.split_once("]: ")?;
        number.starts_with('[').then(|| name.to_owned())
    })
}

/// Standard output of `probe-rs`.
fn said(words: &[&str]) -> Result<String> {
    let output = Command::new("probe-rs").args(words).output();
    Ok(String::from_utf8_lossy(&output.context(MISSING)?.stdout).into_owned())
}

/// Flashes `elf` and runs it until it logs its exit code; `on_line` gets each line of the log.
///
/// # Errors
/// If the board is not a physical one, probe-rs is missing or fails (it has said why), or the run
/// does not end within `limit`.
pub fn flash_and_run(
    board: &Board,
    elf: &Path,
    limit: Duration,
    mut on_line: impl FnMut(&str),
) -> Result<Log> {
    let mut probe = Probe::start(board, elf, limit)?;
    let mut lines = Vec::new();
    loop {
        let line = probe.line()?;
        let (time, line) = timed(&line);
        if let Some(exit_code) = exit_code(line) {
            let exit_code = Some(exit_code);
            return Ok(Log { lines, exit_code });
        }
        on_line(&in_time_column(time, line));
        lines.push(line.to_owned());
    }
}

/// Flashes `controller`, and runs `beside` as soon as it waits for a host.
///
/// # Errors
/// Those of [`flash_and_run`] and those of `beside`.
pub(crate) fn flash_and_run_beside<R>(
    board: &Board,
    elf: &Path,
    limit: Duration,
    beside: impl FnOnce() -> Result<R>,
) -> Result<R> {
    let mut probe = Probe::start(board, elf, limit)?;
    while !probe.line()?.contains(WAITING) {}
    beside()
}

/// The time in front of a line of the log, and the line. What probe-rs itself says has none.
fn timed(line: &str) -> (&str, &str) {
    match line.split_once(' ') {
        Some((time, rest)) if time.parse::<f64>().is_ok() => (time, rest),
        _ => ("", line),
    }
}

fn exit_code(line: &str) -> Option<i32> {
    line.trim().strip_prefix(END)?.parse().ok()
}

impl Probe {
    fn start(board: &Board, elf: &Path, limit: Duration) -> Result<Self> {
        let chip = board
            .chip
            .with_context(|| format!("{} is no physical board: QEMU alone has it", board.name))?;
        attached()?;
        let mut child = Command::new("probe-rs")
            .args(["run", "--chip", chip])
            .args(OPTIONS)
            .arg(elf)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context(MISSING)?;
        let stdout = child.stdout.take().context("output already taken")?;
        let (sender, output) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            child,
            output,
            limit,
            end: Instant::now() + limit,
        })
    }

    /// The next line of the log.
    fn line(&mut self) -> Result<String> {
        let left = self.end.saturating_duration_since(Instant::now());
        match self.output.recv_timeout(left) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Disconnected) => bail!("probe-rs: {}", self.child.wait()?),
            Err(RecvTimeoutError::Timeout) => bail!("no end after {} s", self.limit.as_secs()),
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // A board that has ended its run sleeps; probe-rs would watch it for ever.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_time_of_a_line_is_no_part_of_it() {
    assert_eq!(timed("0.012345 info  a=1"), ("0.012345", "info  a=1"));
    assert_eq!(timed("1.5       exit_code=0"), ("1.5", "      exit_code=0"));
    assert_eq!(timed("WARN probe_rs: slow"), ("", "WARN probe_rs: slow"));
}

#[test]
fn the_end_of_a_run_is_the_line_with_its_exit_code() {
    assert_eq!(exit_code("      exit_code=0"), Some(0));
    assert_eq!(exit_code("info  exit_code=0"), None);
    assert_eq!(exit_code("info  stack_bytes=1024"), None);
}
