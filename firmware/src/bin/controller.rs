//! The policy as a controller that a host drives over a serial link (`docs/link.md`). Runs for
//! ever.
#![no_std]
#![no_main]

use cortex_m::peripheral::SCB;
use cortex_m::singleton;
use cortex_m_rt::entry;
use pusht_core::link::{Device, Identity, State};
use pusht_core::quant::Model;
use pusht_firmware::board::{self, Uart, Watchdog};
use pusht_firmware::counter::Counter;
use pusht_firmware::expected::{CHUNK_LEN, FRAMES_LEN, WINDOW_LEN};
use pusht_firmware::{fault, model_source, policy};

const BAUD: u32 = 115_200;
/// Longer than any plan takes, shorter than the time after which a host gives up.
const WATCHDOG_PERIOD_MS: u32 = 2000;
/// Most bytes received between two polls of the clock.
const BYTES_A_ROUND: usize = 128;

#[entry]
fn main() -> ! {
    let restart = fault::start();
    let (Some(peripherals), Some(frames), Some(mut uart)) = (
        cortex_m::Peripherals::take(),
        singleton!(FRAMES: [u8; FRAMES_LEN] = [0; FRAMES_LEN]),
        Uart::take(BAUD),
    ) else {
        defmt::panic!("main runs once");
    };
    let clock = Counter::start(peripherals);
    let running = model_source::open();
    // By reference, here and below: a moved value would be on the stack twice.
    let parsed = Model::parse(running.file);
    let model = match &parsed {
        Ok(model) => model,
        Err(error) => defmt::panic!("model file: {}", error),
    };
    let policy = policy::of(model);
    let identity = Identity {
        source: running.source,
        ..Identity::new(board::NAME, running.file)
    };
    let mut made =
        Device::<_, _, WINDOW_LEN, CHUNK_LEN>::new(policy, frames, identity, restart, || {
            clock.us()
        });
    if let Some(store) = running.store {
        made = made.map(|device| device.with_store(store));
    }
    let device = match &mut made {
        Ok(device) => device,
        // The only error there is. By `{}` it would be a second formatted type here, and so two
        // functions of one name, whose order depends on the build's folder (tests/reproducible.rs).
        Err(_) => defmt::panic!("link: a buffer is too short for the policy"),
    };
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
        if device.is_restart_due() {
            defmt::info!("restarting with the model that was sent");
            uart.flush();
            SCB::sys_reset();
        }
        match uart.lost() {
            0 => {}
            bytes => device.overrun(bytes),
        }
        let was_driven = device.state() == State::Driven;
        device.poll();
        let counts = device.counts();
        if counts.sessions != sessions {
            sessions = counts.sessions;
            defmt::info!("driven: session {=u32} since the start", sessions);
        }
        match device.state() {
            State::Holding if was_driven => {
                let action = device.action().unwrap_or_default();
                defmt::warn!("holding {}: the host is silent; {}", action, counts);
            }
            State::Idle if was_driven => defmt::info!("idle: the host is silent"),
            _ => uart.wait(),
        }
    }
}
