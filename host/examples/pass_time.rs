//! CPU time of a pass of the shipped float policy in a batch: `cargo run --release --example
//! pass_time -- BATCH`.
//!
//! The time of a plan divided by its passes, for `tests/oracle/pass_time.py`.

use anyhow::Context;
use pusht_core::control::Planner;
use pusht_core::noise::NoiseSource;
use pusht_core::policy::unet::Unobserved;
use pusht_core::pusht::observation::observe;
use pusht_host::float_engine::FloatPolicy;
use pusht_host::shipped;
use std::time::Instant;

const STATE: [f64; 5] = [222.0, 97.0, 222.0, 381.0, 2.6];

fn main() -> anyhow::Result<()> {
    let batch: usize = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 1,
    };
    let (config, tensors) = pusht_host::policy_file::parse(shipped::FLOAT_POLICY)?;
    let passes = config.num_inference_steps;
    let mut policy = FloatPolicy::from_parts(config, &tensors)?;
    let kind = policy.observation().context("not a policy of PushT")?;
    let mut observation = vec![0.0; kind.dim()];
    observe(kind, &STATE, &mut observation)?;
    let window = observation.repeat(policy.shape().n_obs_steps);
    let windows = vec![window.as_slice(); batch];
    let mut noise = NoiseSource::new(0);
    let mut plan = || policy.predict(&windows, &mut noise, &mut Unobserved);
    let n_plans = (2000 / batch).max(20);
    for _ in 0..n_plans / 4 {
        plan()?;
    }
    let start = Instant::now();
    for _ in 0..n_plans {
        plan()?;
    }
    let seconds = start.elapsed().as_secs_f64() / (n_plans * passes) as f64;
    println!("{seconds:.3e}");
    Ok(())
}
