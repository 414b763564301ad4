//! Hands the board's memory map to the linker, and computes on the host what the device has to compute.

use pusht_core::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
use pusht_core::episode::{self, EpisodeResult, MAX_EPISODE_STEPS};
use pusht_core::quant::{self, IntPolicy, Model, Scratch};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The model file, unless the variable PUSHT_MODEL names another.
const MODEL: &str = "../models/pusht.ptm";
/// Plans of the self-test.
const N_PLANS: u32 = 2;
/// The device plays the first of these legacy seeds that the policy wins.
const SEEDS: Range<u64> = 0..100;

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    link(&out);
    write_expected(&out);
}

/// The board is the one feature `board-...`.
fn link(out: &Path) {
    let boards: Vec<String> = env::vars()
        .filter_map(|(name, _)| Some(name.strip_prefix("CARGO_FEATURE_BOARD_")?.to_lowercase()))
        .map(|name| name.replace('_', "-"))
        .collect();
    let [board] = boards.as_slice() else {
        panic!("exactly one feature board-... is needed, got {boards:?}");
    };
    println!("cargo::rustc-env=PUSHT_BOARD={board}");
    let map = format!("boards/{board}/memory.x");
    fs::copy(&map, out.join("memory.x")).unwrap_or_else(|error| panic!("{map}: {error}"));
    println!("cargo::rerun-if-changed={map}");
    println!("cargo::rustc-link-search={}", out.display());
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
    let mut policy = IntPolicy::new(&model, &mut scratch);
    let (seed, episode) = SEEDS
        .map(|seed| (seed, play(&mut policy, seed).expect("a legal start")))
        .find(|(_, episode)| episode.success)
        .expect("the policy wins one of the first episodes");
    let source = format!(
        "/// Plans of the self-test.
pub const N_PLANS: u32 = {N_PLANS};
/// [`pusht_core::quant::selftest`] of that many plans.
pub const PLANS_DIGEST: u64 = {plans_digest:#x};
/// The start of the episode, by legacy seeding, and the policy's noise.
pub const EPISODE_SEED: u64 = {seed};
/// How the episode goes.
pub const EPISODE: pusht_core::episode::EpisodeResult = pusht_core::episode::{episode:?};
"
    );
    fs::write(out.join("expected.rs"), source).expect("OUT_DIR can be written to");
}

fn play(policy: &mut IntPolicy<'_>, seed: u64) -> Result<EpisodeResult, pusht_core::Error> {
    let start = StartState::from_seed(seed, Seeding::Legacy)?;
    let mut env = PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy)?;
    episode::run(&mut env, policy, seed, MAX_EPISODE_STEPS, |_| ())
}
