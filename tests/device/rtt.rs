//! The log of a physical board's image in QEMU: reads RTT's buffer as a debug probe does, through
//! QEMU's debugger stub.
//!
//! The image is not changed and asks for nothing. The stub stops the machine to look at its memory;
//! its clock and its instruction counter stand still meanwhile.

use crate::elf::addresses;
use crate::errln;
use crate::gdb::{Gdb, PC, Stop};
use crate::l475_flash::{Flash, Next};
use anyhow::{Context, Result};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Time that the program runs between two looks at the buffer: at first, and at most. It doubles
/// while there is nothing new, since the machine stands still at each look.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
const MOST_BETWEEN_LOOKS: Duration = Duration::from_millis(320);

/// RTT's control block: a magic number, then positions of fields of its first channel (SEGGER
/// UM08001, "RTT Control Block").
const MAGIC: &[u8] = b"SEGGER RTT\0\0\0\0\0\0";
const BLOCK_LEN: usize = 48;
const BUFFER: usize = 28;
const SIZE: usize = 32;
const WRITER: usize = 36;
const READER: usize = 40;
const FLAGS: usize = 44;
/// Flags of a channel whose writer waits while the buffer is full.
const BLOCKING: u32 = 2;

/// Starts the program that QEMU holds, and returns the bytes of its log until QEMU ends. `flash` stands
/// in for the part's. A small buffer is emptied as often as it can be, so that the program hardly
/// waits, and counts hardly any instructions of waiting.
///
/// # Errors
/// If the ELF file has no control block.
pub fn follow(
    core: Gdb,
    elf: &Path,
    flash: Option<Flash>,
    has_small_buffer: bool,
) -> Result<Receiver<Vec<u8>>> {
    // At the entry, after a reset, the last log is still there; at `main`, the buffer is new.
    let [block, entry, main] = addresses(elf, ["_SEGGER_RTT", "Reset", "main"])?;
    let breakpoints = [entry & !1, main & !1];
    let (sender, log) = channel();
    let follower = Follower {
        core,
        block,
        entry: entry & !1,
        flash,
        most_between_looks: match has_small_buffer {
            true => BETWEEN_LOOKS,
            false => MOST_BETWEEN_LOOKS,
        },
        log: sender,
    };
    std::thread::spawn(move || {
        // It ends with QEMU, which is an error here and the end of the log there.
        let _ = follower.follow_until_the_end(breakpoints);
    });
    Ok(log)
}

struct Follower {
    core: Gdb,
    /// Address of the control block.
    block: u32,
    /// Address of the first instruction after a reset.
    entry: u32,
    flash: Option<Flash>,
    most_between_looks: Duration,
    log: Sender<Vec<u8>>,
}

impl Follower {
    fn follow_until_the_end(mut self, breakpoints: [u32; 2]) -> Result<()> {
        for address in breakpoints {
            self.core.break_at(address)?;
        }
        if let Some(flash) = &self.flash {
            self.core.read_description()?;
            flash.watch(&mut self.core)?;
        }
        let mut between_looks = BETWEEN_LOOKS;
        loop {
            let stop = self.core.run_for(between_looks)?;
            if stop == Stop::Access {
                self.access()?;
                continue;
            }
            between_looks = match self.take_log()? {
                false => self.most_between_looks.min(2 * between_looks),
                true => BETWEEN_LOOKS,
            };
            if stop == Stop::Breakpoint {
                let is_reset = self.core.register(PC)? == self.entry;
                if let Some(flash) = self.flash.as_mut().filter(|_| is_reset) {
                    flash.reset();
                }
                self.core.step()?;
            }
            if stop == Stop::Time {
                self.settle()?;
            }
        }
    }

    /// An access that QEMU was about to report when it was interrupted is the next instruction. QEMU
    /// would let it pass (`accel/tcg/watchpoint.c`: `watchpoint_hit`), and forgets it at a step.
    fn settle(&mut self) -> Result<()> {
        let mut is_pending = false;
        while let Some(flash) = &mut self.flash {
            if !flash.is_next(&mut self.core)? {
                break;
            }
            is_pending = true;
            self.access()?;
        }
        match is_pending {
            true => self.core.step(),
            false => Ok(()),
        }
    }

    /// Answers an access to the flash.
    fn access(&mut self) -> Result<()> {
        let flash = self.flash.as_mut().context("nothing is watched")?;
        let next = flash.answer(&mut self.core);
        if let Err(error) = &next {
            errln!("flash: {error:#}");
        }
        if next? == Next::PowerCut {
            self.take_log()?;
            if let Some(flash) = &mut self.flash {
                flash.cut_power(&mut self.core)?;
            }
        }
        Ok(())
    }

    /// Hands on what is in the buffer; whether there was anything.
    fn take_log(&mut self) -> Result<bool> {
        let bytes = unread_log(&mut self.core, self.block)?;
        let is_new = !bytes.is_empty();
        if is_new {
            self.log.send(bytes)?;
        }
        Ok(is_new)
    }
}

/// Takes what is in the buffer; from now on the writer waits while it is full.
fn unread_log(core: &mut Gdb, block: u32) -> Result<Vec<u8>> {
    let fields = core.memory(block, BLOCK_LEN)?;
    let word = |at: usize| {
        let bytes = fields.get(at..at + 4).unwrap_or_default();
        u32::from_le_bytes(bytes.try_into().unwrap_or_default())
    };
    let [buffer, size, writer, reader, flags] = [BUFFER, SIZE, WRITER, READER, FLAGS].map(word);
    // Before start-up code has written the variables, the memory holds anything.
    if !fields.starts_with(MAGIC) || writer >= size || reader >= size {
        return Ok(Vec::new());
    }
    if flags != BLOCKING {
        core.write(block + FLAGS as u32, &BLOCKING.to_le_bytes())?;
    }
    if writer == reader {
        return Ok(Vec::new());
    }
    let end = if writer < reader { size } else { writer };
    let mut bytes = core.memory(buffer + reader, (end - reader) as usize)?;
    if writer < reader {
        bytes.extend(core.memory(buffer, writer as usize)?);
    }
    core.write(block + READER as u32, &writer.to_le_bytes())?;
    Ok(bytes)
}
