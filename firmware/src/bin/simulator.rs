//! The simulator alone: 100 control steps. Exit code 0 if every state equals the host's bit for
//! bit.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use pusht_core::pusht::selftest::{PHYSICS_DIGEST, physics_digest};
use pusht_firmware::counter::{Counter, UNIT};
use pusht_firmware::{board, exit, stack};

#[entry]
fn main() -> ! {
    board::start();
    defmt::info!("board={=str}", board::NAME);
    let Some(peripherals) = cortex_m::Peripherals::take() else {
        defmt::panic!("main runs once");
    };
    let counter = Counter::start(peripherals);
    let physics = physics_digest();
    defmt::info!(
        "physics_digest={=u64:#018x} physics_{=str}={=u64} stack_bytes={=usize}",
        physics.unwrap_or_default(),
        UNIT,
        counter.now(),
        stack::high_water_bytes()
    );
    if physics == Ok(PHYSICS_DIGEST) {
        exit::success()
    }
    exit::failure()
}
