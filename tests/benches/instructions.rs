//! Instructions of a control step under Callgrind, against what is committed in `budgets.rs`.
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
mod work;

use budgets::STEP_INSTRUCTIONS;
use gungraun::{
    Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use pusht_host::cmd::bench::sequences::{chase, squeeze, walls};
use work::{CONTROL_STEPS, COUNT, Work, begun, step_through};

/// Fails beyond the committed number of instructions.
fn limit(kind: usize) -> LibraryBenchmarkConfig {
    let limit = STEP_INSTRUCTIONS[kind] * CONTROL_STEPS;
    let mut callgrind = Callgrind::default();
    callgrind.hard_limits([(EventKind::Ir, limit)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

#[library_benchmark]
#[bench::chase(args = (begun(chase(COUNT))), config = limit(0))]
#[bench::walls(args = (begun(walls(COUNT))), config = limit(1))]
#[bench::squeeze(args = (begun(squeeze(COUNT))), config = limit(2))]
fn control_steps(work: Work) -> Work {
    let mut work = work;
    step_through(&mut work);
    work
}

library_benchmark_group!(name = environment; benchmarks = control_steps);
main!(library_benchmark_groups = environment);
