//! The independent watchdog (RM0351 and RM0090, "Independent watchdog (IWDG)"). QEMU has none: there
//! the timer's interrupt takes its place, as long as interrupts are not masked.
#![allow(
    unsafe_code,
    reason = "the timer is taken where no one else has started it"
)]

use super::chip::TIMER_MHZ;
use super::comes;
use crate::counter::Counter;
use crate::fault;
use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::Peripherals;
use cortex_m::peripheral::SYST;
use stm32_metapac::IWDG;
use stm32_metapac::iwdg::vals::{Key, Pr};

/// Period of the watchdog's counter, ms: its clock (LSI) is 32 kHz, nearly (on the F405 17 to 47 kHz),
/// and divided by 64.
const TICK_MS: u32 = 2;

/// The interrupts of the timer after which a stand-in that is not fed restarts the device, and
/// those that are left; 0 while it is not armed.
static PERIODS: AtomicU32 = AtomicU32::new(0);
static LEFT: AtomicU32 = AtomicU32::new(0);

/// The watchdog. When fed too late, it resets the chip.
pub struct Watchdog(());

impl Watchdog {
    /// Arms the watchdog; it cannot be disarmed.
    pub fn arm(period_ms: u32) -> Option<Self> {
        let reload = u16::try_from(period_ms / TICK_MS).ok()?;
        IWDG.kr().write(|w| w.set_key(Key::START));
        IWDG.kr().write(|w| w.set_key(Key::ENABLE));
        IWDG.pr().write(|w| w.set_pr(Pr::DIVIDE_BY64));
        IWDG.rlr().write(|w| w.set_rl(reload));
        // Both registers take some periods of the slow clock.
        let is_set = || IWDG.sr().read().0 == 0 && IWDG.rlr().read().rl() == reload;
        if !comes(is_set) {
            defmt::warn!("absent: IWDG; the timer's interrupt takes its place");
            arm_stand_in(period_ms);
        }
        let mut watchdog = Self(());
        watchdog.feed();
        Some(watchdog)
    }

    /// Restarts the period.
    pub fn feed(&mut self) {
        IWDG.kr().write(|w| w.set_key(Key::RESET));
        LEFT.store(PERIODS.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

fn arm_stand_in(period_ms: u32) {
    // SAFETY: only this looks at the peripherals again, and only at a timer that is off.
    let mut peripherals = unsafe { Peripherals::steal() };
    if !peripherals.SYST.is_counter_enabled() {
        Counter::start(peripherals);
    }
    let ticks = period_ms * TIMER_MHZ as u32 * 1000;
    PERIODS.store(
        ticks.div_ceil(SYST::get_reload() + 1) + 1,
        Ordering::Relaxed,
    );
}

/// Counts an interrupt of the timer, and restarts the device after the last one.
pub fn on_timer() {
    match LEFT.load(Ordering::Relaxed) {
        0 => {}
        1 => fault::not_fed(),
        left => LEFT.store(left - 1, Ordering::Relaxed),
    }
}
