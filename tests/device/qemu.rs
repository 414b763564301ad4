//! Runs an ELF file in QEMU. The log comes by semihosting, or from RTT's buffer on a board that
//! exists.

use crate::gdb::{self, Gdb};
use crate::l475_flash::{Flash, PowerCuts};
use crate::log::{Log, read_log};
use crate::{B_L475E_IOT01A, Board, MICROBIT, NETDUINOPLUS2, Port, nudge, qemu_program, rtt};
use anyhow::{Context, Result};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How QEMU runs a board.
#[derive(Debug)]
pub struct Setup {
    /// QEMU's `-icount`: an instruction takes 2^shift ns of virtual time. `None` means real time.
    pub icount: Option<&'static str>,
    /// The TCP port of this machine that UART 0 is connected to.
    pub serial: Option<Port>,
    /// Semihosting arguments of the program.
    pub arguments: Vec<String>,
    /// Cuts of the power while the flash of the STM32L475 is written.
    pub power_cuts: Option<PowerCuts>,
}

impl Setup {
    /// Counts instructions: 64 ns of virtual time each.
    pub const COUNTING: Self = Self {
        icount: Some("shift=6"),
        serial: None,
        arguments: Vec::new(),
        power_cuts: None,
    };

    /// 8 ns per instruction: a core at 125 MHz that executes one instruction per cycle. A sleeping
    /// core is woken immediately (`sleep=off`).
    pub const AT_125_MHZ: Self = Self {
        icount: Some("shift=3,sleep=off"),
        serial: None,
        arguments: Vec::new(),
        power_cuts: None,
    };

    /// 16 ns per instruction: the STM32L475's core at 80 MHz with 1.28 cycles per instruction.
    pub const AT_80_MHZ: Self = Self {
        icount: Some("shift=4,sleep=off"),
        serial: None,
        arguments: Vec::new(),
        power_cuts: None,
    };

    /// The usual setup of a binary; `serial_port` is used by the one that serves a host.
    ///
    /// # Errors
    /// If another program has the port.
    pub fn of(binary: &str, board: &Board, serial_port: u16) -> Result<Self> {
        Ok(match binary {
            "controller" => Self::serving(Port::open(serial_port)?),
            "realtime" | "realtime-late" if *board == B_L475E_IOT01A => Self::AT_80_MHZ,
            "realtime" | "realtime-late" => Self::AT_125_MHZ,
            _ => Self::COUNTING,
        })
    }

    /// Real time, with UART 0 at a TCP port.
    pub fn serving(port: Port) -> Self {
        Self {
            icount: None,
            serial: Some(port),
            arguments: Vec::new(),
            power_cuts: None,
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
    let output = qemu.log(setup, board, elf)?;
    let mut log = read_log(elf, &output, limit, on_line)?;
    // A physical board logs its exit code and runs on.
    if log.exit_code.is_none() {
        log.exit_code = qemu.0.wait()?.code();
    }
    Ok(log)
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
    let output = qemu.log(setup, board, elf)?;
    std::thread::scope(|scope| {
        let log = scope.spawn(move || read_log(elf, &output, limit, |_| ()));
        let result = beside();
        let exit_code = match qemu.0.try_wait()? {
            Some(status) => status.code(),
            None => None,
        };
        drop(qemu);
        let mut log = match log.join() {
            Ok(log) => log?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        log.exit_code = log.exit_code.or(exit_code);
        let result = result.with_context(|| format!("the log:\n{}", log.lines.join("\n")))?;
        Ok((result, log))
    })
}

/// The log and the end of boards that only QEMU has, and of tests.
const SEMIHOSTING: &str = "enable=on,target=native";

/// A running QEMU process, killed on drop.
pub(crate) struct Qemu(pub(crate) Child);

impl Qemu {
    fn start(setup: &Setup, board: &Board, elf: &Path) -> Result<Self> {
        let machine = board
            .machine
            .with_context(|| format!("QEMU has no {}", board.name))?;
        let mut command = Command::new(qemu_program());
        command
            .args(["-machine", machine, "-nographic", "-monitor", "none"])
            .args(["-audiodev", "none,id=none"]);
        let stdin = match board.chip {
            Some(_) => {
                command.args(gdb::QEMU_ARGS);
                Stdio::piped()
            }
            None => Stdio::null(),
        };
        if board.chip.is_none() || !setup.arguments.is_empty() {
            let arguments = setup.arguments.iter().map(|word| format!(",arg={word}"));
            let config = SEMIHOSTING.to_owned() + &arguments.collect::<String>();
            command.args(["-semihosting-config", &config]);
        }
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
        if *board == NETDUINOPLUS2 {
            // Its serial port is the sixth USART of the chip.
            command.args(["-serial", "null"].repeat(5));
        }
        command.args(["-serial", &serial]);
        if *board == B_L475E_IOT01A && setup.serial.is_some() {
            command.args(["-serial", &nudge::serial()?]);
        }
        command
            .arg("-kernel")
            .arg(elf)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .spawn()
            .map(Self)
            .context("qemu-system-arm cannot be started; `cargo verify qemu` installs it")
    }

    /// The bytes of the log, until QEMU ends.
    fn log(&mut self, setup: &Setup, board: &Board, elf: &Path) -> Result<Receiver<Vec<u8>>> {
        let output = self.output()?;
        if board.chip.is_none() {
            return Ok(output);
        }
        let input = self.0.stdin.take().context("input already taken")?;
        let has_flash = *board == B_L475E_IOT01A;
        let flash = has_flash.then(|| Flash::new(setup.power_cuts.clone()));
        let has_small_buffer = *board == MICROBIT;
        rtt::follow(Gdb::new(input, output), elf, flash, has_small_buffer)
    }

    /// Standard output in chunks, read by a thread so that a silent run can time out.
    pub(crate) fn output(&mut self) -> Result<Receiver<Vec<u8>>> {
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
