//! An episode in real time. Exit code 0 if no deadline is missed and every action and state equals
//! the host's bit for bit.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use pusht_firmware::realtime;

#[entry]
fn main() -> ! {
    realtime::run(false)
}
