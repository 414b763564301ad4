//! The integer policy alone, without simulator and observation. The linked code must contain no
//! float arithmetic; `tests/no_float.rs` checks the symbols. Exit code 0 if the plans equal the
//! host's bit for bit.
#![no_std]
#![no_main]

use cortex_m::singleton;
use cortex_m_rt::entry;
use pusht_core::quant::{self, Model};
use pusht_firmware::counter::{Counter, UNIT};
use pusht_firmware::{board, exit, expected, stack};

#[entry]
fn main() -> ! {
    board::start();
    defmt::info!("board={=str}", board::NAME);
    let (Some(peripherals), Some(scratch)) = (
        cortex_m::Peripherals::take(),
        singleton!(SCRATCH: [u64; expected::SCRATCH_LEN] = [0; expected::SCRATCH_LEN]),
    ) else {
        defmt::panic!("main runs once");
    };
    let counter = Counter::start(peripherals);
    let parsed = Model::parse(expected::MODEL);
    let model = match &parsed {
        Ok(model) => model,
        Err(error) => defmt::panic!("model file: {}", error),
    };
    let start = counter.now();
    let plans = quant::selftest(model, scratch, expected::N_PLANS).unwrap_or_default();
    defmt::info!(
        "plans_digest={=u64:#018x} plan_{=str}={=u64} stack_bytes={=usize}",
        plans,
        UNIT,
        (counter.now() - start) / u64::from(expected::N_PLANS),
        stack::high_water_bytes()
    );
    if plans == expected::PLANS_DIGEST {
        exit::success()
    }
    exit::failure()
}
