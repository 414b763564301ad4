//! The BBC micro:bit: a Cortex-M0 (nRF51822) with 256 KiB of flash and 16 KiB of RAM. It runs what
//! fits: the simulator, the kernels, and plans of a network with few channels. QEMU runs the image
//! that is flashed.
// SAFETY of the whole file: the handler is the only code that the timer's interrupt runs, and the
// registers belong to the chip and are accessed as whole words.
#![allow(unsafe_code)]

use super::timer;
use cortex_m_rt::exception;

/// Clock of the timer, MHz.
pub const TIMER_MHZ: u64 = 16;

/// Registers of clock and power, which share a base (nRF51 reference manual 3.0, chapters 11 and 13).
const TASKS_HFCLKSTART: *mut u32 = 0x4000_0000 as *mut u32;
const EVENTS_HFCLKSTARTED: *const u32 = 0x4000_0100 as *const u32;
const RESETREAS: *mut u32 = 0x4000_0400 as *mut u32;
/// RESETREAS.DOG, cleared by writing a one.
const DOG: u32 = 1 << 1;
/// Most looks at a clock that starts: more than 10 ms at 16 MHz, and it takes 1 ms.
const MOST_LOOKS: u32 = 20_000;

/// Starts the crystal. The core runs at 16 MHz without, from an oscillator whose time is some percent
/// off.
pub fn start() {
    // SAFETY: see the top of the file.
    let is_running = unsafe {
        TASKS_HFCLKSTART.write_volatile(1);
        (0..MOST_LOOKS).any(|_| EVENTS_HFCLKSTARTED.read_volatile() != 0)
    };
    if !is_running {
        defmt::warn!("absent: HFXO; the clock stays at its value after a reset");
    }
}

/// Whether the hardware reports a reset by the watchdog.
pub fn was_reset_by_watchdog() -> bool {
    // SAFETY: see the top of the file.
    unsafe {
        let reasons = RESETREAS.read_volatile();
        RESETREAS.write_volatile(DOG);
        reasons & DOG != 0
    }
}

/// Handles interrupts without a handler of their own. One is enabled, that of the timer.
#[exception]
unsafe fn DefaultHandler(irqn: i16) {
    if irqn != timer::IRQ as i16 {
        defmt::panic!("interrupt {=i16} was never enabled", irqn);
    }
    timer::on_interrupt();
}
