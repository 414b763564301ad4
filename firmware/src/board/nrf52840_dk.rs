//! Nordic's nRF52840-DK: a Cortex-M4F at 64 MHz. The debugger's USB serial port is at P0.06 (out)
//! and P0.08 (in).
// SAFETY of the whole file: `start` drops the peripherals of the chip, and each is stolen once, in
// one place.
#![allow(unsafe_code)]

use embassy_nrf::buffered_uarte::{BufferedUarte, InterruptHandler};
use embassy_nrf::peripherals::{P0_06, P0_08, PPI_CH0, PPI_CH1, PPI_GROUP0, TIMER0, UARTE0, WDT};
use embassy_nrf::uarte::{Baudrate, Config};
use embassy_nrf::{bind_interrupts, wdt};

bind_interrupts!(struct Irqs {
    UARTE0 => InterruptHandler<UARTE0>;
});

/// Clock of SysTick, MHz.
pub const SYSTICK_MHZ: u64 = 64;
/// Clock of the watchdog, Hz.
const WATCHDOG_HZ: u32 = 32_768;

/// Starts the HAL with its defaults; the core runs at 64 MHz without set-up.
pub fn start() {
    drop(embassy_nrf::init(embassy_nrf::config::Config::default()));
}

/// Whether the hardware reports a reset by the watchdog.
pub fn was_reset_by_watchdog() -> bool {
    /// RESETREAS and its bit DOG; writing a one clears it (product specification 1.8, 5.3.7).
    const RESETREAS: *mut u32 = 0x4000_0400 as *mut u32;
    const DOG: u32 = 1 << 1;
    // SAFETY: the register belongs to the chip, and nothing else reads it.
    unsafe {
        let reasons = RESETREAS.read_volatile();
        RESETREAS.write_volatile(DOG);
        reasons & DOG != 0
    }
}

pub type Port = BufferedUarte<'static>;

/// Sets up the UART; `None` for a rate other than 115,200 and 1,000,000 baud.
pub fn port(baud: u32, tx: &'static mut [u8], rx: &'static mut [u8]) -> Option<Port> {
    let mut config = Config::default();
    config.baudrate = match baud {
        115_200 => Baudrate::Baud115200,
        1_000_000 => Baudrate::Baud1m,
        _ => return None,
    };
    // SAFETY: see the top of the file.
    Some(unsafe {
        BufferedUarte::new(
            UARTE0::steal(),
            TIMER0::steal(),
            PPI_CH0::steal(),
            PPI_CH1::steal(),
            PPI_GROUP0::steal(),
            P0_08::steal(),
            P0_06::steal(),
            Irqs,
            config,
            rx,
            tx,
        )
    })
}

/// The watchdog. When fed too late, it resets the chip.
pub struct Watchdog(wdt::WatchdogHandle);

impl Watchdog {
    /// Arms the watchdog; it cannot be disarmed. To be called once.
    pub fn arm(period_ms: u32) -> Option<Self> {
        let mut config = wdt::Config::default();
        config.timeout_ticks = WATCHDOG_HZ / 1000 * period_ms;
        // SAFETY: see the top of the file.
        let watchdog = unsafe { WDT::steal() };
        let (_, [handle]) = wdt::Watchdog::try_new(watchdog, config).ok()?;
        Some(Self(handle))
    }

    /// Restarts the period.
    pub fn feed(&mut self) {
        self.0.pet();
    }
}
