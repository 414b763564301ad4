//! A whole episode on the device, simulator and policy in a closed loop, compared with the host's.

use crate::counter::{Counter, UNIT};
use crate::expected::{self, CHUNK_LEN, MODEL, PushT, SHAPE, WINDOW_LEN, Won};
use crate::timed::{Cost, Timed};
use crate::{board, exit, policy, stack, telemetry};
use pusht_core::Error;
use pusht_core::control::RecedingHorizon;
use pusht_core::pusht::border::Border;
use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
use pusht_core::pusht::episode::{Action, Episode, EpisodeResult, MAX_EPISODE_STEPS};
use pusht_core::pusht::observation::{ObservationKind, STATE_DIM};
use pusht_core::pusht::rollout::Rollout;
use pusht_core::quant::Model;

/// Control ticks per line of telemetry.
const TICKS_PER_LINE: usize = 10;

/// Plays the episode that `expected` picks of what the host expects, with the border that `border`
/// returns for its seed. Ends with exit code 0 if every action and state equals the host's bit for
/// bit.
pub fn play<B: Border>(
    expected: impl FnOnce(PushT) -> Result<Won, &'static str>,
    border: impl FnOnce(u64) -> B,
) -> ! {
    let Some(peripherals) = cortex_m::Peripherals::take() else {
        defmt::panic!("main runs once");
    };
    let (kind, expected) = what_the_host_expects(expected);
    defmt::info!(
        "board={=str} episode_seed={=u64}",
        board::NAME,
        expected.seed
    );
    let counter = Counter::start(peripherals);
    let cost = Costs::default();
    let border = TimedBorder {
        border: border(expected.seed),
        counter: &counter,
        cost: &cost.border,
    };
    // Before the model is parsed: both take the same stack, one after the other.
    let mut made = rollout(kind, expected.seed, border);
    let rollout = match &mut made {
        Ok(rollout) => rollout,
        Err(error) => defmt::panic!("episode: {}", error),
    };
    let result = run(rollout, &counter, &cost.plans);
    report(&result);
    cost.report(counter.now(), result.steps);
    defmt::info!("stack_bytes={=usize}", stack::high_water_bytes());
    if result == expected.episode {
        defmt::info!("equal to the host's, bit for bit");
        exit::success()
    }
    defmt::error!("the host's episode differs: {}", expected.episode);
    exit::failure()
}

// Not inlined, so that of all that the host expects only this stays on the stack.
#[inline(never)]
fn what_the_host_expects(
    expected: impl FnOnce(PushT) -> Result<Won, &'static str>,
) -> (ObservationKind, Won) {
    let pusht = expected::or_exit(expected::PUSHT);
    (pusht.kind, expected::or_exit(expected(pusht)))
}

/// The episode on the device.
type DeviceRollout<'c, B> = Rollout<RecedingHorizon<WINDOW_LEN, CHUNK_LEN>, TimedBorder<'c, B>>;

// Not inlined, so that nothing but the rollout stays on the stack.
#[inline(never)]
fn rollout<B: Border>(
    kind: ObservationKind,
    seed: u64,
    border: TimedBorder<'_, B>,
) -> Result<DeviceRollout<'_, B>, Error> {
    let episode = Episode::new(start(seed)?, MAX_EPISODE_STEPS);
    let horizon = RecedingHorizon::new(SHAPE, seed)?;
    Rollout::with_border(episode, kind, horizon, border)
}

// Not inlined: its contacts would be on the stack as long as the rollout is made.
#[inline(never)]
fn start(seed: u64) -> Result<PushTEnv, Error> {
    let start = StartState::from_seed(seed, Seeding::Legacy)?;
    PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy)
}

// Not inlined, so that the model takes no stack while the rollout is made.
#[inline(never)]
fn run<B: Border>(
    rollout: &mut DeviceRollout<'_, B>,
    counter: &Counter,
    cost: &Cost,
) -> EpisodeResult {
    let parsed = Model::parse(MODEL);
    let model = match &parsed {
        Ok(model) => model,
        Err(error) => defmt::panic!("model file: {}", error),
    };
    let mut planner = Timed::new(policy::of(model), counter, cost);
    let result = rollout.run(&mut planner, |tick, _| {
        if tick.index.is_multiple_of(TICKS_PER_LINE) {
            telemetry::log(tick);
        }
    });
    match result {
        Ok(result) => result,
        Err(error) => defmt::panic!("episode: {}", error),
    }
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

/// What an episode costs apart from the simulator.
#[derive(Default)]
struct Costs {
    /// Of the plans.
    plans: Cost,
    /// Of the border's observations and actions.
    border: Cost,
}

impl Costs {
    /// Logs these costs and what is left of `all`, over `steps` control steps.
    fn report(&self, all: u64, steps: usize) {
        let (plans, border) = (&self.plans, &self.border);
        let steps = steps.max(1) as u64;
        defmt::info!(
            "plans={=u64} plan_{=str}={=u64} plan_{=str}_max={=u64} step_{=str}={=u64}",
            plans.n(),
            UNIT,
            plans.total() / plans.n().max(1),
            UNIT,
            plans.longest(),
            UNIT,
            (all - plans.total() - border.total()) / steps
        );
        defmt::info!(
            "border_{=str}={=u64} border_{=str}_max={=u64}",
            UNIT,
            border.total() / steps,
            UNIT,
            border.longest()
        );
    }
}

/// A border whose cost is measured.
struct TimedBorder<'c, B> {
    border: B,
    counter: &'c Counter,
    cost: &'c Cost,
}

impl<B: Border> Border for TimedBorder<'_, B> {
    fn observe(&mut self, tick: usize, env: &mut PushTEnv) -> Result<[f64; STATE_DIM], Error> {
        let start = self.counter.now();
        let state = self.border.observe(tick, env);
        self.cost.add(self.counter.now() - start);
        state
    }

    fn act(&mut self, tick: usize, env: &PushTEnv, action: Action) -> Action {
        let start = self.counter.now();
        let action = self.border.act(tick, env, action);
        self.cost.add(self.counter.now() - start);
        action
    }
}
