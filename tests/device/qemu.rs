//! Runs an ELF file in QEMU and decodes the `defmt` log that it writes through semihosting.

use crate::{Board, Port, Runner, Symbols, qemu_program};
use anyhow::{Context, Result, bail};
use defmt_decoder::{DecodeError, Frame, Table};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Log and exit code of a run.
#[derive(Clone, Debug)]
pub struct Log {
    /// The log, one line per message.
    pub lines: Vec<String>,
    /// The exit code of the firmware; 0 is success, `None` if it was still running.
    pub exit_code: Option<i32>,
}

impl Log {
    /// The value of the last `name=value` in the log.
    ///
    /// # Errors
    /// If the name does not occur; the message shows the log.
    pub fn value(&self, name: &str) -> Result<&str> {
        self.lines
            .iter()
            .rev()
            .flat_map(|line| line.split_whitespace())
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            .with_context(|| format!("no {name}= in the log:\n{}", self.lines.join("\n")))
    }
}

/// How QEMU runs a board.
#[derive(Debug)]
pub struct Setup {
    /// QEMU's `-icount`: an instruction takes 2^shift ns of virtual time. `None` means real time.
    pub icount: Option<&'static str>,
    /// The TCP port of this machine that UART 0 is connected to.
    pub serial: Option<Port>,
}

impl Setup {
    /// Counts instructions: 64 ns of virtual time each.
    pub const COUNTING: Self = Self {
        icount: Some("shift=6"),
        serial: None,
    };

    /// 8 ns per instruction: a core at 125 MHz that executes one instruction per cycle. A sleeping
    /// core is woken immediately (`sleep=off`).
    pub const AT_125_MHZ: Self = Self {
        icount: Some("shift=3,sleep=off"),
        serial: None,
    };

    /// The usual setup of a binary; `serial_port` is used by the one that serves a host.
    ///
    /// # Errors
    /// If another program has the port.
    pub fn of(binary: &str, serial_port: u16) -> Result<Self> {
        Ok(match binary {
            "controller" => Self::serving(Port::open(serial_port)?),
            "realtime" | "realtime-late" => Self::AT_125_MHZ,
            _ => Self::COUNTING,
        })
    }

    /// Real time, with UART 0 at a TCP port.
    pub fn serving(port: Port) -> Self {
        Self {
            icount: None,
            serial: Some(port),
        }
    }
}

/// Runs `elf` on `board` until it exits; `on_line` gets each line of the log immediately.
///
/// An instruction takes 2^6 ns of virtual time, so that the firmware can count instructions.
///
/// # Errors
/// If QEMU is missing, the log cannot be decoded, or the run does not end within `limit`.
pub fn run(board: &Board, elf: &Path, limit: Duration, on_line: impl FnMut(&str)) -> Result<Log> {
    run_with(&Setup::COUNTING, board, elf, limit, on_line)
}

/// As [`run`], with another setup of QEMU.
///
/// # Errors
/// Those of [`run`].
pub fn run_with(
    setup: &Setup,
    board: &Board,
    elf: &Path,
    limit: Duration,
    on_line: impl FnMut(&str),
) -> Result<Log> {
    let mut qemu = Qemu::start(setup, board, elf)?;
    let output = qemu.output()?;
    let lines = read_log(elf, &output, limit, on_line)?;
    let exit_code = qemu.0.wait()?.code();
    Ok(Log { lines, exit_code })
}

/// Runs `elf` on `board` while `beside` runs, which can talk to it over its UART. Returns the
/// result of `beside` and the log.
///
/// # Errors
/// Those of [`run`] and those of `beside`.
pub fn run_beside<R>(
    setup: &Setup,
    board: &Board,
    elf: &Path,
    limit: Duration,
    beside: impl FnOnce() -> Result<R>,
) -> Result<(R, Log)> {
    let mut qemu = Qemu::start(setup, board, elf)?;
    let output = qemu.output()?;
    std::thread::scope(|scope| {
        let log = scope.spawn(move || read_log(elf, &output, limit, |_| ()));
        let result = beside();
        let exit_code = match qemu.0.try_wait()? {
            Some(status) => status.code(),
            None => None,
        };
        drop(qemu);
        let lines = match log.join() {
            Ok(lines) => lines?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let result = result.with_context(|| format!("the log:\n{}", lines.join("\n")))?;
        Ok((result, Log { lines, exit_code }))
    })
}

/// Decodes the log until it ends.
fn read_log(
    elf: &Path,
    output: &Receiver<Vec<u8>>,
    limit: Duration,
    mut on_line: impl FnMut(&str),
) -> Result<Vec<String>> {
    let bytes = std::fs::read(elf).with_context(|| elf.display().to_string())?;
    let table = Table::parse(&bytes)?
        .with_context(|| format!("{} holds no defmt messages", elf.display()))?;
    let (symbols, places) = (Symbols::of(&bytes)?, table.get_locations(&bytes)?);
    let mut decoder = table.new_stream_decoder();
    let mut lines: Vec<String> = Vec::new();
    let end = Instant::now() + limit;
    loop {
        match output.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(chunk) => decoder.received(&chunk),
            Err(RecvTimeoutError::Disconnected) => return Ok(lines),
            Err(RecvTimeoutError::Timeout) => bail!(
                "no end after {} s; the log so far:\n{}",
                limit.as_secs(),
                lines.join("\n")
            ),
        }
        loop {
            match decoder.decode() {
                Ok(frame) => {
                    let mut line = symbols.named(&line_of(&frame));
                    let is_error = frame.level().is_some_and(|level| level.as_str() == "error");
                    if is_error && let Some(place) = places.get(&frame.index()) {
                        line += &format!(" [{}:{}]", place.file.display(), place.line);
                    }
                    on_line(&line);
                    lines.push(line);
                }
                Err(DecodeError::UnexpectedEof) => break,
                // A fault within a message truncates it; the decoder finds the next one.
                Err(DecodeError::Malformed) if table.encoding().can_recover() => {
                    let line = "error a message was cut off".to_owned();
                    on_line(&line);
                    lines.push(line);
                }
                Err(DecodeError::Malformed) => bail!("the log of {} is malformed", elf.display()),
            }
        }
    }
}

fn line_of(frame: &Frame<'_>) -> String {
    let level = frame.level().map_or("", |level| level.as_str());
    format!("{level:5} {}", frame.display_message())
}

/// A running QEMU process, killed on drop.
struct Qemu(Child);

impl Qemu {
    fn start(setup: &Setup, board: &Board, elf: &Path) -> Result<Self> {
        let Runner::Qemu(machine) = board.runner else {
            bail!("QEMU has no {}", board.name);
        };
        let mut command = Command::new(qemu_program());
        command
            .args(["-machine", machine])
            .args([
                "-nographic",
                "-monitor",
                "none",
                "-audiodev",
                "none,id=none",
            ])
            .args(["-semihosting-config", "enable=on,target=native"]);
        if let Some(icount) = setup.icount {
            command.args(["-icount", icount]);
        }
        let serial = match &setup.serial {
            Some(port) => {
                port.serve()?;
                port.serial()?
            }
            None => "none".to_owned(),
        };
        command
            .args(["-serial", &serial])
            .arg("-kernel")
            .arg(elf)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map(Self)
            .context("qemu-system-arm cannot be started; `cargo verify qemu` installs it")
    }

    /// Standard output in chunks, read by a thread so that a silent run can time out.
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
        // Usually it has already exited.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
