//! A client of QEMU's debugger stub (`-gdb stdio`): the part of GDB's [remote serial
//! protocol](https://sourceware.org/gdb/current/onlinedocs/gdb.html/Remote-Protocol.html) that
//! reads and writes registers and memory, and stops at breakpoints and before accesses.

use anyhow::{Context, Result, bail, ensure};
use std::io::Write;
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// QEMU's arguments: the stub at its standard input and output, and a core that waits for it.
pub const QEMU_ARGS: [&str; 3] = ["-gdb", "stdio", "-S"];
/// Most bytes of one request: QEMU's longest has 4,096 characters.
const MOST_WRITTEN: usize = 1024;
/// Longest time until QEMU answers, on a busy machine.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// Numbers of registers in the protocol.
pub const SP: usize = 13;
/// The link register.
pub const LR: usize = 14;
/// The program counter.
pub const PC: usize = 15;
/// The program status register.
pub const XPSR: usize = 25;

/// Why a core has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its time was over.
    Time,
    /// It is at a breakpoint.
    Breakpoint,
    /// It is before an instruction that accesses watched memory.
    Access,
}

/// Accesses to memory that is watched, by their number in the protocol.
#[derive(Clone, Copy, Debug)]
pub enum Watched {
    /// Those that write.
    Writes = 2,
    /// Those that read.
    Reads = 3,
    /// Both.
    All = 4,
}

/// A connection to a stopped core.
pub struct Gdb {
    to_qemu: ChildStdin,
    from_qemu: Receiver<Vec<u8>>,
    unread: Vec<u8>,
}

impl Gdb {
    /// Connects to the stub of a QEMU that was started with [`QEMU_ARGS`].
    pub fn new(to_qemu: ChildStdin, from_qemu: Receiver<Vec<u8>>) -> Self {
        let unread = Vec::new();
        Self {
            to_qemu,
            from_qemu,
            unread,
        }
    }

    /// The registers r0 to r15.
    ///
    /// # Errors
    /// If QEMU has ended.
    pub fn registers(&mut self) -> Result<[u32; 16]> {
        let bytes = from_hex(&self.ask("g")?)?;
        ensure!(bytes.len() >= 64, "registers of {} bytes", bytes.len());
        let mut registers = [0; 16];
        for (register, word) in registers.iter_mut().zip(bytes.chunks_exact(4)) {
            *register = u32::from_le_bytes(word.try_into()?);
        }
        Ok(registers)
    }

    /// One register.
    ///
    /// # Errors
    /// If QEMU has ended.
    pub fn register(&mut self, number: usize) -> Result<u32> {
        let bytes = from_hex(&self.ask(&format!("p{number:x}"))?)?;
        let word = bytes.get(..4).context("no such register")?;
        Ok(u32::from_le_bytes(word.try_into()?))
    }

    /// Lets registers be set: QEMU allows it to clients that have read their description.
    ///
    /// # Errors
    /// If QEMU has ended.
    pub fn read_description(&mut self) -> Result<()> {
        self.ask("qXfer:features:read:target.xml:0,fff").map(drop)
    }

    /// Sets one register, after [`read_description`](Self::read_description).
    ///
    /// # Errors
    /// If QEMU has ended.
    pub fn set_register(&mut self, number: usize, value: u32) -> Result<()> {
        self.expect_ok(&format!("P{number:x}={}", to_hex(&value.to_le_bytes())))
    }

    /// The words from `address` on.
    ///
    /// # Errors
    /// As [`memory`](Self::memory).
    pub fn words<const N: usize>(&mut self, address: u32) -> Result<[u32; N]> {
        let bytes = self.memory(address, 4 * N)?;
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_le_bytes(bytes.try_into()?);
        }
        Ok(words)
    }

    /// Memory from `address` on.
    ///
    /// # Errors
    /// If there is no memory, or QEMU has ended.
    pub fn memory(&mut self, address: u32, len: usize) -> Result<Vec<u8>> {
        let answer = self.ask(&format!("m{address:x},{len:x}"))?;
        let bytes = from_hex(&answer).with_context(|| format!("memory at {address:#010x}"))?;
        ensure!(bytes.len() == len, "no memory at {address:#010x}");
        Ok(bytes)
    }

    /// Writes memory, flash too.
    ///
    /// # Errors
    /// If there is no memory, or QEMU has ended.
    pub fn write(&mut self, address: u32, bytes: &[u8]) -> Result<()> {
        for (bytes, address) in bytes
            .chunks(MOST_WRITTEN)
            .zip((address..).step_by(MOST_WRITTEN))
        {
            let len = bytes.len();
            self.expect_ok(&format!("M{address:x},{len:x}:{}", to_hex(bytes)))?;
        }
        Ok(())
    }

    /// Stops before the instruction at `address` from now on.
    ///
    /// # Errors
    /// If QEMU has ended.
    pub fn break_at(&mut self, address: u32) -> Result<()> {
        self.expect_ok(&format!("Z1,{address:x},2"))
    }

    /// Stops before each instruction that accesses the `len` bytes at `address` from now on.
    ///
    /// # Errors
    /// If QEMU has ended.
    pub fn watch(&mut self, which: Watched, address: u32, len: u32) -> Result<()> {
        self.expect_ok(&format!("Z{},{address:x},{len:x}", which as u8))
    }

    /// Stops there no longer.
    ///
    /// # Errors
    /// If it is not watched, or QEMU has ended.
    pub fn unwatch(&mut self, which: Watched, address: u32, len: u32) -> Result<()> {
        self.expect_ok(&format!("z{},{address:x},{len:x}", which as u8))
    }

    /// Restarts the machine, as its reset button does: RAM and flash keep what they hold, except that
    /// QEMU loads the image once more.
    ///
    /// # Errors
    /// If QEMU has ended.
    pub fn reset(&mut self) -> Result<()> {
        self.expect_ok(&format!("qRcmd,{}", to_hex(b"system_reset")))
    }

    /// Executes one instruction, a breakpoint's too.
    ///
    /// # Errors
    /// If QEMU has ended.
    pub fn step(&mut self) -> Result<()> {
        self.ask("s").map(drop)
    }

    /// Runs until it stops by itself, or for `time`.
    ///
    /// # Errors
    /// If QEMU has ended.
    pub fn run_for(&mut self, time: Duration) -> Result<Stop> {
        self.send("c")?;
        let answer = match self.answer(time)? {
            Some(answer) => answer,
            None => {
                // Control-C. A stop may come before it: the answer says which it was.
                self.to_qemu.write_all(&[3])?;
                self.answer(ANSWER_LIMIT)?.context("QEMU does not stop")?
            }
        };
        Ok(reason(&answer))
    }

    fn expect_ok(&mut self, request: &str) -> Result<()> {
        match self.ask(request)?.as_str() {
            "OK" => Ok(()),
            answer => bail!("{request}: {answer:?}"),
        }
    }

    /// Sends a request and returns the answer.
    fn ask(&mut self, request: &str) -> Result<String> {
        self.send(request)?;
        let answer = self.answer(ANSWER_LIMIT)?;
        answer.with_context(|| format!("QEMU does not answer {request}"))
    }

    /// Sends `$request#sum`.
    fn send(&mut self, request: &str) -> Result<()> {
        let sum = request.bytes().fold(0_u8, u8::wrapping_add);
        write!(self.to_qemu, "${request}#{sum:02x}")?;
        Ok(self.to_qemu.flush()?)
    }

    /// The next answer, acknowledged; `None` if none comes within `limit`.
    fn answer(&mut self, limit: Duration) -> Result<Option<String>> {
        loop {
            if let Some(answer) = take_packet(&mut self.unread) {
                self.to_qemu.write_all(b"+")?;
                return Ok(Some(answer));
            }
            match self.from_qemu.recv_timeout(limit) {
                Ok(bytes) => self.unread.extend(bytes),
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => bail!("QEMU has ended"),
            }
        }
    }
}

/// What the answer to a run says: signal 5 is a stop by itself, and has the kind of access in it.
fn reason(answer: &str) -> Stop {
    match answer.strip_prefix("T05") {
        Some(what) if what.contains("watch:") => Stop::Access,
        Some(_) => Stop::Breakpoint,
        None => Stop::Time,
    }
}

/// Takes the first whole packet (`$...#xx`) and what is before it: acknowledgements.
fn take_packet(bytes: &mut Vec<u8>) -> Option<String> {
    let start = bytes.iter().position(|byte| *byte == b'$')?;
    let len = bytes[start..].iter().position(|byte| *byte == b'#')?;
    let end = start + len + 3;
    if bytes.len() < end {
        return None;
    }
    let packet = String::from_utf8_lossy(&bytes[start + 1..start + len]).into_owned();
    bytes.drain(..end);
    Some(packet)
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Result<Vec<u8>> {
    // An error is `E` and two digits.
    ensure!(text.len().is_multiple_of(2), "the stub answers {text:?}");
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?))
        .collect::<Result<_>>()
        .with_context(|| format!("the stub answers {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_says_why() {
        for (answer, stop) in [
            ("T05thread:p01.01;awatch:40022000;", Stop::Access),
            ("T05thread:p01.01;", Stop::Breakpoint),
            ("T02thread:p01.01;", Stop::Time),
        ] {
            assert_eq!(reason(answer), stop);
        }
    }

    #[test]
    fn packets_are_taken_whole_and_in_order() {
        let mut bytes = b"++$OK#9a+$T05thread:01;#0".to_vec();
        assert_eq!(take_packet(&mut bytes).as_deref(), Some("OK"));
        assert_eq!(take_packet(&mut bytes), None);
        bytes.push(b'7');
        assert_eq!(take_packet(&mut bytes).as_deref(), Some("T05thread:01;"));
        assert!(bytes.is_empty());
        assert_eq!(from_hex(&to_hex(&[0, 255])).unwrap(), [0, 255]);
        assert!(from_hex("E14").is_err());
    }
}
