//! Clocks of the STM32L475: 16 MHz (HSI16) x 10 / 2 = 80 MHz (RM0351, 6.2.4) for the core and all
//! buses.

use super::comes;
use stm32_metapac::pwr::vals::Vos;
use stm32_metapac::rcc::vals::{Pllm, Plln, Pllr, Pllsrc, Sw};
use stm32_metapac::{FLASH, PWR, RCC};

/// Clock of SysTick, MHz: the core's.
pub const TIMER_MHZ: u64 = 80;
/// FLASH.ACR.LATENCY: wait states of the flash at 80 MHz in voltage range 1 (RM0351, 3.3.3).
const WAIT_STATES: u8 = 4;

/// Sets up voltage, flash and clocks. Without the PLL, the core runs at 16 MHz, and times in the
/// log are five times too short.
pub fn start() {
    if !set_voltage() {
        defmt::warn!("absent: PWR; the voltage range stays as it is");
    }
    let has_wait_states = set_wait_states();
    if !has_wait_states {
        defmt::warn!("absent: FLASH; its wait states stay as they are");
    }
    RCC.cr().modify(|w| w.set_hsion(true));
    if !comes(|| RCC.cr().read().hsirdy()) || !set_pll() {
        defmt::error!("absent: PLL; the clock stays at its value after a reset");
    }
}

/// Sets the voltage range for up to 80 MHz (RM0351, 5.1.7).
fn set_voltage() -> bool {
    RCC.apb1enr1().modify(|w| w.set_pwren(true));
    PWR.cr1().modify(|w| w.set_vos(Vos::RANGE1));
    comes(|| PWR.cr1().read().vos() == Vos::RANGE1 && !PWR.sr2().read().vosf())
}

/// Sets wait states, prefetch and both caches of the flash (RM0351, 3.3.4).
fn set_wait_states() -> bool {
    FLASH.acr().modify(|w| {
        w.set_latency(WAIT_STATES);
        w.set_prften(true);
        w.set_icen(true);
        w.set_dcen(true);
    });
    comes(|| FLASH.acr().read().latency() == WAIT_STATES)
}

fn set_pll() -> bool {
    RCC.pllcfgr().modify(|w| {
        w.set_pllsrc(Pllsrc::HSI);
        w.set_pllm(Pllm::DIV1);
        w.set_plln(Plln::MUL10);
        w.set_pllr(Pllr::DIV2);
        w.set_pllren(true);
    });
    RCC.cr().modify(|w| w.set_pllon(true));
    if !comes(|| RCC.cr().read().pllrdy()) {
        return false;
    }
    RCC.cfgr().modify(|w| w.set_sw(Sw::PLL1_R));
    comes(|| RCC.cfgr().read().sws() == Sw::PLL1_R)
}
