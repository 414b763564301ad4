//! The log's buffer (RTT), which a debugger reads.
// SAFETY of the whole file: the layout is that of RTT's control block, whose only channel belongs to
// `defmt-rtt`; its two positions are words that change at any time.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::peripheral::DCB;

unsafe extern "C" {
    /// Magic number (4 words), numbers of channels (2), then of the channel: name, buffer, size,
    /// position of the writer, position of the reader, flags.
    static _SEGGER_RTT: [AtomicU32; 12];
}
const WRITER: usize = 9;
const READER: usize = 10;
#[cfg(feature = "semihosting")]
const FLAGS: usize = 11;
/// Flags of a channel whose writer waits while the buffer is full: a host that reads sets them.
#[cfg(feature = "semihosting")]
const BLOCKING: u32 = 2;

/// Looks at the buffer before giving up: some 20 ms at 64 MHz. A debugger looks every few.
const MOST_LOOKS: u32 = 100_000;

/// Waits until a host that reads the log, if there is one, has read it: the end of a test ends the
/// reading, too. In QEMU, whose debugger stub does not show as a debugger, it takes its time.
#[cfg(feature = "semihosting")]
pub fn let_a_host_read() {
    // SAFETY: see the top of the file.
    let block = unsafe { &_SEGGER_RTT };
    let word = |at: usize| block[at].load(Ordering::Relaxed);
    while word(FLAGS) == BLOCKING && word(WRITER) != word(READER) {}
}

/// Waits until a debugger, if there is one, has read the log: a restart empties the buffer.
pub fn let_a_debugger_read() {
    if !DCB::is_debugger_attached() {
        return;
    }
    // SAFETY: see the top of the file.
    let block = unsafe { &_SEGGER_RTT };
    let is_read = || block[WRITER].load(Ordering::Relaxed) == block[READER].load(Ordering::Relaxed);
    let _ = (0..MOST_LOOKS).any(|_| is_read());
}
