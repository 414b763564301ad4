//! Runs an ELF file in QEMU and decodes the `defmt` log that it writes by semihosting.

use crate::Board;
use anyhow::{Context, Result, bail};
use defmt_decoder::{DecodeError, Frame, Table};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What a run said, and how it ended.
#[derive(Clone, Debug)]
pub struct Log {
    /// The log, a line a message.
    pub lines: Vec<String>,
    /// The exit code that the firmware chose; 0 is success.
    pub exit_code: Option<i32>,
}

impl Log {
    /// The value of the last `name=value` in the log.
    ///
    /// # Errors
    /// The name does not occur; the message shows the log.
    pub fn value(&self, name: &str) -> Result<&str> {
        self.lines
            .iter()
            .rev()
            .flat_map(|line| line.split_whitespace())
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            .with_context(|| format!("no {name}= in the log:\n{}", self.lines.join("\n")))
    }
}

/// Runs `elf` on `board` until it exits; `on_line` sees each line of the log as it comes.
///
/// QEMU executes one instruction in 2^6 ns of its own time, so that the firmware can count them.
///
/// # Errors
/// QEMU is missing, the log cannot be decoded, or nothing ends within `limit`.
pub fn run(
    board: &Board,
    elf: &Path,
    limit: Duration,
    mut on_line: impl FnMut(&str),
) -> Result<Log> {
    let bytes = std::fs::read(elf).with_context(|| elf.display().to_string())?;
    let table = Table::parse(&bytes)?
        .with_context(|| format!("{} holds no defmt messages", elf.display()))?;
    let mut qemu = Qemu::start(board, elf)?;
    let output = qemu.output()?;
    let mut decoder = table.new_stream_decoder();
    let mut lines = Vec::new();
    let end = Instant::now() + limit;
    loop {
        match output.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(chunk) => decoder.received(&chunk),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => bail!(
                "no end after {} s; the log so far:\n{}",
                limit.as_secs(),
                lines.join("\n")
            ),
        }
        loop {
            match decoder.decode() {
                Ok(frame) => {
                    lines.push(line_of(&frame));
                    on_line(&lines[lines.len() - 1]);
                }
                Err(DecodeError::UnexpectedEof) => break,
                Err(DecodeError::Malformed) => bail!("the log of {} is malformed", elf.display()),
            }
        }
    }
    let exit_code = qemu.0.wait()?.code();
    Ok(Log { lines, exit_code })
}

fn line_of(frame: &Frame<'_>) -> String {
    let level = frame.level().map_or("", |level| level.as_str());
    format!("{level:5} {}", frame.display_message())
}

/// A running QEMU; it ends with the value.
struct Qemu(Child);

impl Qemu {
    fn start(board: &Board, elf: &Path) -> Result<Self> {
        Command::new("qemu-system-arm")
            .args(["-machine", board.qemu_machine])
            .args(["-nographic", "-monitor", "none", "-serial", "none"])
            .args(["-semihosting-config", "enable=on,target=native"])
            .args(["-icount", "shift=6"])
            .arg("-kernel")
            .arg(elf)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map(Self)
            .context("qemu-system-arm cannot be started; `cargo verify qemu` installs it")
    }

    /// Standard output in pieces as it comes, read by a thread so that a silent run can be given up.
    fn output(&mut self) -> Result<Receiver<Vec<u8>>> {
        let mut stdout = self.0.stdout.take().context("output already taken")?;
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Ok(receiver)
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // It has most often ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
