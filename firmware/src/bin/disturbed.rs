//! An episode with noisy, late and lost observations, and the estimator before the policy. Exit
//! code 0 if every action and state equals the host's bit for bit.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use pusht_core::pusht::border::Disturbed;
use pusht_core::pusht::env::PushTParams;
use pusht_firmware::disturbances::disturbances;
use pusht_firmware::{board, closed_loop};

#[entry]
fn main() -> ! {
    board::start();
    closed_loop::play(
        |pusht| pusht.disturbed,
        |seed| Disturbed::new(&disturbances(), seed, &PushTParams::default()).with_estimator(),
    )
}
