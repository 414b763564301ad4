//! The UART of a board on a desk, through its HAL's buffered driver: bytes are received by interrupt.

use super::part;
use core::task::Poll;
use cortex_m::singleton;
use embassy_futures::{block_on, poll_once};
#[allow(unused_imports, reason = "some drivers have the methods themselves")]
use embedded_io_async::{BufRead, Write};

/// Bytes received and not yet read; several of the longest requests.
const RX_LEN: usize = 512;
const TX_LEN: usize = 128;

/// The UART that leads to the host.
pub struct Uart {
    port: part::Port,
    errors: u32,
}

impl Uart {
    /// The UART, set up for `baud`; once.
    pub fn take(baud: u32) -> Option<Self> {
        let rx = singleton!(: [u8; RX_LEN] = [0; RX_LEN])?;
        let tx = singleton!(: [u8; TX_LEN] = [0; TX_LEN])?;
        Some(Self {
            port: part::port(baud, tx, rx)?,
            errors: 0,
        })
    }

    /// The next byte received.
    pub fn read(&mut self) -> Option<u8> {
        let byte = match poll_once(self.port.fill_buf()) {
            Poll::Ready(Ok(bytes)) => bytes.first().copied()?,
            Poll::Ready(Err(_)) => {
                self.errors += 1;
                return None;
            }
            Poll::Pending => return None,
        };
        self.port.consume(1);
        Some(byte)
    }

    /// Errors of the receiver (overrun, framing, break) since the last call; each has cost at least a byte.
    pub fn lost(&mut self) -> u32 {
        core::mem::take(&mut self.errors)
    }

    /// Sends `bytes`; returns when the last one is on its way.
    pub fn write(&mut self, bytes: &[u8]) {
        // The drivers have no error of sending.
        let _ = block_on(self.port.write_all(bytes));
    }

    /// Sleeps until an interrupt, unless a byte is there.
    pub fn wait(&mut self) {
        super::sleep_unless(|| poll_once(self.port.fill_buf()).is_ready());
    }
}
