//! Pins of a serial port.

use stm32_metapac::gpio::Gpio;
use stm32_metapac::gpio::vals::{Moder, Pupdr};

/// Gives two of the pins 0 to 7 of a port to their function of this number, with a pull-up where
/// nothing may be connected.
pub fn connect(port: Gpio, tx: usize, rx: usize, function: u8) {
    port.pupdr().modify(|w| w.set_pupdr(rx, Pupdr::PULL_UP));
    for pin in [tx, rx] {
        port.afr(0).modify(|w| w.set_afr(pin, function));
        port.moder().modify(|w| w.set_moder(pin, Moder::ALTERNATE));
    }
}
