//! An episode in real time. PD control and physics run in the timer interrupt at 100 Hz, a control
//! tick every tenth time. The next plan is computed in the main loop, in the time that the
//! interrupt leaves. The two sides share lock-free queues, so that nothing masks the interrupt.

use crate::counter::{Counter, Task, Timer};
use crate::expected::{
    DELAY, LATE_EVERY, LATE_TICKS, MODEL, REALTIME_CHUNK_LEN, RealTime, SCRATCH_LEN, WINDOW_LEN,
};
use crate::{board, exit, expected, stack};

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use cortex_m::singleton;
use heapless::spsc::{Consumer, Producer, Queue};
use pusht_core::Error;
use pusht_core::control::pipeline::{self, PipelineCounts, Planning};
use pusht_core::control::{PlanShape, Planner};
use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
use pusht_core::pusht::episode::{EpisodeResult, MAX_EPISODE_STEPS};
use pusht_core::pusht::observation::ObservationKind;
use pusht_core::pusht::rollout::Rollout;
use pusht_core::quant::{IntPolicy, Model};

type Pipeline = pipeline::Pipeline<WINDOW_LEN, REALTIME_CHUNK_LEN>;
type PlanRequest = pipeline::PlanRequest<WINDOW_LEN>;
type Plan = pipeline::Plan<REALTIME_CHUNK_LEN>;

/// Physics steps per second.
const RATE_HZ: u32 = 100;

/// The current control tick, and whether the episode is over.
static TICK: AtomicU32 = AtomicU32::new(0);
static IS_OVER: AtomicBool = AtomicBool::new(false);

/// Timing of the interrupt, in ticks of the timer.
#[derive(Clone, Copy, Default)]
struct Timing {
    /// Longest latency from the timer to the first instruction of the task.
    latency: u32,
    /// Longest run.
    longest: u32,
    /// Sum of all runs.
    total: u64,
    turns: u32,
    /// Runs that were not over when the next one was due.
    overruns: u32,
}

/// State of the interrupt side.
struct Control {
    rollout: Rollout<Pipeline>,
    requests: Producer<'static, PlanRequest>,
    plans: Consumer<'static, Plan>,
    timing: Timing,
    outcomes: Producer<'static, Outcome>,
}

/// Result that the interrupt side hands over at the end.
struct Outcome {
    result: Result<EpisodeResult, Error>,
    counts: PipelineCounts,
    timing: Timing,
}

impl Task for Control {
    fn run(&mut self, timer: &Timer) {
        if IS_OVER.load(Ordering::Relaxed) {
            return;
        }
        self.timing.latency = self.timing.latency.max(timer.elapsed());
        let turn = self.turn();
        let elapsed = timer.elapsed();
        if timer.is_overrun() {
            self.timing.overruns += 1;
        }
        self.timing.longest = self.timing.longest.max(elapsed);
        self.timing.total += u64::from(elapsed);
        self.timing.turns += 1;
        match turn {
            Ok(None) => {}
            Ok(Some(result)) => self.hand_over(Ok(result)),
            Err(error) => self.hand_over(Err(error)),
        }
    }
}

impl Control {
    fn turn(&mut self) -> Result<Option<EpisodeResult>, Error> {
        TICK.store(self.rollout.episode().steps() as u32, Ordering::Release);
        let (plans, requests) = (&mut self.plans, &mut self.requests);
        self.rollout.turn(
            || plans.dequeue(),
            |request| {
                // Only one plan is computed at a time, so the queue has room.
                let _ = requests.enqueue(request);
            },
        )
    }

    fn hand_over(&mut self, result: Result<EpisodeResult, Error>) {
        let outcome = Outcome {
            result,
            counts: self.rollout.execution().counts(),
            timing: self.timing,
        };
        // Only one outcome is sent, so the queue has room.
        let _ = self.outcomes.enqueue(outcome);
        IS_OVER.store(true, Ordering::Release);
    }
}

/// Plays the episode and ends the run, with exit code 0 if the result is the host's. With `late`,
/// some plans are delayed on purpose.
pub fn run(late: bool) -> ! {
    board::start();
    let pusht = expected::or_exit(expected::PUSHT);
    let episode_seed = expected::or_exit(pusht.won).seed;
    let RealTime {
        on_time,
        late: delayed,
    } = expected::or_exit(pusht.real_time);
    let expected = if late { delayed } else { on_time };
    defmt::info!(
        "board={=str} episode_seed={=u64} delay_ticks={=usize}",
        board::NAME,
        episode_seed,
        DELAY
    );
    let (Some(peripherals), Some(scratch)) = (
        cortex_m::Peripherals::take(),
        singleton!(SCRATCH: [u64; SCRATCH_LEN] = [0; SCRATCH_LEN]),
    ) else {
        defmt::panic!("runs once");
    };
    let mut model = match Model::parse(MODEL) {
        Ok(model) => model,
        Err(error) => defmt::panic!("model file: {}", error),
    };
    let n_action_steps = model.n_action_steps();
    if let Err(error) = model.set_n_action_steps(DELAY + n_action_steps.max(DELAY)) {
        defmt::panic!("the horizon is too short: {}", error);
    }
    let policy = match IntPolicy::new(&model, scratch) {
        Ok(policy) => policy,
        Err(error) => defmt::panic!("policy: {}", error),
    };
    let Some(sides) = sides((pusht.kind, episode_seed), policy.shape(), n_action_steps) else {
        defmt::panic!("the episode cannot begin");
    };
    let Sides {
        control,
        mut requests,
        mut plans,
        mut outcomes,
    } = sides;
    let mut planning = Planning::new(policy, episode_seed);
    let clock = Counter::start_with_task(peripherals, RATE_HZ, control);

    let (mut n_plans, mut longest_plan_us) = (0, 0);
    while !IS_OVER.load(Ordering::Acquire) {
        let Some(request) = requests.dequeue() else {
            board::sleep_unless(|| requests.ready() || IS_OVER.load(Ordering::Acquire));
            continue;
        };
        let began_us = clock.us();
        let plan = match planning.plan(&request) {
            Ok(plan) => plan,
            Err(error) => defmt::panic!("plan: {}", error),
        };
        longest_plan_us = longest_plan_us.max(clock.us() - began_us);
        if late && n_plans > 0 && n_plans % LATE_EVERY == 0 {
            // The control side receives the plan one tick after this.
            let last = request.began + DELAY as u32 + LATE_TICKS - 1;
            let is_due = || TICK.load(Ordering::Acquire) >= last || IS_OVER.load(Ordering::Acquire);
            while !is_due() {
                board::sleep_unless(is_due);
            }
        }
        n_plans += 1;
        // Only one plan is computed at a time, so the queue has room.
        let _ = plans.enqueue(plan);
    }
    let Some(outcome) = outcomes.dequeue() else {
        defmt::panic!("an episode without an outcome");
    };
    report(&outcome, longest_plan_us);
    match outcome.result {
        Ok(result) if (result, outcome.counts) == expected && outcome.timing.overruns == 0 => {
            defmt::info!("equal to the host's, bit for bit");
            exit::success()
        }
        result => {
            defmt::error!("{} is not the host's {}", result, expected);
            exit::failure()
        }
    }
}

/// The interrupt side, and the ends of the queues that the planning side holds.
struct Sides {
    control: &'static mut Control,
    requests: Consumer<'static, PlanRequest>,
    plans: Producer<'static, Plan>,
    outcomes: Consumer<'static, Outcome>,
}

fn sides(
    (kind, episode_seed): (ObservationKind, u64),
    shape: PlanShape,
    n_action_steps: usize,
) -> Option<Sides> {
    let (for_planner, requests) =
        singleton!(REQUESTS: Queue<PlanRequest, 2> = Queue::new())?.split();
    let (plans, for_control) = singleton!(PLANS: Queue<Plan, 2> = Queue::new())?.split();
    let (for_report, outcomes) = singleton!(OUTCOMES: Queue<Outcome, 2> = Queue::new())?.split();
    let start = StartState::from_seed(episode_seed, Seeding::Legacy).ok()?;
    let env = PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy).ok()?;
    let pipeline = Pipeline::new(shape, n_action_steps, DELAY).ok()?;
    let control = Control {
        rollout: Rollout::new(env, kind, pipeline, MAX_EPISODE_STEPS).ok()?,
        requests: for_planner,
        plans: for_control,
        timing: Timing::default(),
        outcomes: for_report,
    };
    Some(Sides {
        control: singleton!(CONTROL: Control = control)?,
        requests,
        plans,
        outcomes,
    })
}

fn report(outcome: &Outcome, longest_plan_us: u64) {
    let timing = outcome.timing;
    let us = |ticks: u64| ticks / board::TIMER_MHZ;
    if let Ok(result) = outcome.result {
        defmt::info!(
            "success={=bool} steps={=usize} max_reward={=f64} action_digest={=u64:#018x} state_digest={=u64:#018x}",
            result.success,
            result.steps,
            result.max_reward,
            result.action_digest,
            result.state_digest
        );
    }
    defmt::info!(
        "plans={=u32} plans_missed={=u32} ticks_held={=u32} plan_us_max={=u64}",
        outcome.counts.plans,
        outcome.counts.missed,
        outcome.counts.held,
        longest_plan_us
    );
    defmt::info!(
        "turns={=u32} overruns={=u32} turn_us={=u64} turn_us_max={=u64} latency_us_max={=u64} stack_bytes={=usize}",
        timing.turns,
        timing.overruns,
        us(timing.total / u64::from(timing.turns.max(1))),
        us(timing.longest.into()),
        us(timing.latency.into()),
        stack::high_water_bytes()
    );
}
