//! Hangs within a log message, so that the watchdog fires while the logger is locked. Exit code 0
//! if the restart knows that it was the watchdog.
#![no_std]
#![no_main]

use core::hint::black_box;
use cortex_m_rt::entry;
use pusht_core::link::Restart;
use pusht_firmware::board::Watchdog;
use pusht_firmware::{exit, fault};

const WATCHDOG_PERIOD_MS: u32 = 100;

/// A value whose formatting never ends.
struct Hanging;

impl defmt::Format for Hanging {
    fn format(&self, _: defmt::Formatter<'_>) {
        while black_box(true) {}
    }
}

#[entry]
fn main() -> ! {
    let restart = fault::start();
    match restart {
        Restart::PowerOrPin => {
            let _unfed = Watchdog::arm(WATCHDOG_PERIOD_MS);
            defmt::info!("{}", Hanging);
        }
        Restart::Watchdog => exit::success(),
        _ => defmt::error!("not the watchdog"),
    }
    exit::failure()
}
