//! ST's B-L475E-IOT01A: an STM32L475 with a Cortex-M4F at 80 MHz. The debugger's USB serial port is
//! at PB6 (out) and PB7 (in).
//!
//! The same image runs on the board and in QEMU's machine of that name. Start-up is on the
//! registers of `stm32-metapac`: the HAL waits for registers that QEMU does not model. What is
//! absent there is waited for with a bound, logged, and replaced by something else or done without.

mod clocks;
mod uart;
mod watchdog;

pub use clocks::{TIMER_MHZ, start};
pub use uart::Uart;
pub use watchdog::{Watchdog, on_timer, was_reset_by_watchdog};

/// Most looks at a register that has to change: beyond the 20 ms that a look takes at 4 MHz, no
/// register of the part needs longer.
const MOST_LOOKS: u32 = 10_000;

/// Whether `is_there` becomes true before [`MOST_LOOKS`].
fn comes(is_there: impl Fn() -> bool) -> bool {
    (0..MOST_LOOKS).any(|_| is_there())
}
