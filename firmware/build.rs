//! Passes the memory map of the board to the linker, and computes on the host the values that the
//! device has to reproduce.

use pusht_core::control::pipeline::{Pipeline, PipelineCounts, Planning, SimulatedPlanning};
use pusht_core::control::{Planner, RecedingHorizon};
use pusht_core::link::frame_memory_len;
use pusht_core::pusht::border::{Border, Clear, Disturbed};
use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
use pusht_core::pusht::episode::{Episode, EpisodeResult, MAX_EPISODE_STEPS};
use pusht_core::pusht::observation::ObservationKind;
use pusht_core::pusht::rollout::Rollout;
use pusht_core::pusht::selftest;
use pusht_core::quant::{self, IntPolicy, MAX_HORIZON, MAX_WINDOW_LEN, Model};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::{env, fs};

#[path = "src/disturbances.rs"]
mod disturbances;

/// The model file, unless the variable PUSHT_MODEL names another.
const MODEL: &str = "../models/pusht.ptm";
/// What `bench` measures without PUSHT_MODEL, with their names in the log.
const SHIPPED: [(&str, &str); 2] = [
    ("best", "../models/pusht.ptm"),
    ("small", "../models/pusht-small.ptm"),
];
/// Room for the window and the chunk of any policy of PushT.
const WINDOW_ROOM: usize = MAX_WINDOW_LEN;
const CHUNK_ROOM: usize = 2 * (1 + MAX_HORIZON);
/// Plans of the self-test.
const N_PLANS: u32 = 2;
/// Control steps of the closed loop of the self-test.
const N_CLOSED_LOOP_STEPS: usize = 12;
/// The device plays the first of these legacy seeds that the policy wins.
const SEEDS: Range<u64> = 0..32;
/// Delay in real time, in control ticks of 100 ms: from the start of a plan until its actions are
/// executed. A plan has to fit: docs/figures.md estimates its time. On the Pico, only that of the
/// small policy does; the larger one predicts too few actions for a longer delay. A policy that
/// predicts fewer actions, such as the small one, has a shorter delay.
fn delay(model: &Model<'_>) -> usize {
    let most = match board().as_str() {
        "nrf52840-dk" | "pico" | "pico2" => 3,
        _ => 2,
    };
    let has_room = |&delay: &usize| n_in_real_time(model, delay) <= model.most_action_steps();
    (1..=most).rev().find(has_room).unwrap_or(1)
}

/// Actions that a plan needs for this delay: those that pass until it begins, and those that are
/// executed until the next one does.
fn n_in_real_time(model: &Model<'_>, delay: usize) -> usize {
    delay + model.n_action_steps().max(delay)
}

/// In the late run, every `LATE_EVERY`th plan but the first is delayed on purpose by `LATE_TICKS`
/// control ticks.
const LATE_EVERY: u32 = 4;
const LATE_TICKS: u32 = 2;

/// Binaries that fit on a micro:bit, and the bytes of its 16 KiB that each gives to the stack.
const MICROBIT_STACKS: [(&str, u32); 6] = [
    ("episode", 16_064),
    ("controller", 15_360),
    ("simulator", 11_776),
    ("kernels", 8_704),
    ("plans", 8_192),
    ("no_panic", 8_704),
];

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    link(&out);
    write_expected(&out);
}

/// The board, which the one feature `board-...` selects.
fn board() -> String {
    let mut boards: Vec<String> = env::vars()
        .filter_map(|(name, _)| Some(name.strip_prefix("CARGO_FEATURE_BOARD_")?.to_lowercase()))
        .map(|name| name.replace('_', "-"))
        .collect();
    match boards.pop() {
        Some(board) if boards.is_empty() => board,
        last => panic!("exactly one feature board-... is needed, got {boards:?} and {last:?}"),
    }
}

/// Sets up the linker for the board.
fn link(out: &Path) {
    let board = board();
    println!("cargo::rustc-env=PUSHT_BOARD={board}");
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let is_silicon = env::var_os("CARGO_FEATURE_SILICON").is_some();
    for (name, is_on) in [
        ("pusht_armv8m", target.starts_with("thumbv8m")),
        // QEMU has no cycle counter, and Armv6-M neither.
        (
            "pusht_cycle_counter",
            is_silicon && !target.starts_with("thumbv6m"),
        ),
    ] {
        println!("cargo::rustc-check-cfg=cfg({name})");
        if is_on {
            println!("cargo::rustc-cfg={name}");
        }
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
        println!("cargo::rustc-link-arg-examples={argument}");
        println!("cargo::rustc-link-arg-tests={argument}");
    }
    println!("cargo::rustc-link-arg-tests=-Tembedded-test.x");
}

fn write_expected(out: &Path) {
    println!("cargo::rerun-if-env-changed=PUSHT_MODEL");
    let named = env::var("PUSHT_MODEL").ok();
    let path = named.clone().unwrap_or_else(|| MODEL.into());
    let bytes = read(&path);
    fs::write(out.join("model.ptm"), &bytes).expect("OUT_DIR can be written to");
    let model = Model::parse(&bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
    check_fit(out, &path, bytes.len(), 8 * model.scratch_len());
    let mut source = sizes("", &[&model]);
    source += &match named {
        Some(_) => models("[(\"model\", MODEL)]", &[&model]),
        None => shipped(),
    };

    let mut scratch = vec![0; model.scratch_len()];
    let plans_digest = quant::selftest(&model, &mut scratch, N_PLANS).expect("enough scratch");
    source += &format!(
        "/// Dimensions of the policy.
pub const SHAPE: pusht_core::control::PlanShape = pusht_core::control::{:?};
/// Plans of the self-test.
pub const N_PLANS: u32 = {N_PLANS};
/// [`pusht_core::quant::selftest`] of that many plans.
pub const PLANS_DIGEST: u64 = {plans_digest:#x};
/// Control steps of the self-test's closed loop.
pub const N_CLOSED_LOOP_STEPS: usize = {N_CLOSED_LOOP_STEPS};
/// Control ticks from the begin of a plan until it takes effect, in real time.
pub const DELAY: usize = {};
/// Every plan of this number, the first left out, is late on purpose where that is asked for.
pub const LATE_EVERY: u32 = {LATE_EVERY};
/// ... and by so many ticks.
pub const LATE_TICKS: u32 = {LATE_TICKS};
",
        model.shape(),
        delay(&model)
    );
    let pusht = match ObservationKind::of_task(model.task()) {
        Some(kind) => format!("Ok({})", pusht(&model, kind)),
        None => "Err(\"the model is for another task than PushT\")".into(),
    };
    source += &format!(
        "/// What the firmware's policy does with the simulator.
pub const PUSHT: Result<PushT, &str> = {pusht};
"
    );
    fs::write(out.join("expected.rs"), source).expect("OUT_DIR can be written to");
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    let path = path.as_ref().display();
    println!("cargo::rerun-if-changed={path}");
    fs::read(path.to_string()).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Memory that policies need, as constants whose names begin with `prefix`.
fn sizes(prefix: &str, models: &[&Model<'_>]) -> String {
    let most = |size: &dyn Fn(&Model<'_>) -> usize| {
        let sizes = models.iter().map(|model| size(model));
        sizes.max().expect("a model")
    };
    let chunk_len = |model: &Model<'_>, n_actions| (1 + n_actions) * model.shape().action_dim;
    let realtime = |model: &Model<'_>| chunk_len(model, n_in_real_time(model, delay(model)));
    let link = |model: &Model<'_>| {
        let shape = model.shape();
        frame_memory_len(shape.obs_dim, shape.action_dim)
    };
    [
        (
            "SCRATCH_LEN",
            "Working memory of a plan, words of 8 bytes",
            most(&|m| m.scratch_len()),
        ),
        (
            "WINDOW_LEN",
            "Values of a window of observations",
            most(&|m| m.shape().window_len()),
        ),
        (
            "CHUNK_LEN",
            "Values of the last action and a chunk",
            most(&|m| chunk_len(m, m.n_action_steps())),
        ),
        (
            "REALTIME_CHUNK_LEN",
            "The same for the pipeline",
            most(&realtime),
        ),
        ("FRAMES_LEN", "Bytes of the link's frames", most(&link)),
        (
            "OBS_DIM",
            "Values of an observation",
            most(&|m| m.shape().obs_dim),
        ),
        (
            "ACTION_DIM",
            "Values of an action",
            most(&|m| m.shape().action_dim),
        ),
    ]
    .map(|(name, what, value)| format!("/// {what}.\npub const {prefix}{name}: usize = {value};\n"))
    .concat()
}

/// The source of what `bench` measures: names and files, and the memory that they need.
fn models(files: &str, models: &[&Model<'_>]) -> String {
    let n = models.len();
    let sizes = sizes("LARGEST_", models);
    format!(
        "{sizes}/// What `bench` measures.\npub static MODELS: [(&str, &[u8]); {n}] = {files};\n"
    )
}

/// [`models`] of both shipped policies.
fn shipped() -> String {
    let files = SHIPPED.map(|(_, path)| read(path));
    let parsed = (files.each_ref()).map(|file| Model::parse(file).expect("a shipped model"));
    let entry = |(name, path)| {
        format!("(\"{name}\", model!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/{path}\")))")
    };
    models(
        &format!("[{}]", SHIPPED.map(entry).join(", ")),
        &parsed.each_ref(),
    )
}

/// Ends the build where the model alone is more than the board's memory: clearer than the linker.
fn check_fit(out: &Path, path: &str, file_bytes: usize, scratch_bytes: usize) {
    let map = fs::read_to_string(out.join("memory.x")).expect("`link` has copied it");
    let region = |name: &str| {
        let line = map.lines().find(|line| line.trim_start().starts_with(name));
        line.and_then(|line| bytes_of(line.split_once("LENGTH = ")?.1))
    };
    let flash = region("MODEL").or(region("FLASH"));
    for (what, needed, there) in [
        ("flash for the model file", file_bytes, flash),
        ("RAM for a plan", scratch_bytes, region("RAM")),
    ] {
        if there.is_some_and(|there| needed > there) {
            let there = there.unwrap_or_default();
            println!(
                "cargo::error={path} needs {needed} bytes of {what}, the board has {there}: \
                 `pusht info` says which boards a policy fits"
            );
            exit(1);
        }
    }
}

/// A length in a memory map, such as `4M - 32K`; `None` if it is not a number.
fn bytes_of(length: &str) -> Option<usize> {
    let mut terms = length.split('-').map(|term| {
        let term = term.trim();
        let kib = match term.strip_suffix('M') {
            Some(mib) => 1024 * mib.parse::<usize>().ok()?,
            None => term.strip_suffix('K')?.parse().ok()?,
        };
        Some(1024 * kib)
    });
    let first = terms.next()??;
    terms.try_fold(first, |rest, term| rest.checked_sub(term?))
}

/// The source of what a policy of PushT does with the simulator.
fn pusht(model: &Model<'_>, kind: ObservationKind) -> String {
    let mut scratch = vec![0; model.scratch_len()];
    let closed_loop_digest = selftest::closed_loop_digest::<WINDOW_ROOM, CHUNK_ROOM>(
        model,
        &mut scratch,
        N_CLOSED_LOOP_STEPS,
    )
    .expect("a legal start");
    let won = won(model, kind, |_| Clear);
    let disturbed = self::won(model, kind, disturbed);
    let real_time = match &won {
        Ok((seed, _)) => real_time(model, kind, *seed),
        Err(reason) => Err(reason.clone()),
    };
    format!(
        "PushT {{
    kind: pusht_core::pusht::observation::ObservationKind::{kind:?},
    closed_loop_digest: {closed_loop_digest:#x},
    won: {},
    disturbed: {},
    real_time: {},
}}",
        source(won.map(of_won)),
        source(disturbed.map(of_won)),
        source(real_time)
    )
}

/// The source of an episode that is won.
fn of_won((seed, episode): (u64, EpisodeResult)) -> String {
    format!("Won {{ seed: {seed}, episode: pusht_core::pusht::episode::{episode:?} }}")
}

/// The border of the binary `disturbed` in the episode `seed`.
fn disturbed(seed: u64) -> Disturbed {
    let disturbances = disturbances::disturbances();
    Disturbed::new(&disturbances, seed, &PushTParams::default()).with_estimator()
}

/// The source of a result whose error is text.
fn source(result: Result<String, String>) -> String {
    match result {
        Ok(value) => format!("Ok({value})"),
        Err(reason) => format!("Err({reason:?})"),
    }
}

/// The first of [`SEEDS`] whose episode the policy wins behind the border that `border` returns for
/// the seed, and the episode.
fn won<B: Border>(
    model: &Model<'_>,
    kind: ObservationKind,
    border: impl Fn(u64) -> B,
) -> Result<(u64, EpisodeResult), String> {
    let mut scratch = vec![0; model.scratch_len()];
    let mut policy = IntPolicy::new(model, &mut scratch).expect("enough scratch");
    SEEDS
        .map(|seed| {
            let episode = play(&mut policy, kind, seed, border(seed));
            (seed, episode.expect("a legal start"))
        })
        .find(|(_, episode)| episode.success)
        .ok_or_else(|| {
            format!(
                "no episode to play: the policy wins none of the legacy seeds {} to {}",
                SEEDS.start,
                SEEDS.end - 1
            )
        })
}

/// The source of the episode in real time, on time and late.
fn real_time(model: &Model<'_>, kind: ObservationKind, seed: u64) -> Result<String, String> {
    let delay = delay(model);
    let n_actions = n_in_real_time(model, delay);
    let most = model.most_action_steps();
    if n_actions > most {
        return Err(format!(
            "no episode in real time: a plan has {most} actions from the first executed one on, \
             {n_actions} are needed to execute {} after a delay of {delay}; quantise with a smaller \
             --n-action-steps",
            model.n_action_steps()
        ));
    }
    let [on_time, late] = [0, LATE_TICKS].map(|late| play_in_real_time(model, kind, seed, late));
    Ok(format!(
        "RealTime {{ on_time: {}, late: {} }}",
        in_real_time(&on_time),
        in_real_time(&late)
    ))
}

/// The source of a result in real time.
fn in_real_time((result, counts): &(EpisodeResult, PipelineCounts)) -> String {
    format!("(pusht_core::pusht::episode::{result:?}, pusht_core::control::pipeline::{counts:?})")
}

fn start(seed: u64) -> Result<PushTEnv, pusht_core::Error> {
    let start = StartState::from_seed(seed, Seeding::Legacy)?;
    PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy)
}

fn play<B: Border>(
    policy: &mut IntPolicy<'_>,
    kind: ObservationKind,
    seed: u64,
    border: B,
) -> Result<EpisodeResult, pusht_core::Error> {
    let horizon = RecedingHorizon::<WINDOW_ROOM, CHUNK_ROOM>::new(policy.shape(), seed)?;
    let episode = Episode::new(start(seed)?, MAX_EPISODE_STEPS);
    Rollout::with_border(episode, kind, horizon, border)?.run(policy, |_, _| ())
}

/// Plays as in real time, with every fourth plan `late` ticks late.
fn play_in_real_time(
    model: &Model<'_>,
    kind: ObservationKind,
    seed: u64,
    late: u32,
) -> (EpisodeResult, PipelineCounts) {
    let (n_action_steps, delay) = (model.n_action_steps(), delay(model));
    let n_actions = n_in_real_time(model, delay);
    let mut model = model.clone();
    model
        .set_n_action_steps(n_actions)
        .expect("the horizon is long enough for the delay");
    let takes = |plan: u32| match plan % LATE_EVERY {
        0 if plan > 0 => delay as u32 + late,
        _ => 1,
    };
    let mut scratch = vec![0; model.scratch_len()];
    let policy = IntPolicy::new(&model, &mut scratch).expect("enough scratch");
    let pipeline = Pipeline::<WINDOW_ROOM, CHUNK_ROOM>::new(model.shape(), n_action_steps, delay)
        .expect("room for the rows");
    let env = start(seed).expect("a legal start");
    let mut rollout =
        Rollout::new(env, kind, pipeline, MAX_EPISODE_STEPS).expect("a policy of PushT");
    let mut planning = SimulatedPlanning::new(Planning::new(policy, seed), takes);
    let result = rollout
        .run_simulated(&mut planning)
        .expect("a legal episode");
    (result, rollout.execution().counts())
}
