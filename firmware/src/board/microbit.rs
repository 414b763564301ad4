//! The BBC micro:bit in QEMU: a Cortex-M0 (nRF51822) with 256 KiB of flash and 16 KiB of RAM. It
//! runs what fits: the simulator, the kernels, and plans of a network with few channels.
// SAFETY of the whole file: the handler is the only code that the timer's interrupt runs.
#![allow(unsafe_code)]

use super::timer;
use cortex_m_rt::exception;

/// Clock of the timer, MHz.
pub const TIMER_MHZ: u64 = 16;

/// Handles interrupts without a handler of their own. One is enabled, that of the timer.
#[exception]
unsafe fn DefaultHandler(irqn: i16) {
    if irqn != timer::IRQ as i16 {
        defmt::panic!("interrupt {=i16} was never enabled", irqn);
    }
    timer::on_interrupt();
}
