//! What differs between boards; memory maps are in `boards/`.

mod mps2;

pub use mps2::{Uart, Watchdog};

/// The board's name, as in the feature.
pub const NAME: &str = env!("PUSHT_BOARD");

/// Clock of SysTick, MHz (QEMU, `hw/arm/mps2.c` and `hw/arm/mps2-tz.c`).
pub const SYSTICK_MHZ: u64 = if cfg!(feature = "board-mps2-an505") {
    20
} else if cfg!(feature = "board-mps3-an547") {
    32
} else {
    25
};

/// Sleeps until an interrupt, unless `is_needed` says that there is something to do.
pub fn sleep_unless(is_needed: impl FnOnce() -> bool) {
    // With interrupts masked, one that comes between the look and the sleep still ends the sleep.
    cortex_m::interrupt::free(|_| {
        if !is_needed() {
            cortex_m::asm::wfi();
        }
    });
}
