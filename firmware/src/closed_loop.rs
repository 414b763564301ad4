//! A whole episode on the device, simulator and policy in a closed loop, compared with the host's.

use crate::counter::{Counter, UNIT};
use crate::expected::{self, CHUNK_LEN, MODEL, PushT, SCRATCH_LEN, WINDOW_LEN, Won};
use crate::timed::Timed;
use crate::{board, exit, stack, telemetry};
use core::cell::Cell;
use cortex_m::singleton;
use pusht_core::Error;
use pusht_core::control::{PlanShape, Planner, RecedingHorizon};
use pusht_core::pusht::border::Border;
use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
use pusht_core::pusht::episode::{Action, Episode, EpisodeResult, MAX_EPISODE_STEPS};
use pusht_core::pusht::observation::{ObservationKind, STATE_DIM};
use pusht_core::pusht::rollout::Rollout;
use pusht_core::quant::{IntPolicy, Model};

/// Control ticks per line of telemetry.
const TICKS_PER_LINE: usize = 10;

/// Plays the episode that `expected` picks of what the host expects, with the border that `border`
/// returns for its seed. Ends with exit code 0 if every action and state equals the host's bit for
/// bit.
pub fn play<B: Border>(
    expected: impl FnOnce(PushT) -> Result<Won, &'static str>,
    border: impl FnOnce(u64) -> B,
) -> ! {
    let pusht = expected::or_exit(expected::PUSHT);
    let expected = expected::or_exit(expected(pusht));
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
    let between = Cost::default();
    let timed = |seed| TimedBorder {
        border: border(seed),
        counter: &counter,
        cost: &between,
    };
    let result = match episode(&mut planner, pusht.kind, expected.seed, timed) {
        Ok(result) => result,
        Err(error) => defmt::panic!("episode: {}", error),
    };
    let rest = counter.now() - planner.total - between.total.get();
    report(&result);
    let steps = result.steps.max(1) as u64;
    defmt::info!(
        "plans={=u64} plan_{=str}={=u64} plan_{=str}_max={=u64} step_{=str}={=u64}",
        planner.n_plans,
        UNIT,
        planner.total / planner.n_plans.max(1),
        UNIT,
        planner.longest,
        UNIT,
        rest / steps
    );
    defmt::info!(
        "border_{=str}={=u64} border_{=str}_max={=u64}",
        UNIT,
        between.total.get() / steps,
        UNIT,
        between.longest.get()
    );
    defmt::info!("stack_bytes={=usize}", stack::high_water_bytes());
    if result == expected.episode {
        defmt::info!("equal to the host's, bit for bit");
        exit::success()
    }
    defmt::error!("the host's episode differs: {}", expected.episode);
    exit::failure()
}

fn episode<B: Border>(
    planner: &mut Timed<'_, IntPolicy<'_>>,
    kind: ObservationKind,
    seed: u64,
    border: impl FnOnce(u64) -> B,
) -> Result<EpisodeResult, Error> {
    rollout(kind, seed, planner.shape(), border)?.run(planner, |tick, _| {
        if tick.index.is_multiple_of(TICKS_PER_LINE) {
            telemetry::log(tick);
        }
    })
}

// Not inlined, so that nothing but the rollout stays on the stack.
#[inline(never)]
fn rollout<B: Border>(
    kind: ObservationKind,
    seed: u64,
    shape: PlanShape,
    border: impl FnOnce(u64) -> B,
) -> Result<Rollout<RecedingHorizon<WINDOW_LEN, CHUNK_LEN>, B>, Error> {
    let start = StartState::from_seed(seed, Seeding::Legacy)?;
    let env = PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy)?;
    let horizon = RecedingHorizon::new(shape, seed)?;
    let episode = Episode::new(env, MAX_EPISODE_STEPS);
    Rollout::with_border(episode, kind, horizon, border(seed))
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

/// What the border costs, in [`UNIT`]s.
#[derive(Default)]
struct Cost {
    total: Cell<u64>,
    /// Of one observation, or of one action.
    longest: Cell<u64>,
}

/// A border whose cost is measured.
struct TimedBorder<'c, B> {
    border: B,
    counter: &'c Counter,
    cost: &'c Cost,
}

impl<B> TimedBorder<'_, B> {
    fn add(&self, start: u64) {
        let spent = self.counter.now() - start;
        self.cost.total.set(self.cost.total.get() + spent);
        self.cost.longest.set(self.cost.longest.get().max(spent));
    }
}

impl<B: Border> Border for TimedBorder<'_, B> {
    fn observe(&mut self, tick: usize, env: &mut PushTEnv) -> Result<[f64; STATE_DIM], Error> {
        let start = self.counter.now();
        let state = self.border.observe(tick, env);
        self.add(start);
        state
    }

    fn act(&mut self, tick: usize, env: &PushTEnv, action: Action) -> Action {
        let start = self.counter.now();
        let action = self.border.act(tick, env, action);
        self.add(start);
        action
    }
}
