//! Time of a pass of the shipped float policy in a batch: `cargo run --release --example pass_time
//! -- BATCH [THREADS]`.
//!
//! The time of a plan divided by its passes, for `tests/oracle/pass_time.py`. Threads share the
//! batch, each with a policy of its own, as in `pusht eval`.

use anyhow::Context;
use pusht_core::control::Planner;
use pusht_core::noise::NoiseSource;
use pusht_core::policy::unet::Unobserved;
use pusht_core::pusht::observation::observe;
use pusht_host::float_engine::FloatPolicy;
use pusht_host::shipped;
use std::sync::Barrier;
use std::time::Instant;

const STATE: [f64; 5] = [222.0, 97.0, 222.0, 381.0, 2.6];

fn main() -> anyhow::Result<()> {
    let number = |at| match std::env::args().nth(at) {
        Some(text) => text.parse::<usize>(),
        None => Ok(1),
    };
    let batch = number(1)?;
    let threads = number(2)?.clamp(1, batch.max(1));
    let n_plans = (2000 / batch).max(20);
    let warm = Barrier::new(threads);
    let measure = || plan_time_s(batch.div_ceil(threads), n_plans, &warm);
    let times = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(measure)).collect();
        let times = threads.into_iter().map(|thread| thread.join());
        times.collect::<Result<Vec<_>, _>>()
    });
    let times = times.expect("no thread panics").into_iter();
    let slowest = times.collect::<anyhow::Result<Vec<f64>>>()?;
    println!("{:.3e}", slowest.into_iter().fold(0.0, f64::max));
    Ok(())
}

/// Time of a pass over `batch` windows, once every thread is warm.
fn plan_time_s(batch: usize, n_plans: usize, warm: &Barrier) -> anyhow::Result<f64> {
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
    for _ in 0..n_plans / 4 {
        plan()?;
    }
    warm.wait();
    let start = Instant::now();
    for _ in 0..n_plans {
        plan()?;
    }
    Ok(start.elapsed().as_secs_f64() / (n_plans * passes) as f64)
}
