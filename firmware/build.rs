//! Passes the memory map of the board to the linker, and computes on the host the values that the
//! device has to reproduce.

use pusht_core::control::pipeline::Simulated;
use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState, Step};
use pusht_core::pusht::episode::{self, EpisodeResult, MAX_EPISODE_STEPS};
use pusht_core::pusht::selftest;
use pusht_core::quant::{self, IntPolicy, Model, Scratch};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The model file, unless the variable PUSHT_MODEL names another.
const MODEL: &str = "../models/pusht.ptm";
/// Plans of the self-test.
const N_PLANS: u32 = 2;
/// Control steps of the closed loop of the self-test.
const N_CLOSED_LOOP_STEPS: usize = 12;
/// The device plays the first of these legacy seeds that the policy wins.
const SEEDS: Range<u64> = 0..100;
/// Delay in real time, in control ticks: from the start of a plan until its actions are executed. A
/// Cortex-M4 at 125 MHz needs 100 to 200 ms per plan of the larger policy.
const DELAY: usize = 2;
/// In the late run, every `LATE_EVERY`th plan but the first is delayed on purpose by `LATE_TICKS`
/// control ticks.
const LATE_EVERY: u32 = 4;
const LATE_TICKS: u32 = 2;

/// Binaries that fit on a micro:bit, and the bytes of its 16 KiB that each gives to the stack.
const MICROBIT_STACKS: [(&str, u32); 4] = [
    ("simulator", 11_776),
    ("kernels", 8_704),
    ("plans", 8_704),
    ("no_panic", 8_704),
];

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    link(&out);
    write_expected(&out);
}

/// Sets up the linker for the board, which the one feature `board-...` selects.
fn link(out: &Path) {
    let boards: Vec<String> = env::vars()
        .filter_map(|(name, _)| Some(name.strip_prefix("CARGO_FEATURE_BOARD_")?.to_lowercase()))
        .map(|name| name.replace('_', "-"))
        .collect();
    let [board] = boards.as_slice() else {
        panic!("exactly one feature board-... is needed, got {boards:?}");
    };
    println!("cargo::rustc-env=PUSHT_BOARD={board}");
    println!("cargo::rustc-check-cfg=cfg(pusht_armv8m)");
    if env::var("TARGET").is_ok_and(|target| target.starts_with("thumbv8m")) {
        println!("cargo::rustc-cfg=pusht_armv8m");
    }
    let map = format!("boards/{board}/memory.x");
    fs::copy(&map, out.join("memory.x")).unwrap_or_else(|error| panic!("{map}: {error}"));
    println!("cargo::rerun-if-changed={map}");
    println!("cargo::rustc-link-search={}", out.display());
    if board == "microbit" {
        for (binary, stack_len) in MICROBIT_STACKS {
            println!("cargo::rustc-link-arg-bin={binary}=--defsym=_stack_len={stack_len}");
        }
    }
    for argument in ["-Tlink.x", "--nmagic", "-Tdefmt.x"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}

fn write_expected(out: &Path) {
    let path = env::var("PUSHT_MODEL").unwrap_or_else(|_| MODEL.into());
    println!("cargo::rerun-if-env-changed=PUSHT_MODEL");
    println!("cargo::rerun-if-changed={path}");
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let model = Model::parse(&bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
    fs::write(out.join("model.ptm"), &bytes).expect("OUT_DIR can be written to");
    let mut scratch = Scratch::new();
    let plans_digest = quant::selftest(&model, &mut scratch, N_PLANS);
    let closed_loop_digest =
        selftest::closed_loop_digest(&model, &mut scratch, N_CLOSED_LOOP_STEPS)
            .expect("a legal start");
    let mut policy = IntPolicy::new(&model, &mut scratch);
    // The networks with random weights that tests embed win none.
    let (seed, episode) = SEEDS
        .map(|seed| (seed, play(&mut policy, seed).expect("a legal start")))
        .find(|(_, episode)| episode.success || cfg!(feature = "board-microbit"))
        .expect("the policy wins one of the first episodes");
    let mut realtime = model.clone();
    let n_action_steps = model.n_action_steps();
    realtime
        .set_n_action_steps(DELAY + n_action_steps.max(DELAY))
        .expect("the horizon is long enough for the delay");
    let [on_time, late] = [0, LATE_TICKS].map(|late| {
        let takes = |plan: u32| match plan % LATE_EVERY {
            0 if plan > 0 => DELAY as u32 + late,
            _ => 1,
        };
        let mut scratch = Scratch::new();
        let policy = IntPolicy::new(&realtime, &mut scratch);
        let mut controller = Simulated::new(policy, seed, n_action_steps, DELAY, takes);
        let start = StartState::from_seed(seed, Seeding::Legacy).expect("a legal seed");
        let mut env = PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy)
            .expect("a legal start");
        let nothing = |_: usize, _: [f64; 5], _: [f64; 2], _: Step, _: &_| ();
        let result = episode::drive(&mut env, &mut controller, MAX_EPISODE_STEPS, nothing)
            .expect("a legal episode");
        (result, controller.counts())
    });
    let source = format!(
        "/// Plans of the self-test.
pub const N_PLANS: u32 = {N_PLANS};
/// [`pusht_core::quant::selftest`] with [`N_PLANS`].
pub const PLANS_DIGEST: u64 = {plans_digest:#x};
/// Control steps of the closed loop of the self-test.
pub const N_CLOSED_LOOP_STEPS: usize = {N_CLOSED_LOOP_STEPS};
/// [`pusht_core::pusht::selftest::closed_loop_digest`] with [`N_CLOSED_LOOP_STEPS`].
pub const CLOSED_LOOP_DIGEST: u64 = {closed_loop_digest:#x};
/// Seed of the start state (legacy seeding) and of the noise of the policy.
pub const EPISODE_SEED: u64 = {seed};
/// Result of the episode.
pub const EPISODE: pusht_core::pusht::episode::EpisodeResult = pusht_core::pusht::episode::{episode:?};
/// Control ticks in real time from the start of a plan until its actions are executed.
pub const DELAY: usize = {DELAY};
/// In the late run, every plan of this number but the first is delayed on purpose ...
pub const LATE_EVERY: u32 = {LATE_EVERY};
/// ... by this number of ticks.
pub const LATE_TICKS: u32 = {LATE_TICKS};
/// Result of the episode in real time, with every plan on time.
pub const ON_TIME: (pusht_core::pusht::episode::EpisodeResult, pusht_core::control::pipeline::PipelineCounts) =
    (pusht_core::pusht::episode::{on_time_result:?}, pusht_core::control::pipeline::{on_time_counts:?});
/// Result in the late run.
pub const LATE: (pusht_core::pusht::episode::EpisodeResult, pusht_core::control::pipeline::PipelineCounts) =
    (pusht_core::pusht::episode::{late_result:?}, pusht_core::control::pipeline::{late_counts:?});
",
        on_time_result = on_time.0,
        on_time_counts = on_time.1,
        late_result = late.0,
        late_counts = late.1,
    );
    fs::write(out.join("expected.rs"), source).expect("OUT_DIR can be written to");
}

fn play(policy: &mut IntPolicy<'_>, seed: u64) -> Result<EpisodeResult, pusht_core::Error> {
    let start = StartState::from_seed(seed, Seeding::Legacy)?;
    let mut env = PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy)?;
    episode::run(&mut env, policy, seed, MAX_EPISODE_STEPS, |_| ())
}
