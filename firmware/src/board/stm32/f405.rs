//! The STM32F405 of the Netduino Plus 2: a Cortex-M4F at 168 MHz, 16 MHz (HSI) / 8 x 168 / 2. The
//! buses run at 42 MHz (APB1) and 84 MHz (APB2; RM0090, "Clocks"). The serial port is at D1 (PC6,
//! out) and D0 (PC7, in), USART6.

use super::{comes, pins};
use stm32_metapac::flash::vals::Latency;
use stm32_metapac::rcc::vals::{Pllm, Plln, Pllp, Pllsrc, Ppre, Sw};
use stm32_metapac::{FLASH, GPIOC, Interrupt, RCC, USART6};

/// Clock of SysTick, MHz: the core's.
pub const TIMER_MHZ: u64 = 168;
/// FLASH_ACR.LATENCY: wait states of the flash at 168 MHz from 2.7 V on (RM0090, FLASH_ACR).
const WAIT_STATES: Latency = Latency::WS5;

/// Sets up flash and clocks; the voltage is right for 168 MHz after a reset (RM0090, PWR_CR.VOS).
/// Without the PLL, the core runs at 16 MHz, and times in the
/// log are ten times too short.
pub fn start() {
    if !set_wait_states() {
        defmt::warn!("absent: FLASH.ACR; the flash's wait states stay as they are");
    }
    if !comes(|| RCC.cr().read().hsirdy()) || !set_pll() {
        defmt::warn!("absent: PLL; the clock stays at its value after a reset");
    }
}

/// Sets wait states, prefetch and both caches of the flash (RM0090, "Adaptive real-time memory
/// accelerator").
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
        w.set_pllm(Pllm::DIV8);
        w.set_plln(Plln::MUL168);
        w.set_pllp(Pllp::DIV2);
    });
    RCC.cr().modify(|w| w.set_pllon(true));
    if !comes(|| RCC.cr().read().pllrdy()) {
        return false;
    }
    RCC.cfgr().modify(|w| {
        w.set_ppre1(Ppre::DIV4);
        w.set_ppre2(Ppre::DIV2);
    });
    RCC.cfgr().modify(|w| w.set_sw(Sw::PLL1_P));
    comes(|| RCC.cfgr().read().sws() == Sw::PLL1_P)
}

/// The serial port.
pub const UART: stm32_metapac::usart::Usart = USART6;
/// Its interrupt.
pub const UART_INTERRUPT: Interrupt = Interrupt::USART6;
/// Its clock: that of APB2.
pub const UART_HZ: u32 = 84_000_000;

/// Starts the clock of the UART, and connects its pins (STM32F405 data sheet, "Alternate function
/// mapping").
pub fn connect_uart() {
    RCC.ahb1enr().modify(|w| w.set_gpiocen(true));
    RCC.apb2enr().modify(|w| w.set_usart6en(true));
    pins::connect(GPIOC, 6, 7, 8);
}

/// Whether the UART has a byte, which is read, and whether bytes were lost. Reading the byte after
/// the state clears both (RM0090, USART_SR).
pub fn receive() -> (Option<u8>, bool) {
    let state = UART.sr().read();
    let byte = (state.rxne() || state.ore()).then(|| UART.dr().read().dr() as u8);
    (byte.filter(|_| state.rxne()), state.ore())
}

/// Whether the UART takes a byte.
pub fn is_ready() -> bool {
    UART.sr().read().txe()
}

/// Sends a byte.
pub fn send(byte: u8) {
    UART.dr().write(|w| w.set_dr(byte.into()));
}

/// Whether the last byte has been sent.
pub fn is_sent() -> bool {
    UART.sr().read().tc()
}

/// Whether the hardware reports a reset by the watchdog; clears the report (RM0090, RCC_CSR).
pub fn was_reset_by_watchdog() -> bool {
    let was = RCC.csr().read().wdgrstf();
    RCC.csr().modify(|w| w.set_rmvf(true));
    was
}
