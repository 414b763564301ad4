//! The timer of most boards: SysTick (Armv7-M ARM, B3.3), which counts the clock of the core. It
//! goes on counting in `wfi` on the RP2040 and RP2350 (datasheets: only a deep sleep stops the
//! processor's free-running clock) and on STM32 (RM0433, 6.7: Sleep stops the core's clock alone).

use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{SCB, SYST};
use cortex_m_rt::exception;

/// The longest period, ticks.
pub const LONGEST: u32 = 1 << 24;

static RELOAD: AtomicU32 = AtomicU32::new(LONGEST - 1);

/// Starts the timer: an interrupt every `period` ticks.
pub fn start(mut timer: SYST, period: u32) {
    RELOAD.store(period - 1, Ordering::Relaxed);
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(period - 1);
    timer.clear_current();
    timer.enable_interrupt();
    timer.enable_counter();
}

/// Ticks since the period began.
pub fn elapsed() -> u32 {
    RELOAD.load(Ordering::Relaxed) - SYST::get_current()
}

/// Whether a period has ended and its interrupt has not run yet.
pub fn is_pending() -> bool {
    SCB::is_pendst_pending()
}

#[exception]
fn SysTick() {
    crate::counter::on_timer();
}
