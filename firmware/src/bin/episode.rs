//! A whole episode on the device: simulator and policy in a closed loop. Exit code 0 if every
//! action and state equals the host's bit for bit.
#![no_std]
#![no_main]

use cortex_m::singleton;
use cortex_m_rt::entry;
use pusht_core::Error;
use pusht_core::control::{PlanShape, Planner, RecedingHorizon};
use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
use pusht_core::pusht::episode::{EpisodeResult, MAX_EPISODE_STEPS};
use pusht_core::pusht::observation::ObservationKind;
use pusht_core::pusht::rollout::Rollout;
use pusht_core::quant::{IntPolicy, Model};
use pusht_firmware::counter::{Counter, UNIT};
use pusht_firmware::expected::{self, CHUNK_LEN, MODEL, SCRATCH_LEN, WINDOW_LEN};
use pusht_firmware::timed::Timed;
use pusht_firmware::{board, exit, stack, telemetry};

/// Control ticks per line of telemetry.
const TICKS_PER_LINE: usize = 10;

#[entry]
fn main() -> ! {
    board::start();
    let pusht = expected::or_exit(expected::PUSHT);
    let expected = expected::or_exit(pusht.won);
    defmt::info!(
        "board={=str} episode_seed={=u64}",
        board::NAME,
        expected.seed
    );
    let (Some(peripherals), Some(scratch)) = (
        cortex_m::Peripherals::take(),
        singleton!(SCRATCH: [u64; SCRATCH_LEN] = [0; SCRATCH_LEN]),
    ) else {
        defmt::panic!("main runs once");
    };
    let counter = Counter::start(peripherals);
    let parsed = Model::parse(MODEL);
    let model = match &parsed {
        Ok(model) => model,
        Err(error) => defmt::panic!("model file: {}", error),
    };
    let policy = match IntPolicy::new(model, scratch) {
        Ok(policy) => policy,
        Err(error) => defmt::panic!("policy: {}", error),
    };
    let mut planner = Timed::new(policy, &counter);
    let result = match play(&mut planner, pusht.kind, expected.seed) {
        Ok(result) => result,
        Err(error) => defmt::panic!("episode: {}", error),
    };
    let rest = counter.now() - planner.total;
    report(&result);
    defmt::info!(
        "plans={=u64} plan_{=str}={=u64} plan_{=str}_max={=u64} step_{=str}={=u64}",
        planner.n_plans,
        UNIT,
        planner.total / planner.n_plans.max(1),
        UNIT,
        planner.longest,
        UNIT,
        rest / result.steps.max(1) as u64
    );
    defmt::info!("stack_bytes={=usize}", stack::high_water_bytes());
    if result == expected.episode {
        defmt::info!("equal to the host's, bit for bit");
        exit::success()
    }
    defmt::error!("the host's episode differs: {}", expected.episode);
    exit::failure()
}

fn play(
    planner: &mut Timed<'_, IntPolicy<'_>>,
    kind: ObservationKind,
    seed: u64,
) -> Result<EpisodeResult, Error> {
    rollout(kind, seed, planner.shape())?.run(planner, |tick, _| {
        if tick.index.is_multiple_of(TICKS_PER_LINE) {
            telemetry::log(tick);
        }
    })
}

// Not inlined, so that nothing but the rollout stays on the stack.
#[inline(never)]
fn rollout(
    kind: ObservationKind,
    seed: u64,
    shape: PlanShape,
) -> Result<Rollout<RecedingHorizon<WINDOW_LEN, CHUNK_LEN>>, Error> {
    let start = StartState::from_seed(seed, Seeding::Legacy)?;
    let env = PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy)?;
    let horizon = RecedingHorizon::new(shape, seed)?;
    Rollout::new(env, kind, horizon, MAX_EPISODE_STEPS)
}

fn report(result: &EpisodeResult) {
    defmt::info!(
        "success={=bool} steps={=usize} max_reward={=f64} max_coverage={=f64}",
        result.success,
        result.steps,
        result.max_reward,
        result.max_coverage
    );
    defmt::info!(
        "action_digest={=u64:#018x} state_digest={=u64:#018x}",
        result.action_digest,
        result.state_digest
    );
}
