//! The STM32L475 of ST's B-L475E-IOT01A: a Cortex-M4F at 80 MHz, 16 MHz (HSI16) x 10 / 2, and all
//! buses (RM0351, "Clocks"). The debugger's USB serial port is at PB6 (out) and PB7 (in), USART1.
//! QEMU allows access to the USART's registers by words only, as here.

use super::{comes, pins};
use stm32_metapac::flash::regs::Acr;
use stm32_metapac::pwr::vals::Vos;
use stm32_metapac::rcc::vals::{Pllm, Plln, Pllr, Pllsrc, Sw};
use stm32_metapac::{FLASH, GPIOB, Interrupt, PWR, RCC, USART1};

/// Clock of SysTick, MHz: the core's.
pub const TIMER_MHZ: u64 = 80;
/// FLASH.ACR.LATENCY: wait states of the flash at 80 MHz in voltage range 1 (RM0351, "Read access latency").
const WAIT_STATES: u8 = 4;

/// Sets up voltage, flash and clocks. Without the PLL, the core runs at 16 MHz, and times in the
/// log are five times too short.
pub fn start() {
    if !set_voltage() {
        defmt::warn!("absent: PWR; the voltage range stays as it is");
    }
    let has_wait_states = set_wait_states();
    if !has_wait_states {
        defmt::warn!("absent: FLASH.ACR; the flash's wait states stay as they are");
    }
    RCC.cr().modify(|w| w.set_hsion(true));
    if !comes(|| RCC.cr().read().hsirdy()) || !set_pll() {
        defmt::error!("absent: PLL; the clock stays at its value after a reset");
    }
}

/// Sets the voltage range for up to 80 MHz (RM0351, "Dynamic voltage scaling management").
fn set_voltage() -> bool {
    RCC.apb1enr1().modify(|w| w.set_pwren(true));
    PWR.cr1().modify(|w| w.set_vos(Vos::RANGE1));
    comes(|| PWR.cr1().read().vos() == Vos::RANGE1 && !PWR.sr2().read().vosf())
}

/// Sets wait states, prefetch and both caches of the flash (RM0351, FLASH_ACR).
fn set_wait_states() -> bool {
    FLASH.acr().write_value(access_control());
    comes(|| FLASH.acr().read().latency() == WAIT_STATES)
}

fn access_control() -> Acr {
    let mut control = Acr(0);
    control.set_latency(WAIT_STATES);
    control.set_prften(true);
    control.set_icen(true);
    control.set_dcen(true);
    control
}

/// Turns the flash's data cache off, or on and empty. It can be emptied only while it is off
/// (RM0351, FLASH_ACR.DCRST).
pub fn set_data_cache(is_on: bool) {
    let mut control = access_control();
    control.set_dcen(false);
    FLASH.acr().write_value(control);
    if is_on {
        control.set_dcrst(true);
        FLASH.acr().write_value(control);
        FLASH.acr().write_value(access_control());
    }
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

/// The debugger's serial port.
pub const UART: stm32_metapac::usart::Usart = USART1;
/// Its interrupt.
pub const UART_INTERRUPT: Interrupt = Interrupt::USART1;
/// Its clock: that of its bus.
pub const UART_HZ: u32 = TIMER_MHZ as u32 * 1_000_000;

/// Starts the clock of the UART, and connects its pins (STM32L475 data sheet, "Alternate
/// function").
pub fn connect_uart() {
    RCC.ahb2enr().modify(|w| w.set_gpioben(true));
    RCC.apb2enr().modify(|w| w.set_usart1en(true));
    pins::connect(GPIOB, 6, 7, 7);
}

/// Whether the UART has a byte, which is read, and whether bytes were lost.
pub fn receive() -> (Option<u8>, bool) {
    let state = UART.isr().read();
    if state.ore() {
        UART.icr().write(|w| w.set_ore(true));
    }
    let byte = state.rxne().then(|| UART.rdr().read().dr() as u8);
    (byte, state.ore())
}

/// Whether the UART takes a byte.
pub fn is_ready() -> bool {
    UART.isr().read().txe()
}

/// Sends a byte.
pub fn send(byte: u8) {
    UART.tdr().write(|w| w.set_dr(byte.into()));
}

/// Whether the last byte has been sent.
pub fn is_sent() -> bool {
    UART.isr().read().tc()
}

/// Whether the hardware reports a reset by the watchdog; clears the report (RM0351, RCC_CSR).
pub fn was_reset_by_watchdog() -> bool {
    let was = RCC.csr().read().iwdgrstf();
    RCC.csr().modify(|w| w.set_rmvf(true));
    was
}
