//! STM32 without a HAL: the L475 of ST's B-L475E-IOT01A, and the F405 of the Netduino Plus 2.
//!
//! The same image runs on the board and in QEMU's machine of that name. Start-up is on the
//! registers of `stm32-metapac`: the HALs wait for registers that QEMU does not model. What is
//! absent there is waited for with a bound, logged, and replaced by something else or done without.

#[cfg(feature = "board-netduinoplus2")]
#[path = "f405.rs"]
mod chip;
#[cfg(feature = "board-b-l475e-iot01a")]
#[path = "l475.rs"]
mod chip;
#[cfg(feature = "board-b-l475e-iot01a")]
mod l475_flash;
mod pins;
mod watchdog;
pub mod wire;

pub use chip::{TIMER_MHZ, start, was_reset_by_watchdog};
#[cfg(feature = "board-b-l475e-iot01a")]
pub use l475_flash::{FLASH_START, Flash, flash};
pub use watchdog::Watchdog;

/// Most looks at a register that has to change: at 4 MHz they take more than 20 ms, and no register
/// of the parts needs longer.
const MOST_LOOKS: u32 = 10_000;

/// Whether `is_there` becomes true before [`MOST_LOOKS`].
fn comes(is_there: impl Fn() -> bool) -> bool {
    (0..MOST_LOOKS).any(|_| is_there())
}
