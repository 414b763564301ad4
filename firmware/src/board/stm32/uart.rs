//! The serial port. Bytes are received and sent by interrupt.
#![allow(unsafe_code, reason = "unmasking of an interrupt")]

use super::chip::{self, UART, UART_HZ, UART_INTERRUPT};
use crate::board::sleep_unless;
use core::cell::RefCell;
use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::interrupt::Mutex;
use cortex_m::peripheral::NVIC;
use cortex_m::singleton;
use heapless::spsc::{Consumer, Producer, Queue};
use stm32_metapac::interrupt;

/// Size of the receive queue: several of the longest requests.
const RX_LEN: usize = 512;
const TX_LEN: usize = 128;

/// The interrupt's ends of the queues.
struct Ends {
    received: Producer<'static, u8>,
    to_send: Consumer<'static, u8>,
}

static ENDS: Mutex<RefCell<Option<Ends>>> = Mutex::new(RefCell::new(None));
static LOST: AtomicU32 = AtomicU32::new(0);

#[cfg(feature = "board-b-l475e-iot01a")]
#[interrupt]
fn USART1() {
    on_interrupt();
}

#[cfg(feature = "board-netduinoplus2")]
#[interrupt]
fn USART6() {
    on_interrupt();
}

fn on_interrupt() {
    cortex_m::interrupt::free(|cs| {
        if let Some(ends) = ENDS.borrow(cs).borrow_mut().as_mut() {
            ends.receive();
            ends.send();
        }
    });
}

impl Ends {
    fn receive(&mut self) {
        let (byte, mut is_lost) = chip::receive();
        if let Some(byte) = byte {
            is_lost |= self.received.enqueue(byte).is_err();
        }
        if is_lost {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends the next byte; its interrupt stays off while there is none.
    fn send(&mut self) {
        if !chip::is_ready() {
            return;
        }
        match self.to_send.dequeue() {
            Some(byte) => chip::send(byte),
            None => UART.cr1().modify(|w| w.set_txeie(false)),
        }
    }
}

/// UART.
pub struct Uart {
    received: Consumer<'static, u8>,
    to_send: Producer<'static, u8>,
}

impl Uart {
    /// Takes the UART and sets it up for `baud`; `None` after the first call.
    pub fn take(baud: u32) -> Option<Self> {
        let rx = singleton!(RX: Queue<u8, RX_LEN> = Queue::new())?;
        let tx = singleton!(TX: Queue<u8, TX_LEN> = Queue::new())?;
        let ((into_rx, received), (to_send, out_of_tx)) = (rx.split(), tx.split());
        let ends = Ends {
            received: into_rx,
            to_send: out_of_tx,
        };
        cortex_m::interrupt::free(|cs| ENDS.borrow(cs).replace(Some(ends)));
        chip::connect_uart();
        UART.brr().write(|w| w.set_brr((UART_HZ / baud) as u16));
        UART.cr1().write(|w| {
            w.set_ue(true);
            w.set_te(true);
            w.set_re(true);
            w.set_rxneie(true);
        });
        // SAFETY: no critical section relies on this interrupt being off.
        unsafe { NVIC::unmask(UART_INTERRUPT) };
        Some(Self { received, to_send })
    }

    /// Returns the next byte received.
    pub fn read(&mut self) -> Option<u8> {
        self.received.dequeue()
    }

    /// Number of bytes lost since the last call.
    pub fn lost(&mut self) -> u32 {
        LOST.swap(0, Ordering::Relaxed)
    }

    /// Sends `bytes`; returns when the last one waits to be sent.
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            while self.to_send.enqueue(*byte).is_err() {
                sleep_unless(|| self.to_send.ready());
            }
            // The interrupt changes the register, too.
            cortex_m::interrupt::free(|_| UART.cr1().modify(|w| w.set_txeie(true)));
        }
    }

    /// Returns when the last byte has been sent.
    pub fn flush(&mut self) {
        while UART.cr1().read().txeie() {
            sleep_unless(|| !UART.cr1().read().txeie());
        }
        while !chip::is_sent() {}
    }

    /// Sleeps until an interrupt, unless a byte has been received.
    pub fn wait(&mut self) {
        sleep_unless(|| self.received.ready());
    }
}
