//! Compares digests of the simulator, of plans and of both in a closed loop with the host's. Exit
//! code 0 if all are equal, and if a model file at an odd address is refused.
#![no_std]
#![no_main]

use cortex_m::singleton;
use cortex_m_rt::entry;
use pusht_core::pusht::selftest::{PHYSICS_DIGEST, closed_loop_digest, physics_digest};
use pusht_core::quant::{self, Model, ModelError};
use pusht_firmware::counter::{Counter, UNIT};
use pusht_firmware::expected::{self, PushT};
use pusht_firmware::{board, exit, stack};

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

    let start = counter.now();
    let physics = physics_digest();
    let physics_is_right = physics == Ok(PHYSICS_DIGEST);
    defmt::info!(
        "physics_digest={=u64:#018x} right={=bool} physics_{=str}={=u64}",
        physics.unwrap_or_default(),
        physics_is_right,
        UNIT,
        counter.now() - start
    );

    let start = counter.now();
    let parsed = Model::parse(expected::MODEL);
    let model = match &parsed {
        Ok(model) => model,
        Err(error) => defmt::panic!("model file: {}", error),
    };
    defmt::info!("model_check_{=str}={=u64}", UNIT, counter.now() - start);
    let is_misaligned_refused = is_misaligned_refused();
    defmt::info!("misaligned_is_refused={=bool}", is_misaligned_refused);

    let start = counter.now();
    let plans = quant::selftest(model, scratch, expected::N_PLANS).unwrap_or_default();
    let plans_are_right = plans == expected::PLANS_DIGEST;
    defmt::info!(
        "plans_digest={=u64:#018x} right={=bool} plan_{=str}={=u64}",
        plans,
        plans_are_right,
        UNIT,
        (counter.now() - start) / u64::from(expected::N_PLANS)
    );

    let closed_loop_is_right = match expected::PUSHT {
        Ok(pusht) => closed_loop(model, scratch, &pusht),
        Err(_) => true,
    };

    defmt::info!("stack_bytes={=usize}", stack::high_water_bytes());
    if physics_is_right && is_misaligned_refused && plans_are_right && closed_loop_is_right {
        exit::success()
    }
    exit::failure()
}

/// Whether a model file that is not at a multiple of 4 is refused.
fn is_misaligned_refused() -> bool {
    let elsewhere = expected::MODEL.get(1..).unwrap_or_default();
    matches!(Model::parse(elsewhere), Err(ModelError::Misaligned))
}

/// Whether the closed loop of simulator and policy has the host's digest.
fn closed_loop(model: &Model<'_>, scratch: &mut [u64], pusht: &PushT) -> bool {
    let digest = closed_loop_digest::<{ expected::WINDOW_LEN }, { expected::CHUNK_LEN }>(
        model,
        scratch,
        expected::N_CLOSED_LOOP_STEPS,
    );
    let is_right = digest == Ok(pusht.closed_loop_digest);
    defmt::info!(
        "closed_loop_digest={=u64:#018x} right={=bool}",
        digest.unwrap_or_default(),
        is_right
    );
    is_right
}
