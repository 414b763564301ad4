//! The UART of a physical board, through the buffered driver of its HAL: bytes are received and
//! sent by interrupt or DMA, and the core sleeps until one wakes what waits for them.
#![allow(unsafe_code, reason = "the functions of a waker")]

use super::part;
use core::future::Future;
use core::pin::pin;
use core::ptr::null;
use core::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use cortex_m::singleton;
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

/// Waits for a future; the core sleeps meanwhile.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = waker();
    loop {
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        if let Poll::Ready(output) = polled {
            return output;
        }
        cortex_m::asm::wfe();
    }
}

/// Polls a future once. What it waits for ends the next `wfe`.
fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    let waker = waker();
    pin!(future).poll(&mut Context::from_waker(&waker))
}

/// A waker for the one task there is: it sets the core's event register, which ends a `wfe` or lets
/// the next one not begin (Armv7-M ARM, B1.5.18). So nothing is lost between a poll and the sleep.
fn waker() -> Waker {
    const NOTHING: RawWaker = RawWaker::new(null(), &FUNCTIONS);
    static FUNCTIONS: RawWakerVTable = RawWakerVTable::new(|_| NOTHING, wake, wake, |_| ());
    fn wake(_: *const ()) {
        cortex_m::asm::sev();
    }
    // SAFETY: the functions ignore the pointer, may be called anywhere, and own nothing.
    unsafe { Waker::from_raw(NOTHING) }
}
