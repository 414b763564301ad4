//! Board support: clocks, UART and watchdog. Memory maps are in `boards/`.

#[cfg(feature = "slots")]
mod memory_flash;
#[cfg(feature = "board-microbit")]
mod microbit;
#[cfg(all(feature = "qemu", not(feature = "board-microbit")))]
mod mps2;
#[cfg(feature = "stm32")]
#[path = "board/stm32/mod.rs"]
mod part;
#[cfg(feature = "board-nrf52840-dk")]
#[path = "board/nrf52840_dk.rs"]
mod part;
#[cfg(feature = "board-nucleo-h743zi2")]
#[path = "board/nucleo_h743zi2.rs"]
mod part;
#[cfg(any(feature = "board-pico", feature = "board-pico2"))]
#[path = "board/pico.rs"]
mod part;
#[cfg(feature = "embassy")]
mod silicon;
#[cfg(any(feature = "board-microbit", feature = "board-nrf52840-dk"))]
#[path = "board/nrf_timer.rs"]
pub(crate) mod timer;
#[cfg(not(any(feature = "board-microbit", feature = "board-nrf52840-dk")))]
#[path = "board/systick.rs"]
pub(crate) mod timer;

#[cfg(feature = "board-microbit")]
pub use microbit::TIMER_MHZ;
#[cfg(all(feature = "qemu", not(feature = "board-microbit")))]
pub use mps2::{TIMER_MHZ, Uart, Watchdog};
#[cfg(feature = "silicon")]
pub use part::{TIMER_MHZ, Watchdog};
#[cfg(feature = "stm32")]
pub use part::{Uart, on_timer};
#[cfg(feature = "embassy")]
pub use silicon::Uart;

#[cfg(feature = "slots")]
pub use memory_flash::Storage;

/// Name of the board, as in its feature.
pub const NAME: &str = env!("PUSHT_BOARD");

/// Starts the board: guards the stack and sets up the clocks. Every binary calls it first.
pub fn start() {
    crate::stack::guard();
    #[cfg(feature = "silicon")]
    part::start();
}

/// Whether the hardware reports a reset by the watchdog.
pub fn was_reset_by_watchdog() -> bool {
    #[cfg(feature = "silicon")]
    return part::was_reset_by_watchdog();
    // In QEMU, the watchdog first raises an interrupt, whose handler records the reason.
    #[cfg(feature = "qemu")]
    false
}

/// Sleeps until an interrupt, unless `is_needed` says that there is work.
pub fn sleep_unless(is_needed: impl FnOnce() -> bool) {
    // With interrupts masked, one that comes between the check and `wfi` still ends the sleep.
    cortex_m::interrupt::free(|_| {
        if !is_needed() {
            cortex_m::asm::wfi();
        }
    });
}
