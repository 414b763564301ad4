//! Provokes every kind of fault, one a start: each ends in a restart that knows why. Exit code 0 if all did.
#![no_std]
#![no_main]

use core::hint::black_box;
use cortex_m_rt::entry;
use pusht_core::link::Restart;
use pusht_firmware::board::Watchdog;
use pusht_firmware::{exit, fault};

const WATCHDOG_PERIOD_MS: u32 = 100;

#[entry]
fn main() -> ! {
    let restart = fault::start();
    match restart {
        Restart::PowerOrPin => defmt::panic!("on purpose"),
        Restart::Panic => hard_fault(),
        Restart::HardFault { .. } => {
            black_box(overflow(1));
        }
        Restart::StackOverflow { .. } => hang(),
        Restart::Watchdog => exit::success(),
    }
    defmt::error!("no fault");
    exit::failure()
}

/// An instruction that no core has: an address without memory some boards read as zero.
#[inline(never)]
fn hard_fault() {
    cortex_m::asm::udf();
}

/// Calls itself for ever, with a kilobyte on the stack each time.
#[inline(never)]
fn overflow(depth: u32) -> u32 {
    let mut frame = [depth; 300];
    black_box(&mut frame);
    if black_box(depth) == 0 {
        return 0;
    }
    overflow(depth + 1) + frame[299]
}

#[inline(never)]
fn hang() {
    let _unfed = Watchdog::arm(WATCHDOG_PERIOD_MS);
    while black_box(true) {}
}
