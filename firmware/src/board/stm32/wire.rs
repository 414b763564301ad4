//! The registers of the serial port.
#![allow(unsafe_code, reason = "unmasking of an interrupt")]

use super::chip::{self, UART, UART_HZ, UART_INTERRUPT};
use crate::board::uart;
use cortex_m::peripheral::NVIC;
use stm32_metapac::interrupt;

pub use chip::{is_ready, is_sent, receive, send};

#[cfg(feature = "board-b-l475e-iot01a")]
#[interrupt]
fn USART1() {
    uart::on_interrupt();
}

#[cfg(feature = "board-netduinoplus2")]
#[interrupt]
fn USART6() {
    uart::on_interrupt();
}

/// Sets up the UART for `baud`, and its interrupt.
pub fn start(baud: u32) {
    chip::connect_uart();
    UART.brr().write(|w| w.set_brr((UART_HZ / baud) as u16));
    UART.cr1().write(|w| {
        w.set_ue(true);
        w.set_te(true);
        w.set_re(true);
        w.set_rxneie(true);
    });
    // SAFETY: no critical section relies on this interrupt being off.
    unsafe { NVIC::unmask(UART_INTERRUPT) };
}

/// Asks for an interrupt when there is room for the next byte or, without one, when the last byte
/// has been sent.
pub fn expect(is_next_waiting: bool) {
    let is_last_under_way = !is_next_waiting && !is_sent();
    UART.cr1().modify(|w| {
        w.set_txeie(is_next_waiting);
        w.set_tcie(is_last_under_way);
    });
}
