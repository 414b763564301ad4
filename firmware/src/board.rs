//! Board support: clocks, UART and watchdog. Memory maps are in `boards/`.

#[cfg(feature = "embassy")]
mod left;
#[cfg(feature = "board-mps2-an386")]
mod mps2_flash;
#[cfg(feature = "board-microbit")]
#[path = "board/microbit.rs"]
mod part;
#[cfg(feature = "qemu")]
#[path = "board/mps2.rs"]
mod part;
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
#[cfg(any(feature = "qemu", feature = "board-microbit"))]
mod register;
#[cfg(feature = "slots")]
mod slots;
#[cfg(any(feature = "board-microbit", feature = "board-nrf52840-dk"))]
#[path = "board/nrf_timer.rs"]
pub(crate) mod timer;
#[cfg(not(any(feature = "board-microbit", feature = "board-nrf52840-dk")))]
#[path = "board/systick.rs"]
pub(crate) mod timer;
#[cfg(any(feature = "stm32", feature = "board-microbit"))]
pub(crate) mod timer_watchdog;
#[cfg(feature = "embassy")]
#[path = "board/embassy_uart.rs"]
mod uart;
#[cfg(not(feature = "embassy"))]
mod uart;

pub use part::{TIMER_MHZ, Watchdog};
#[cfg(feature = "slots")]
pub use slots::Storage;
pub use uart::Uart;

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
