//! A policy on a board in one file: parse the model, observe, plan, act.
//!
//! `cargo run --release --example minimal` runs it in QEMU. Replace [`Robot`] by your sensors and
//! motors, and `MODEL` and the lengths by your policy's (`pusht info FILE` prints them).
#![no_std]
#![no_main]

use cortex_m::{Peripherals, singleton};
use cortex_m_rt::entry;
use pusht_core::Error;
use pusht_core::control::{Planner, RecedingHorizon};
use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
use pusht_core::pusht::observation::{ObservationKind, observe};
use pusht_core::quant::{IntPolicy, Model};
use pusht_firmware::counter::Counter;
use pusht_firmware::{board, exit};

/// The model file, in flash.
static MODEL: &[u8] = pusht_core::include_model!("../../models/pusht-small.ptm");
/// Working memory of a plan, words of 8 bytes.
const SCRATCH_LEN: usize = 972;
/// `To x Do` and `(1 + Ta) x Da` values.
const WINDOW_LEN: usize = 2 * 18;
const CHUNK_LEN: usize = (1 + 3) * 2;
const N_TICKS: u32 = 20;

/// What is observed and driven; here a simulation. It owns its peripherals.
struct Robot(PushTEnv);

impl Robot {
    fn take() -> Result<Self, Error> {
        let start = StartState::from_seed(0, Seeding::Legacy)?;
        PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy).map(Self)
    }

    /// `[Do]`: eight corners of the T, and the agent, px.
    fn observe(&self) -> Result<[f64; 18], Error> {
        let mut observation = [0.0; 18];
        observe(ObservationKind::Vertices, &self.0.state(), &mut observation)?;
        Ok(observation)
    }

    /// Drives the agent to a target position, px, for a tick.
    fn act(&mut self, action: &[f64]) -> Result<(), Error> {
        let [x, y] = action else { return Ok(()) };
        self.0.step([*x, *y]).map(|_| ())
    }
}

/// Plans where no planned action is left, and acts.
fn run(mut policy: IntPolicy<'_>, mut robot: Robot, clock: &Counter) -> Result<(), Error> {
    let mut horizon = RecedingHorizon::<WINDOW_LEN, CHUNK_LEN>::new(policy.shape(), 0)?;
    for tick in 0..N_TICKS {
        let began_us = clock.us();
        let action = horizon.act(&mut policy, &robot.observe()?)?;
        robot.act(action)?;
        defmt::info!("tick {}: {} in {} us", tick, action, clock.us() - began_us);
    }
    Ok(())
}

#[entry]
fn main() -> ! {
    board::start();
    let core = defmt::unwrap!(Peripherals::take());
    let scratch = defmt::unwrap!(singleton!(SCRATCH: [u64; SCRATCH_LEN] = [0; SCRATCH_LEN]));
    let model = defmt::unwrap!(Model::parse(MODEL));
    let policy = defmt::unwrap!(IntPolicy::new(&model, scratch));
    let robot = defmt::unwrap!(Robot::take());
    let clock = Counter::start(core);
    defmt::unwrap!(run(policy, robot, &clock));
    exit::success()
}
