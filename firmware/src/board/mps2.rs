//! Arm's MPS2 and MPS3 boards in QEMU: UART 0 and the watchdog of the CMSDK (Arm DDI 0479, chapters
//! 4.3 and 4.4). Bytes are received and sent by interrupt.
// SAFETY of the whole file: the registers belong to the board that the firmware is built for, each
// is accessed as a whole word, and `take` returns one owner only.
#![allow(unsafe_code)]

use core::cell::RefCell;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use cortex_m::interrupt::{InterruptNumber, Mutex};
use cortex_m::peripheral::NVIC;
use cortex_m::singleton;
use cortex_m_rt::exception;
use heapless::spsc::{Consumer, Producer, Queue};

/// Clock of the timer (SysTick), MHz (QEMU, `hw/arm/mps2.c` and `hw/arm/mps2-tz.c`).
pub const TIMER_MHZ: u64 = if cfg!(feature = "board-mps2-an505") {
    20
} else if cfg!(feature = "board-mps3-an547") {
    32
} else {
    25
};

/// Addresses and interrupt numbers (QEMU, `hw/arm/mps2.c`, `hw/arm/mps2-tz.c` and
/// `hw/arm/armsse.c`).
struct Map {
    uart: usize,
    uart_tx_irq: u16,
    uart_rx_irq: u16,
    watchdog: usize,
    watchdog_hz: u32,
}

const MAP: Map = if cfg!(feature = "board-mps2-an505") {
    Map {
        uart: 0x5020_0000,
        uart_tx_irq: 32,
        uart_rx_irq: 33,
        watchdog: 0x5008_1000,
        watchdog_hz: TIMER_HZ,
    }
} else if cfg!(feature = "board-mps3-an547") {
    Map {
        uart: 0x5930_3000,
        uart_tx_irq: 33,
        uart_rx_irq: 34,
        watchdog: 0x5802_e000,
        watchdog_hz: 32_768,
    }
} else {
    Map {
        uart: 0x4000_4000,
        uart_tx_irq: 1,
        uart_rx_irq: 0,
        watchdog: 0x4000_8000,
        watchdog_hz: TIMER_HZ,
    }
};
const TIMER_HZ: u32 = TIMER_MHZ as u32 * 1_000_000;

/// A register at a fixed address.
struct Register(usize);

impl Register {
    fn read(&self) -> u32 {
        // SAFETY: see the top of the file.
        unsafe { (self.0 as *const u32).read_volatile() }
    }

    fn write(&self, value: u32) {
        // SAFETY: see the top of the file.
        unsafe { (self.0 as *mut u32).write_volatile(value) }
    }
}

const UART_DATA: Register = Register(MAP.uart);
const UART_STATE: Register = Register(MAP.uart + 0x4);
const UART_CTRL: Register = Register(MAP.uart + 0x8);
const UART_INTCLEAR: Register = Register(MAP.uart + 0xc);
const UART_BAUDDIV: Register = Register(MAP.uart + 0x10);

const STATE_TX_FULL: u32 = 1 << 0;
const STATE_RX_FULL: u32 = 1 << 1;
const STATE_RX_OVERRUN: u32 = 1 << 3;
const CTRL_TX: u32 = 1 << 0;
const CTRL_RX: u32 = 1 << 1;
const CTRL_TX_INTERRUPT: u32 = 1 << 2;
const CTRL_RX_INTERRUPT: u32 = 1 << 3;
const INT_TX: u32 = 1 << 0;
const INT_RX: u32 = 1 << 1;

/// Size of the receive queue: several of the longest requests.
const RX_LEN: usize = 512;
const TX_LEN: usize = 128;

/// The interrupts' ends of the queues.
struct Ends {
    received: Producer<'static, u8>,
    to_send: Consumer<'static, u8>,
}

static ENDS: Mutex<RefCell<Option<Ends>>> = Mutex::new(RefCell::new(None));
static LOST: AtomicU32 = AtomicU32::new(0);

#[derive(Clone, Copy)]
struct Irq(u16);

// SAFETY: the number is taken from the map of the board.
unsafe impl InterruptNumber for Irq {
    fn number(self) -> u16 {
        self.0
    }
}

/// Handles interrupts without a handler of their own. Two are enabled, those of the UART.
// SAFETY: the handler changes nothing of the interrupted code but the queues.
#[exception]
unsafe fn DefaultHandler(irqn: i16) {
    let irq = irqn as u16;
    if irq != MAP.uart_rx_irq && irq != MAP.uart_tx_irq {
        defmt::panic!("interrupt {=i16} was never enabled", irqn);
    }
    with_ends(|ends| {
        if irq == MAP.uart_rx_irq {
            UART_INTCLEAR.write(INT_RX);
            ends.receive();
        } else {
            UART_INTCLEAR.write(INT_TX);
            ends.send();
        }
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
    fn receive(&mut self) {
        while UART_STATE.read() & STATE_RX_FULL != 0 {
            if self.received.enqueue(UART_DATA.read() as u8).is_err() {
                count_lost();
            }
        }
        if UART_STATE.read() & STATE_RX_OVERRUN != 0 {
            UART_STATE.write(STATE_RX_OVERRUN);
            count_lost();
        }
    }

    /// Sends what there is room for. The interrupt of its end sends more.
    fn send(&mut self) {
        while UART_STATE.read() & STATE_TX_FULL == 0 {
            let Some(byte) = self.to_send.dequeue() else {
                return;
            };
            UART_DATA.write(byte.into());
        }
    }
}

fn count_lost() {
    // Only `lost` writes it, too, with the interrupt masked; a Cortex-M0 has no atomic addition.
    LOST.store(LOST.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// UART 0.
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
        UART_BAUDDIV.write(TIMER_HZ / baud);
        UART_CTRL.write(CTRL_TX | CTRL_RX | CTRL_TX_INTERRUPT | CTRL_RX_INTERRUPT);
        for irq in [MAP.uart_rx_irq, MAP.uart_tx_irq] {
            // SAFETY: no critical section relies on these interrupts being off.
            unsafe { NVIC::unmask(Irq(irq)) };
        }
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
                super::sleep_unless(|| self.to_send.ready());
            }
        }
        with_ends(Ends::send);
    }

    /// Returns when the last byte has been sent.
    pub fn flush(&mut self) {
        let is_done =
            |queue: &Producer<'_, u8>| queue.is_empty() && UART_STATE.read() & STATE_TX_FULL == 0;
        while !is_done(&self.to_send) {
            super::sleep_unless(|| is_done(&self.to_send));
        }
    }

    /// Sleeps until an interrupt, unless a byte has been received.
    pub fn wait(&mut self) {
        super::sleep_unless(|| self.received.ready());
    }
}

const WATCHDOG_LOAD: Register = Register(MAP.watchdog);
const WATCHDOG_CTRL: Register = Register(MAP.watchdog + 0x8);
const WATCHDOG_INTCLR: Register = Register(MAP.watchdog + 0xc);
const WATCHDOG_LOCK: Register = Register(MAP.watchdog + 0xc00);
const WATCHDOG_UNLOCK: u32 = 0x1acc_e551;
/// Non-maskable interrupt at the first timeout, reset at the second.
const WATCHDOG_INTERRUPT_AND_RESET: u32 = 0b11;

/// The watchdog. When fed too late, it raises the non-maskable interrupt, and resets the chip if
/// the handler does not end in time either.
pub struct Watchdog(());

impl Watchdog {
    /// Arms the watchdog; it cannot be disarmed. `None` after the first call.
    pub fn arm(period_ms: u32) -> Option<Self> {
        static ARMED: AtomicBool = AtomicBool::new(false);
        if ARMED.load(Ordering::Relaxed) {
            return None;
        }
        ARMED.store(true, Ordering::Relaxed);
        WATCHDOG_LOCK.write(WATCHDOG_UNLOCK);
        WATCHDOG_LOAD.write(MAP.watchdog_hz / 1000 * period_ms);
        WATCHDOG_CTRL.write(WATCHDOG_INTERRUPT_AND_RESET);
        Some(Self(()))
    }

    /// Restarts the period.
    pub fn feed(&mut self) {
        WATCHDOG_INTCLR.write(1);
    }
}
