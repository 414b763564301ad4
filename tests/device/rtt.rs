//! The log of a physical board's image in QEMU: reads RTT's buffer as a debug probe does, through
//! QEMU's debugger stub.
//!
//! The image is not changed and asks for nothing. The stub stops the machine to look at its memory;
//! its clock and its instruction counter stand still meanwhile.

use crate::elf::addresses;
use crate::gdb::Gdb;
use anyhow::Result;
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

/// Starts the program that QEMU holds, and returns the bytes of its log until QEMU ends.
///
/// # Errors
/// If the ELF file has no control block.
pub fn follow(core: Gdb, elf: &Path) -> Result<Receiver<Vec<u8>>> {
    // At the entry, after a reset, the last log is still there; at `main`, the buffer is new.
    let [block, entry, main] = addresses(elf, ["_SEGGER_RTT", "Reset", "main"])?;
    let (sender, log) = channel();
    std::thread::spawn(move || {
        // It ends with QEMU, which is an error here and the end of the log there.
        let _ = follow_until_the_end(core, block, [entry & !1, main & !1], &sender);
    });
    Ok(log)
}

fn follow_until_the_end(
    mut core: Gdb,
    block: u32,
    breakpoints: [u32; 2],
    log: &Sender<Vec<u8>>,
) -> Result<()> {
    for address in breakpoints {
        core.break_at(address)?;
    }
    let mut between_looks = BETWEEN_LOOKS;
    loop {
        let is_at_breakpoint = core.run_for(between_looks)?;
        let bytes = unread_log(&mut core, block)?;
        between_looks = match bytes.is_empty() {
            true => MOST_BETWEEN_LOOKS.min(2 * between_looks),
            false => BETWEEN_LOOKS,
        };
        if !bytes.is_empty() {
            log.send(bytes)?;
        }
        if is_at_breakpoint {
            core.step()?;
        }
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
