//! Raspberry Pi's Pico 2, an RP2350 with a Cortex-M33 at 150 MHz, and Pico, an RP2040 with a
//! Cortex-M0+ at 125 MHz. UART 0 is at GPIO 0 (out) and 1 (in), as the debug probe expects.

use super::left::Left;
use embassy_rp::flash::{self, Blocking};
use embassy_rp::peripherals::{FLASH, PIN_0, PIN_1, UART0};
use embassy_rp::uart::{BufferedInterruptHandler, BufferedUart, Config};
use embassy_rp::watchdog::{self, ResetReason};
use embassy_rp::{Peri, bind_interrupts};
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

/// Where the flash begins.
pub const FLASH_START: usize = 0x1000_0000;
const FLASH_LEN: usize = if cfg!(feature = "board-pico2") {
    4 * 1024 * 1024
} else {
    2 * 1024 * 1024
};
/// The flash chip (W25Q16JV or W25Q32RV, 4 KiB erased in 45 ms, at most 400 ms). The core can't read
/// from it meanwhile: the driver runs in RAM, with interrupts masked.
pub type Flash = flash::Flash<'static, FLASH, Blocking, FLASH_LEN>;

/// The UART and its pins.
struct UartParts {
    uart: Peri<'static, UART0>,
    tx: Peri<'static, PIN_0>,
    rx: Peri<'static, PIN_1>,
}

static UART: Left<UartParts> = Left::nothing();
static WATCHDOG: Left<watchdog::Watchdog> = Left::nothing();
static FLASH_CHIP: Left<Peri<'static, FLASH>> = Left::nothing();

/// Starts the HAL with its defaults: 150 or 125 MHz from the crystal.
pub fn start() {
    let chip = embassy_rp::init(embassy_rp::config::Config::default());
    UART.leave(UartParts {
        uart: chip.UART0,
        tx: chip.PIN_0,
        rx: chip.PIN_1,
    });
    WATCHDOG.leave(watchdog::Watchdog::new(chip.WATCHDOG));
    FLASH_CHIP.leave(chip.FLASH);
}

/// Whether the hardware reports a reset by the watchdog; false once that is armed.
pub fn was_reset_by_watchdog() -> bool {
    let Some(watchdog) = WATCHDOG.take() else {
        return false;
    };
    let reason = watchdog.reset_reason();
    WATCHDOG.leave(watchdog);
    matches!(reason, Some(ResetReason::TimedOut))
}

pub type Port = BufferedUart;

/// Sets up the UART; `None` after the first call.
pub fn port(baud: u32, tx: &'static mut [u8], rx: &'static mut [u8]) -> Option<Port> {
    let mut config = Config::default();
    config.baudrate = baud;
    let UartParts {
        uart,
        tx: tx_pin,
        rx: rx_pin,
    } = UART.take()?;
    Some(BufferedUart::new(
        uart, tx_pin, rx_pin, Irqs, tx, rx, config,
    ))
}

/// Takes the flash; `None` after the first call.
pub fn flash() -> Option<Flash> {
    FLASH_CHIP.take().map(Flash::new_blocking)
}

/// The watchdog. When fed too late, it resets the chip.
pub struct Watchdog {
    watchdog: watchdog::Watchdog,
    period: Duration,
}

impl Watchdog {
    /// Arms the watchdog; it cannot be disarmed. `None` after the first call.
    pub fn arm(period_ms: u32) -> Option<Self> {
        let mut watchdog = WATCHDOG.take()?;
        let period = Duration::from_millis(period_ms.into());
        watchdog.start(period);
        Some(Self { watchdog, period })
    }

    /// Restarts the period.
    pub fn feed(&mut self) {
        self.watchdog.feed(self.period);
    }
}
