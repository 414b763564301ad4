//! An episode in real time with plans that are late on purpose. Exit code 0 if each miss is
//! counted, the last target is held meanwhile, and every action and state equals the host's bit for
//! bit.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use pusht_firmware::realtime;

#[entry]
fn main() -> ! {
    realtime::run(true)
}
