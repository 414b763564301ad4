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

use budgets::STEP_INSTRUCTIONS;
use gungraun::{
    Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use pusht_core::env::PushTEnv;
use pusht_host::cmd::bench::sequences::{Sequence, chase, squeeze, walls};
use std::hint::black_box;

/// Sequences of a kind, of 200 control steps each.
const COUNT: usize = 12;
const CONTROL_STEPS: u64 = 200 * COUNT as u64;

type Work = Vec<(PushTEnv, Sequence)>;

fn begun(sequences: anyhow::Result<Vec<Sequence>>) -> Work {
    let begin = |sequence: Sequence| (sequence.begin().unwrap(), sequence);
    sequences.unwrap().into_iter().map(begin).collect()
}

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
    for (env, sequence) in &mut work {
        for action in &sequence.actions {
            let _ = black_box(env.step(*action));
        }
    }
    work
}

library_benchmark_group!(name = environment; benchmarks = control_steps);
main!(library_benchmark_groups = environment);
