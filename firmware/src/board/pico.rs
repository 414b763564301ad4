//! Raspberry Pi's Pico 2, an RP2350 with a Cortex-M33 at 150 MHz, and Pico, an RP2040 with a
//! Cortex-M0+ at 125 MHz. UART 0 is at GPIO 0 (out) and 1 (in), as the debug probe expects.
// SAFETY of the whole file: `start` drops the peripherals of the chip, and each is stolen once, in
// one place.
#![allow(unsafe_code)]

use embassy_rp::bind_interrupts;
use embassy_rp::peripherals::{PIN_0, PIN_1, UART0, WATCHDOG};
use embassy_rp::uart::{BufferedInterruptHandler, BufferedUart, Config};
use embassy_rp::watchdog::{self, ResetReason};
use embassy_time::Duration;

bind_interrupts!(struct Irqs {
    UART0_IRQ => BufferedInterruptHandler<UART0>;
});

/// Clock of the timer (SysTick), MHz: the core's.
pub const TIMER_MHZ: u64 = if cfg!(feature = "board-pico2") {
    150
} else {
    125
};

/// Starts the HAL with its defaults: 150 or 125 MHz from the crystal.
pub fn start() {
    drop(embassy_rp::init(embassy_rp::config::Config::default()));
}

/// Whether the hardware reports a reset by the watchdog.
pub fn was_reset_by_watchdog() -> bool {
    // SAFETY: see the top of the file; this only reads.
    let watchdog = watchdog::Watchdog::new(unsafe { WATCHDOG::steal() });
    matches!(watchdog.reset_reason(), Some(ResetReason::TimedOut))
}

pub type Port = BufferedUart;

/// Sets up the UART.
pub fn port(baud: u32, tx: &'static mut [u8], rx: &'static mut [u8]) -> Option<Port> {
    let mut config = Config::default();
    config.baudrate = baud;
    // SAFETY: see the top of the file.
    Some(unsafe {
        BufferedUart::new(
            UART0::steal(),
            PIN_0::steal(),
            PIN_1::steal(),
            Irqs,
            tx,
            rx,
            config,
        )
    })
}

/// The watchdog. When fed too late, it resets the chip.
pub struct Watchdog {
    watchdog: watchdog::Watchdog,
    period: Duration,
}

impl Watchdog {
    /// Arms the watchdog; it cannot be disarmed. To be called once.
    pub fn arm(period_ms: u32) -> Option<Self> {
        // SAFETY: see the top of the file.
        let mut watchdog = watchdog::Watchdog::new(unsafe { WATCHDOG::steal() });
        let period = Duration::from_millis(period_ms.into());
        watchdog.start(period);
        Some(Self { watchdog, period })
    }

    /// Restarts the period.
    pub fn feed(&mut self) {
        self.watchdog.feed(self.period);
    }
}
