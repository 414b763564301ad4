//! Digests of the simulator and of a plan against the host's: exit code 0 if all are equal.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use pusht_core::noise::NoiseSource;
use pusht_firmware::counter::InstructionCounter;
use pusht_firmware::{board, exit, stack};

#[entry]
fn main() -> ! {
    let Some(peripherals) = cortex_m::Peripherals::take() else {
        exit::failure()
    };
    let counter = InstructionCounter::start(peripherals.SYST);
    let mut noise = NoiseSource::new(1);
    let t0 = counter.now();
    let mut sum = 0i64;
    for _ in 0..100_000 {
        sum += i64::from(noise.next_gaussian().to_bits());
    }
    let t1 = counter.now();
    defmt::info!("board={=str} sum={=i64}", board::NAME, sum);
    defmt::info!("instructions={=u64}", t1 - t0);
    defmt::info!("stack_bytes={=usize}", stack::high_water_bytes());
    exit::success()
}
