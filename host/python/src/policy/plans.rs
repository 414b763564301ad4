//! Many plans, on all cores.

use anyhow::Result;
use pusht_core::Error;
use pusht_core::control::PlanJob;
use pusht_core::noise::Noise;
use pusht_host::engine::Engine;
use std::sync::LazyLock;
use std::thread;

/// A plan to compute.
pub struct Job<'j> {
    /// Window of observations, `[To][Do]`, oldest first.
    pub window: &'j [f64],
    /// Source of the plan's noise.
    pub noise: &'j mut (dyn Noise + Send),
    /// The planned actions, `[Ta][Da]`.
    pub chunk: &'j mut [f64],
}

/// Computes all plans. Each is as it would be alone.
///
/// # Errors
/// If a window has another length than the policy's, or the plan overflows.
pub fn plan(engine: &Engine, jobs: &mut [Job<'_>]) -> Result<()> {
    static CORES: LazyLock<usize> =
        LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));
    let a_thread = jobs.len().div_ceil(*CORES).max(1);
    // Threads of this call: a pool that is shared would not outlive a fork.
    thread::scope(|scope| {
        let mut parts = jobs.chunks_mut(a_thread);
        let own = parts.next();
        let others: Vec<_> = parts
            .map(|part| scope.spawn(|| plan_on_thread(engine, part)))
            .collect();
        let mut result = own.map_or(Ok(()), |part| plan_on_thread(engine, part));
        for other in others {
            let joined = other.join();
            result = result.and(joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        result
    })?;
    Ok(())
}

fn plan_on_thread(engine: &Engine, jobs: &mut [Job<'_>]) -> Result<(), Error> {
    match jobs {
        [job] => engine.with_planner(|planner| planner.plan(job.window, job.noise, job.chunk)),
        jobs => engine.with_batch_planner(|plan| {
            let jobs = jobs.iter_mut().map(|job| PlanJob {
                window: job.window,
                noise: job.noise,
                chunk: job.chunk,
            });
            plan(&mut jobs.collect::<Vec<_>>())
        }),
    }
}
