//! Provokes every kind of fault, one a start: each ends in a restart that knows why. Exit code 0 if all did.
#![no_std]
#![no_main]
// SAFETY of the whole file: the faults that it provokes end in a restart.
#![allow(unsafe_code)]

use core::hint::black_box;
use cortex_m_rt::entry;
use pusht_core::link::Restart;
use pusht_firmware::board::{self, Watchdog};
use pusht_firmware::{exit, fault};

const WATCHDOG_PERIOD_MS: u32 = 100;
/// No memory there, on any board.
const NOWHERE: *const u32 = 0xe000_0000_usize.wrapping_sub(16) as *const u32;

#[entry]
fn main() -> ! {
    board::start();
    let restart = fault::restart();
    fault::restart_after_faults();
    defmt::info!("board={=str} start={}", board::NAME, restart);
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

#[inline(never)]
fn hard_fault() {
    // SAFETY: none; that is the fault.
    black_box(unsafe { NOWHERE.read_volatile() });
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
