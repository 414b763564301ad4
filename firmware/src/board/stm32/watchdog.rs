//! The independent watchdog (RM0351 and RM0090, "Independent watchdog (IWDG)"). QEMU has none.

use super::comes;
use crate::board::timer_watchdog;
use stm32_metapac::IWDG;
use stm32_metapac::iwdg::vals::{Key, Pr};

/// Period of the watchdog's counter, ms: its clock (LSI) is 32 kHz, nearly (on the F405 17 to 47 kHz),
/// and divided by 64.
const TICK_MS: u32 = 2;

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
            timer_watchdog::arm(period_ms);
        }
        let mut watchdog = Self(());
        watchdog.feed();
        Some(watchdog)
    }

    /// Restarts the period.
    pub fn feed(&mut self) {
        IWDG.kr().write(|w| w.set_key(Key::RESET));
        timer_watchdog::feed();
    }
}
