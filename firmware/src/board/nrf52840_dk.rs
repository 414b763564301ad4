//! Nordic's nRF52840-DK: a Cortex-M4F at 64 MHz. The debugger's USB serial port is at P0.06 (out)
//! and P0.08 (in).
// SAFETY of the whole file: the registers that are accessed here belong to the chip, and nothing
// else does what is done with them.
#![allow(unsafe_code)]

use super::left::Left;
use super::timer;
use embassy_nrf::Peri;
use embassy_nrf::buffered_uarte::{BufferedUarte, InterruptHandler};
use embassy_nrf::config::HfclkSource;
use embassy_nrf::interrupt::typelevel;
use embassy_nrf::nvmc::Nvmc;
use embassy_nrf::peripherals::{
    NVMC, P0_06, P0_08, PPI_CH0, PPI_CH1, PPI_GROUP0, TIMER0, UARTE0, WDT,
};
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

/// Where the flash begins.
pub const FLASH_START: usize = 0;
/// The flash: 256 pages of 4 KiB, each erased in 85 ms at most, during which the core stands still
/// while it fetches from flash (product specification 1.8, 4.3).
pub type Flash = Nvmc<'static>;

/// What the driver of the UART needs: UART, timer and two channels that count its bytes, pins.
struct UartParts {
    uart: Peri<'static, UARTE0>,
    timer: Peri<'static, TIMER0>,
    channels: (Peri<'static, PPI_CH0>, Peri<'static, PPI_CH1>),
    group: Peri<'static, PPI_GROUP0>,
    rx: Peri<'static, P0_08>,
    tx: Peri<'static, P0_06>,
}

static UART: Left<UartParts> = Left::nothing();
static WATCHDOG: Left<Peri<'static, WDT>> = Left::nothing();
static FLASH: Left<Peri<'static, NVMC>> = Left::nothing();

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
    let chip = embassy_nrf::init(config);
    UART.leave(UartParts {
        uart: chip.UARTE0,
        timer: chip.TIMER0,
        channels: (chip.PPI_CH0, chip.PPI_CH1),
        group: chip.PPI_GROUP0,
        rx: chip.P0_08,
        tx: chip.P0_06,
    });
    WATCHDOG.leave(chip.WDT);
    FLASH.leave(chip.NVMC);
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

/// Sets up the UART; `None` after the first call, or for a rate other than 115,200 and 1,000,000
/// baud.
pub fn port(baud: u32, tx: &'static mut [u8], rx: &'static mut [u8]) -> Option<Port> {
    let mut config = Config::default();
    config.baudrate = match baud {
        115_200 => Baudrate::Baud115200,
        1_000_000 => Baudrate::Baud1m,
        _ => return None,
    };
    let parts = UART.take()?;
    Some(BufferedUarte::new(
        parts.uart,
        parts.timer,
        parts.channels.0,
        parts.channels.1,
        parts.group,
        parts.rx,
        parts.tx,
        Irqs,
        config,
        rx,
        tx,
    ))
}

/// Takes the flash; `None` after the first call.
pub fn flash() -> Option<Flash> {
    FLASH.take().map(Nvmc::new)
}

/// The watchdog. When fed too late, it resets the chip.
pub struct Watchdog(wdt::WatchdogHandle);

impl Watchdog {
    /// Arms the watchdog; it cannot be disarmed. `None` after the first call.
    pub fn arm(period_ms: u32) -> Option<Self> {
        let mut config = wdt::Config::default();
        config.timeout_ticks = WATCHDOG_HZ / 1000 * period_ms;
        let (_, [handle]) = wdt::Watchdog::try_new(WATCHDOG.take()?, config).ok()?;
        Some(Self(handle))
    }

    /// Restarts the period.
    pub fn feed(&mut self) {
        self.0.pet();
    }
}
