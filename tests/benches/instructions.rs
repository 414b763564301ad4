//! Instructions of a control step and of a plan under Callgrind, against what is committed in `budgets.rs`; those of a plan and of
//! steps side by side are for processors with AVX2.
//!
//!     cargo install gungraun-runner --version 0.20.0     # and valgrind
//!     cargo bench -p pusht-tests --bench instructions
#![allow(
    missing_docs,
    reason = "the harness's macros make public items without"
)]

#[allow(dead_code, reason = "the firmware's budgets")]
#[path = "../budgets.rs"]
mod budgets;
mod plans;
mod work;

use budgets::{PLAN_INSTRUCTIONS, STEP_INSTRUCTIONS};
use gungraun::{
    Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use plans::Plans;
use pusht_core::quant::BATCH;
use pusht_host::cmd::bench::sequences::{chase, squeeze, walls};
use work::{CONTROL_STEPS, COUNT, Work, begun, step_side_by_side_through, step_through};

/// Fails beyond the committed number of instructions.
fn limit(limit: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::default();
    callgrind.hard_limits([(EventKind::Ir, limit)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

/// Of a kind of sequences.
fn step_limit(kind: usize, is_side_by_side: usize) -> LibraryBenchmarkConfig {
    limit(STEP_INSTRUCTIONS[kind][is_side_by_side] * CONTROL_STEPS)
}

#[library_benchmark]
#[bench::chase(args = (begun(chase(COUNT))), config = step_limit(0, 0))]
#[bench::walls(args = (begun(walls(COUNT))), config = step_limit(1, 0))]
#[bench::squeeze(args = (begun(squeeze(COUNT))), config = step_limit(2, 0))]
fn control_steps(work: Work) -> Work {
    let mut work = work;
    step_through(&mut work);
    work
}

#[library_benchmark]
#[bench::chase(args = (begun(chase(COUNT))), config = step_limit(0, 1))]
#[bench::walls(args = (begun(walls(COUNT))), config = step_limit(1, 1))]
#[bench::squeeze(args = (begun(squeeze(COUNT))), config = step_limit(2, 1))]
fn control_steps_side_by_side(work: Work) -> Work {
    let mut work = work;
    step_side_by_side_through(&mut work);
    work
}

/// Of one of the models.
fn plan_limit(model: usize, is_together: usize) -> LibraryBenchmarkConfig {
    limit(PLAN_INSTRUCTIONS[model][is_together] * BATCH as u64)
}

#[library_benchmark]
#[bench::pusht(args = (Plans::of(0)), config = plan_limit(0, 0))]
#[bench::pusht_small(args = (Plans::of(1)), config = plan_limit(1, 0))]
fn plans_alone(plans: Plans) -> Plans {
    let mut plans = plans;
    plans.alone();
    plans
}

#[library_benchmark]
#[bench::pusht(args = (Plans::of(0)), config = plan_limit(0, 1))]
#[bench::pusht_small(args = (Plans::of(1)), config = plan_limit(1, 1))]
fn plans_together(plans: Plans) -> Plans {
    let mut plans = plans;
    plans.together();
    plans
}

library_benchmark_group!(name = environment; benchmarks = control_steps, control_steps_side_by_side);
library_benchmark_group!(name = policy; benchmarks = plans_alone, plans_together);
main!(library_benchmark_groups = environment, policy);
