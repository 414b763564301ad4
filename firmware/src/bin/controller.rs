//! The policy as a controller that a host drives over a serial link (`docs/link.md`). Runs for
//! ever.
#![no_std]
#![no_main]

use cortex_m::singleton;
use cortex_m_rt::entry;
use pusht_core::link::{Device, Identity, State};
use pusht_core::quant::{IntPolicy, Model, Scratch};
use pusht_firmware::board::{self, Uart, Watchdog};
use pusht_firmware::counter::Counter;
use pusht_firmware::expected::MODEL;
use pusht_firmware::fault;

const BAUD: u32 = 115_200;
/// Longer than any plan takes, shorter than the time after which a host gives up.
const WATCHDOG_PERIOD_MS: u32 = 2000;
/// Most bytes received between two polls of the clock.
const BYTES_A_ROUND: usize = 128;

#[entry]
fn main() -> ! {
    let restart = fault::start();
    let (Some(peripherals), Some(scratch), Some(mut uart)) = (
        cortex_m::Peripherals::take(),
        singleton!(SCRATCH: Scratch = Scratch::new()),
        Uart::take(BAUD),
    ) else {
        defmt::panic!("main runs once");
    };
    let clock = Counter::start(peripherals);
    let model = match Model::parse(MODEL) {
        Ok(model) => model,
        Err(error) => defmt::panic!("model file: {}", error),
    };
    let policy = IntPolicy::new(&model, scratch);
    let identity = Identity::new(board::NAME, MODEL);
    let mut device = Device::new(policy, identity, restart, || clock.us());
    let Some(mut watchdog) = Watchdog::arm(WATCHDOG_PERIOD_MS) else {
        defmt::panic!("main runs once");
    };
    defmt::info!("idle: waiting for a host");
    let mut sessions = 0;
    loop {
        watchdog.feed();
        for _ in 0..BYTES_A_ROUND {
            let Some(byte) = uart.read() else { break };
            device.receive(byte, |frame| uart.write(frame));
        }
        match uart.lost() {
            0 => {}
            bytes => device.overrun(bytes),
        }
        let was_driven = matches!(device.state(), State::Driven(_));
        device.poll();
        let counts = device.counts();
        if counts.sessions != sessions {
            sessions = counts.sessions;
            defmt::info!("driven: session {=u32} since the start", sessions);
        }
        match device.state() {
            State::Holding([x, y]) if was_driven => {
                defmt::warn!(
                    "holding at {=f64}, {=f64} px: the host is silent; {}",
                    x,
                    y,
                    counts
                );
            }
            State::Idle if was_driven => defmt::info!("idle: the host is silent"),
            _ => uart.wait(),
        }
    }
}
