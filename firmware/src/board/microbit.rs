//! The BBC micro:bit: a Cortex-M0 (nRF51822) with 256 KiB of flash and 16 KiB of RAM. Its registers
//! are those of the nRF51 series' reference manual 3.0: chapters 11 and 13 (power and
//! clock), 14 (pins), 19 (watchdog) and 29 (UART). QEMU runs the image that is flashed.
// SAFETY of the whole file: the interrupts' numbers are the part's, and the handler changes nothing of
// the interrupted code but the queues and the timer's count.
#![allow(unsafe_code)]

use super::register::Register;
use super::{timer, timer_watchdog, uart};
use core::sync::atomic::{AtomicBool, Ordering};
use cortex_m_rt::exception;

/// Clock of the timer, MHz.
pub const TIMER_MHZ: u64 = 16;

/// Registers of clock and power, which share a base.
const TASKS_HFCLKSTART: Register = Register(0x4000_0000);
const EVENTS_HFCLKSTARTED: Register = Register(0x4000_0100);
const RESETREAS: Register = Register(0x4000_0400);
/// RESETREAS.DOG, cleared by writing a one.
const DOG: u32 = 1 << 1;
/// Most looks at a clock that starts: more than 10 ms at 16 MHz, and it takes 1 ms.
const MOST_LOOKS: u32 = 20_000;

/// Starts the crystal. The core runs at 16 MHz without, from an oscillator whose time is some percent
/// off.
pub fn start() {
    TASKS_HFCLKSTART.write(1);
    if !(0..MOST_LOOKS).any(|_| EVENTS_HFCLKSTARTED.read() != 0) {
        defmt::warn!("absent: HFXO; the clock stays at its value after a reset");
    }
}

/// Whether the hardware reports a reset by the watchdog.
pub fn was_reset_by_watchdog() -> bool {
    let reasons = RESETREAS.read();
    RESETREAS.write(DOG);
    reasons & DOG != 0
}

/// Handles interrupts without a handler of their own. Two are enabled, those of the timer and of the
/// UART.
#[exception]
unsafe fn DefaultHandler(irqn: i16) {
    match irqn as u16 {
        timer::IRQ => timer::on_interrupt(),
        wire::IRQ => uart::on_interrupt(),
        _ => defmt::panic!("interrupt {=i16} was never enabled", irqn),
    }
}

/// The registers of the UART, which the board's USB chip shows as a serial port.
pub mod wire {
    use super::Register;
    use core::sync::atomic::{AtomicBool, Ordering};
    use cortex_m::interrupt::InterruptNumber;
    use cortex_m::peripheral::NVIC;

    const BASE: usize = 0x4000_2000;
    /// The number of the interrupt is the peripheral's.
    pub const IRQ: u16 = (BASE >> 12 & 0xff) as u16;

    const TASKS_STARTRX: Register = Register(BASE);
    const TASKS_STARTTX: Register = Register(BASE + 0x008);
    const EVENTS_RXDRDY: Register = Register(BASE + 0x108);
    const EVENTS_TXDRDY: Register = Register(BASE + 0x11c);
    const INTENSET: Register = Register(BASE + 0x304);
    const INTENCLR: Register = Register(BASE + 0x308);
    const ERRORSRC: Register = Register(BASE + 0x480);
    const ENABLE: Register = Register(BASE + 0x500);
    const PSELTXD: Register = Register(BASE + 0x50c);
    const PSELRXD: Register = Register(BASE + 0x514);
    const RXD: Register = Register(BASE + 0x518);
    const TXD: Register = Register(BASE + 0x51c);
    const BAUDRATE: Register = Register(BASE + 0x524);
    const PINS_OUTSET: Register = Register(0x5000_0508);
    const PINS_DIRSET: Register = Register(0x5000_0518);

    const INT_RXDRDY: u32 = 1 << 2;
    const INT_TXDRDY: u32 = 1 << 7;
    const ERROR_OVERRUN: u32 = 1 << 0;
    const ENABLED: u32 = 4;
    /// Pins to and from the USB chip (micro:bit V1 schematic: TGT_TX, TGT_RX).
    const TX_PIN: u32 = 24;
    const RX_PIN: u32 = 25;
    /// Clock of the baud rate's generator, which adds `BAUDRATE` to 32 bits.
    const CLOCK_HZ: u64 = 16_000_000;

    /// Whether a byte is on its way.
    static IS_SENDING: AtomicBool = AtomicBool::new(false);

    #[derive(Clone, Copy)]
    struct Irq;

    // SAFETY: the number is the UART's.
    unsafe impl InterruptNumber for Irq {
        fn number(self) -> u16 {
            IRQ
        }
    }

    /// Sets up the UART for `baud`, and its interrupt.
    pub fn start(baud: u32) {
        PINS_OUTSET.write(1 << TX_PIN);
        PINS_DIRSET.write(1 << TX_PIN);
        PSELTXD.write(TX_PIN);
        PSELRXD.write(RX_PIN);
        // The register has the upper 20 bits, rounded.
        let rate = (u64::from(baud) << 32) / CLOCK_HZ + 0x800;
        BAUDRATE.write(rate as u32 & 0xffff_f000);
        ENABLE.write(ENABLED);
        EVENTS_RXDRDY.write(0);
        EVENTS_TXDRDY.write(0);
        INTENSET.write(INT_RXDRDY);
        TASKS_STARTRX.write(1);
        TASKS_STARTTX.write(1);
        // SAFETY: no critical section relies on this interrupt being off.
        unsafe { NVIC::unmask(Irq) };
    }

    /// The byte that has been received, if any, and whether bytes were lost.
    pub fn receive() -> (Option<u8>, bool) {
        let is_lost = ERRORSRC.read() & ERROR_OVERRUN != 0;
        if is_lost {
            ERRORSRC.write(ERROR_OVERRUN);
        }
        if EVENTS_RXDRDY.read() == 0 {
            return (None, is_lost);
        }
        // First the event: with the byte's end, that of the next one may come.
        EVENTS_RXDRDY.write(0);
        (Some(RXD.read() as u8), is_lost)
    }

    /// Whether the UART takes a byte.
    pub fn is_ready() -> bool {
        !IS_SENDING.load(Ordering::Relaxed) || EVENTS_TXDRDY.read() != 0
    }

    /// Sends a byte.
    pub fn send(byte: u8) {
        EVENTS_TXDRDY.write(0);
        IS_SENDING.store(true, Ordering::Relaxed);
        TXD.write(byte.into());
    }

    /// Whether the last byte has been sent.
    pub fn is_sent() -> bool {
        is_ready()
    }

    /// Asks for an interrupt when the byte on its way has been sent, if there is one.
    pub fn expect(is_next_waiting: bool) {
        match is_next_waiting || !is_sent() {
            true => INTENSET.write(INT_TXDRDY),
            false => INTENCLR.write(INT_TXDRDY),
        }
    }
}

const WATCHDOG: usize = 0x4001_0000;
const TASKS_START: Register = Register(WATCHDOG);
const RUNSTATUS: Register = Register(WATCHDOG + 0x400);
const CRV: Register = Register(WATCHDOG + 0x504);
const RR_0: Register = Register(WATCHDOG + 0x600);
const RELOAD: u32 = 0x6e52_4635;
const WATCHDOG_HZ: u32 = 32_768;

/// The watchdog. When fed too late, it resets the chip. QEMU has none.
pub struct Watchdog(());

impl Watchdog {
    /// Arms the watchdog; it cannot be disarmed. `None` after the first call.
    pub fn arm(period_ms: u32) -> Option<Self> {
        static ARMED: AtomicBool = AtomicBool::new(false);
        if ARMED.load(Ordering::Relaxed) {
            return None;
        }
        ARMED.store(true, Ordering::Relaxed);
        CRV.write(WATCHDOG_HZ / 1000 * period_ms);
        TASKS_START.write(1);
        if RUNSTATUS.read() == 0 {
            defmt::warn!("absent: WDT; the timer's interrupt takes its place");
            timer_watchdog::arm(period_ms);
        }
        Some(Self(()))
    }

    /// Restarts the period.
    pub fn feed(&mut self) {
        RR_0.write(RELOAD);
        timer_watchdog::feed();
    }
}
