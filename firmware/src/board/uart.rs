//! A UART whose bytes are received and sent by interrupt, through queues. Its registers are the
//! board's (`wire`).

use super::part::wire;
use super::sleep_unless;
use core::cell::RefCell;
use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::interrupt::Mutex;
use cortex_m::singleton;
use heapless::spsc::{Consumer, Producer, Queue};

/// Size of the receive queue: several of the longest requests, or one where RAM is short.
const RX_LEN: usize = if cfg!(feature = "board-microbit") {
    256
} else {
    512
};
const TX_LEN: usize = 128;

/// The interrupt's ends of the queues.
struct Ends {
    received: Producer<'static, u8>,
    to_send: Consumer<'static, u8>,
}

static ENDS: Mutex<RefCell<Option<Ends>>> = Mutex::new(RefCell::new(None));
static LOST: AtomicU32 = AtomicU32::new(0);

/// Handles the UART's interrupts.
pub fn on_interrupt() {
    with_ends(|ends| {
        ends.receive();
        ends.send();
    });
}

/// Runs `act` with interrupts masked.
fn with_ends(act: impl FnOnce(&mut Ends)) {
    cortex_m::interrupt::free(|cs| {
        if let Some(ends) = ENDS.borrow(cs).borrow_mut().as_mut() {
            act(ends);
        }
    });
}

impl Ends {
    /// Takes what has been received.
    fn receive(&mut self) {
        loop {
            let (byte, mut is_lost) = wire::receive();
            if let Some(byte) = byte {
                is_lost |= self.received.enqueue(byte).is_err();
            }
            if is_lost {
                // Only `lost` writes it, too, with interrupts masked; a Cortex-M0 has no atomic addition.
                LOST.store(LOST.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            }
            if byte.is_none() {
                return;
            }
        }
    }

    /// Sends what there is room for. The interrupt of its end sends more.
    fn send(&mut self) {
        while wire::is_ready() {
            let Some(byte) = self.to_send.dequeue() else {
                break;
            };
            wire::send(byte);
        }
        wire::expect(self.to_send.ready());
    }
}

/// The UART that is connected to the host.
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
        wire::start(baud);
        Some(Self { received, to_send })
    }

    /// Returns the next byte received.
    pub fn read(&mut self) -> Option<u8> {
        self.received.dequeue()
    }

    /// Number of bytes lost since the last call.
    pub fn lost(&mut self) -> u32 {
        cortex_m::interrupt::free(|_| {
            let lost = LOST.load(Ordering::Relaxed);
            LOST.store(0, Ordering::Relaxed);
            lost
        })
    }

    /// Sends `bytes`; returns when the last one waits to be sent.
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            while self.to_send.enqueue(*byte).is_err() {
                with_ends(Ends::send);
                sleep_unless(|| self.to_send.ready());
            }
        }
        with_ends(Ends::send);
    }

    /// Returns when the last byte has been sent.
    pub fn flush(&mut self) {
        let is_done = |queue: &Producer<'_, u8>| queue.is_empty() && wire::is_sent();
        while !is_done(&self.to_send) {
            sleep_unless(|| is_done(&self.to_send));
        }
    }

    /// Sleeps until an interrupt, unless a byte has been received.
    pub fn wait(&mut self) {
        sleep_unless(|| self.received.ready());
    }
}
