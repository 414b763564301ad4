//! The UART of a physical board, through the buffered driver of its HAL: bytes are received by
//! interrupt.

use super::part;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use cortex_m::singleton;
use embassy_futures::poll_once;
#[allow(unused_imports, reason = "some drivers have the methods themselves")]
use embedded_io_async::{BufRead, Write};

/// Size of the receive queue: several of the longest requests.
const RX_LEN: usize = 512;
const TX_LEN: usize = 128;

/// The UART that is connected to the host.
pub struct Uart {
    port: part::Port,
    errors: u32,
}

impl Uart {
    /// Takes the UART and sets it up for `baud`; `None` after the first call or for a rate that the
    /// board does not support.
    pub fn take(baud: u32) -> Option<Self> {
        let rx = singleton!(RX: [u8; RX_LEN] = [0; RX_LEN])?;
        let tx = singleton!(TX: [u8; TX_LEN] = [0; TX_LEN])?;
        Some(Self {
            port: part::port(baud, tx, rx)?,
            errors: 0,
        })
    }

    /// Returns the next byte received.
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

    /// Number of receive errors (overrun, framing, break) since the last call; each costs at least
    /// one byte.
    pub fn lost(&mut self) -> u32 {
        core::mem::take(&mut self.errors)
    }

    /// Sends `bytes`; returns when the last one is being sent.
    pub fn write(&mut self, bytes: &[u8]) {
        // The drivers report no errors when sending.
        let _ = block_on(self.port.write_all(bytes));
    }

    /// Returns when the last byte has been sent.
    pub fn flush(&mut self) {
        // The drivers report no errors when sending.
        let _ = block_on(self.port.flush());
    }

    /// Sleeps until an interrupt, unless a byte has been received.
    pub fn wait(&mut self) {
        if poll_once(self.port.fill_buf()).is_pending() {
            cortex_m::asm::wfe();
        }
    }
}

/// Waits for a future that an interrupt wakes. The return of every interrupt is an event (Armv7-M
/// ARM, B1.5.18), which `wfe` remembers if it comes between the poll and the sleep; so no waker is
/// needed, and the core sleeps meanwhile.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        cortex_m::asm::wfe();
    }
}
