//! A whole episode on the device: simulator and policy in a closed loop. Exit code 0 if every
//! action and state equals the host's bit for bit.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use pusht_core::pusht::border::Clear;
use pusht_firmware::{board, closed_loop};

#[entry]
fn main() -> ! {
    board::start();
    closed_loop::play(|pusht| pusht.won, |_| Clear)
}
