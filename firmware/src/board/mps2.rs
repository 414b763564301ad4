//! Arm's MPS2 and MPS3 boards in QEMU: UART 0 and the watchdog of the CMSDK (Arm DDI 0479, chapters
//! 4.3 and 4.4).
// SAFETY of the whole file: the interrupts' numbers are the board's, and `take` returns one owner only.
#![allow(unsafe_code)]

#[cfg(feature = "slots")]
pub use super::mps2_flash::{FLASH_START, Flash, flash};
use super::register::Register;
use core::sync::atomic::{AtomicBool, Ordering};
use cortex_m_rt::exception;

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
    /// Of a byte received and a byte sent.
    uart_irqs: [u16; 2],
    watchdog: usize,
    watchdog_hz: u32,
}

const MAP: Map = if cfg!(feature = "board-mps2-an505") {
    Map {
        uart: 0x5020_0000,
        uart_irqs: [32, 33],
        watchdog: 0x5008_1000,
        watchdog_hz: TIMER_HZ,
    }
} else if cfg!(feature = "board-mps3-an547") {
    Map {
        uart: 0x5930_3000,
        uart_irqs: [33, 34],
        watchdog: 0x5802_e000,
        watchdog_hz: 32_768,
    }
} else {
    Map {
        uart: 0x4000_4000,
        uart_irqs: [0, 1],
        watchdog: 0x4000_8000,
        watchdog_hz: TIMER_HZ,
    }
};
const TIMER_HZ: u32 = TIMER_MHZ as u32 * 1_000_000;

/// The registers of UART 0.
pub mod wire {
    use super::{MAP, Register, TIMER_HZ};
    use cortex_m::interrupt::InterruptNumber;
    use cortex_m::peripheral::NVIC;

    const DATA: Register = Register(MAP.uart);
    const STATE: Register = Register(MAP.uart + 0x4);
    const CTRL: Register = Register(MAP.uart + 0x8);
    const INTCLEAR: Register = Register(MAP.uart + 0xc);
    const BAUDDIV: Register = Register(MAP.uart + 0x10);

    const STATE_TX_FULL: u32 = 1 << 0;
    const STATE_RX_FULL: u32 = 1 << 1;
    const STATE_RX_OVERRUN: u32 = 1 << 3;
    const CTRL_TX: u32 = 1 << 0;
    const CTRL_RX: u32 = 1 << 1;
    const CTRL_TX_INTERRUPT: u32 = 1 << 2;
    const CTRL_RX_INTERRUPT: u32 = 1 << 3;
    const INT_BOTH: u32 = 0b11;

    #[derive(Clone, Copy)]
    struct Irq(u16);

    // SAFETY: the number is taken from the map of the board.
    unsafe impl InterruptNumber for Irq {
        fn number(self) -> u16 {
            self.0
        }
    }

    /// Sets up the UART for `baud`, and its interrupts.
    pub fn start(baud: u32) {
        BAUDDIV.write(TIMER_HZ / baud);
        CTRL.write(CTRL_TX | CTRL_RX | CTRL_TX_INTERRUPT | CTRL_RX_INTERRUPT);
        for irq in MAP.uart_irqs {
            // SAFETY: no critical section relies on these interrupts being off.
            unsafe { NVIC::unmask(Irq(irq)) };
        }
    }

    /// Whether the interrupt of this number is the UART's, which is told that it has been heard.
    pub fn is_heard(irq: u16) -> bool {
        let is_uarts = MAP.uart_irqs.contains(&irq);
        if is_uarts {
            INTCLEAR.write(INT_BOTH);
        }
        is_uarts
    }

    /// The byte that has been received, if any, and whether bytes were lost.
    pub fn receive() -> (Option<u8>, bool) {
        let state = STATE.read();
        let is_lost = state & STATE_RX_OVERRUN != 0;
        if is_lost {
            STATE.write(STATE_RX_OVERRUN);
        }
        let byte = (state & STATE_RX_FULL != 0).then(|| DATA.read() as u8);
        (byte, is_lost)
    }

    /// Whether the UART takes a byte.
    pub fn is_ready() -> bool {
        STATE.read() & STATE_TX_FULL == 0
    }

    /// Sends a byte.
    pub fn send(byte: u8) {
        DATA.write(byte.into());
    }

    /// Whether the last byte has been sent.
    pub fn is_sent() -> bool {
        is_ready()
    }

    /// Each byte that has been sent raises an interrupt, asked for or not.
    pub fn expect(_is_next_waiting: bool) {}
}

/// Handles interrupts without a handler of their own. Two are enabled, those of the UART.
// SAFETY: the handler changes nothing of the interrupted code but the queues.
#[exception]
unsafe fn DefaultHandler(irqn: i16) {
    if !wire::is_heard(irqn as u16) {
        defmt::panic!("interrupt {=i16} was never enabled", irqn);
    }
    super::uart::on_interrupt();
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
