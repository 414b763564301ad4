//! Provokes every kind of fault, one per start; each ends in a restart that knows the reason. Exit
//! code 0 if all do.
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

/// Executes an undefined instruction. Reading an address without memory would not do: some boards
/// return zero.
#[inline(never)]
fn hard_fault() {
    cortex_m::asm::udf();
}

/// Recurses for ever, with about a kilobyte of stack per call.
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
