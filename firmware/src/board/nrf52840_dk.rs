//! Nordic's nRF52840-DK: a Cortex-M4F at 64 MHz. The debugger's USB serial port is at P0.06 (out)
//! and P0.08 (in).
// SAFETY of the whole file: `start` drops the peripherals of the chip, and each is stolen once, in
// one place.
#![allow(unsafe_code)]

use super::timer;
use embassy_nrf::buffered_uarte::{BufferedUarte, InterruptHandler};
use embassy_nrf::config::HfclkSource;
use embassy_nrf::interrupt::typelevel;
use embassy_nrf::peripherals::{P0_06, P0_08, PPI_CH0, PPI_CH1, PPI_GROUP0, TIMER0, UARTE0, WDT};
use embassy_nrf::uarte::{Baudrate, Config};
use embassy_nrf::{bind_interrupts, wdt};

bind_interrupts!(struct Irqs {
    UARTE0 => InterruptHandler<UARTE0>;
    TIMER1 => TimerHandler;
});

struct TimerHandler;

impl typelevel::Handler<typelevel::TIMER1> for TimerHandler {
    unsafe fn on_interrupt() {
        timer::on_interrupt();
    }
}

/// Clock of the timer, MHz.
pub const TIMER_MHZ: u64 = 16;
/// Clock of the watchdog, Hz.
const WATCHDOG_HZ: u32 = 32_768;

/// Starts the HAL; the core runs at 64 MHz without set-up. The board has a crystal, so that time
/// and baud rate are exact, and the inductor of the converter that supplies the core (product
/// specification 1.8, 5.3.2). The cache of the flash is off after a reset (4.3.3): the core waits
/// two cycles for each miss.
pub fn start() {
    /// ICACHECNF and its bit CACHEEN (product specification 1.8, 4.3.5).
    const ICACHECNF: *mut u32 = 0x4001_e540 as *mut u32;
    const CACHEEN: u32 = 1;
    let mut config = embassy_nrf::config::Config::default();
    config.hfclk_source = HfclkSource::ExternalXtal;
    config.dcdc.reg1 = true;
    drop(embassy_nrf::init(config));
    // SAFETY: the register belongs to the chip, and nothing else writes it.
    unsafe { ICACHECNF.write_volatile(CACHEEN) };
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
