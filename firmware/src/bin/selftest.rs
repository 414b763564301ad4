//! The simulator's digest against the host's: exit code 0 if it is equal.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use pusht_core::selftest::{PHYSICS_DIGEST, physics_digest};
use pusht_firmware::counter::InstructionCounter;
use pusht_firmware::{board, exit, stack};

#[entry]
fn main() -> ! {
    defmt::info!("board={=str}", board::NAME);
    let Some(peripherals) = cortex_m::Peripherals::take() else {
        defmt::panic!("main runs once");
    };
    let counter = InstructionCounter::start(peripherals.SYST);

    let start = counter.now();
    let physics = physics_digest();
    let physics_is_right = physics == Ok(PHYSICS_DIGEST);
    defmt::info!(
        "physics_digest={=u64:#018x} right={=bool} physics_instructions={=u64}",
        physics.unwrap_or_default(),
        physics_is_right,
        counter.now() - start
    );
    defmt::info!("stack_bytes={=usize}", stack::high_water_bytes());
    if physics_is_right {
        exit::success()
    }
    exit::failure()
}
