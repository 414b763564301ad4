//! A policy of your own on a Cortex-M: read a model file, plan from a window of observations.
//!
//! `cargo run --release` runs it in QEMU. For your policy, change `MODEL`, `SCRATCH_LEN` and
//! `DIGEST`, and where your observations come from; for your chip, `memory.x` and the target in
//! `.cargo/config.toml`.
#![no_std]
#![no_main]

use cortex_m::singleton;
use cortex_m_rt::entry;
use pusht_core::control::Planner;
use pusht_core::noise::NoiseSource;
use pusht_core::quant::{IntPolicy, Model, selftest};
use semihosting::{println, process};

/// The model file, in flash. The kernels load words; the macro aligns the file to them.
static MODEL: &[u8] = pusht_core::include_model!("../../../../models/fetch.ptm");

/// Working memory of a plan in words of 8 bytes, as `pusht info FILE` prints it.
const SCRATCH_LEN: usize = 1450;
/// Self-test of the model on a computer: every bit of `N_PLANS` plans.
const DIGEST: u64 = 0x792f_b2bf_c561_48ea;
const N_PLANS: u32 = 8;

/// A gripper above a table, an object in front of it, and where the object shall go: `[Do]`.
/// `pusht info FILE` names each value and its unit.
#[rustfmt::skip]
const OBSERVATION: [f64; 28] = [
    1.34, 0.75, 0.53,  0.0, 0.0,  0.0, 0.0, 0.0,  0.0, 0.0,
    1.40, 0.80, 0.42,  0.06, 0.05, -0.11,  0.0, 0.0, 0.0,
    0.0, 0.0, 0.0,  0.0, 0.0, 0.0,  1.30, 0.70, 0.60,
];

#[entry]
fn main() -> ! {
    // A static array, handed out once: there is no heap, and it would be much for the stack.
    let scratch =
        singleton!(SCRATCH: [u64; SCRATCH_LEN] = [0; SCRATCH_LEN]).expect("main runs once");
    let model = Model::parse(MODEL).expect("a sound model file");
    let digest = selftest(&model, scratch, N_PLANS).expect("enough working memory");
    println!("digest {digest:#018x}, expected {DIGEST:#018x}");

    let mut policy = IntPolicy::new(&model, scratch).expect("enough working memory");
    let mut noise = NoiseSource::new(0);
    // To = 2 observations, the oldest first; Ta = 8 actions of Da = 4 values.
    let window = [OBSERVATION; 2];
    let mut chunk = [[0.0; 4]; 8];
    let planned = policy.plan(window.as_flattened(), &mut noise, chunk.as_flattened_mut());
    planned.expect("slices as long as the model wants");
    for action in chunk {
        println!("action {action:?}");
    }
    process::exit(i32::from(digest != DIGEST))
}
