//! What the benchmarks of the simulator do.

use pusht_core::pusht::env::{PushTEnv, step_side_by_side};
use pusht_host::cmd::bench::sequences::Sequence;
use std::hint::black_box;

/// Sequences of a kind, of 200 control steps each.
pub const COUNT: usize = 12;
/// Control steps of a kind.
pub const CONTROL_STEPS: u64 = 200 * COUNT as u64;

/// Environments at the start of their sequences.
pub type Work = Vec<(PushTEnv, Sequence)>;

/// The sequences, each with its environment.
pub fn begun(sequences: anyhow::Result<Vec<Sequence>>) -> Work {
    let begin = |sequence: Sequence| (sequence.begin().unwrap(), sequence);
    sequences.unwrap().into_iter().map(begin).collect()
}

/// All steps of all sequences.
pub fn step_through(work: &mut Work) {
    for (env, sequence) in work {
        for action in &sequence.actions {
            let _ = black_box(env.step(*action));
        }
    }
}

/// The same with all environments side by side.
pub fn step_side_by_side_through(work: &mut Work) {
    let (mut envs, sequences): (Vec<_>, Vec<_>) =
        work.iter().map(|(env, sequence)| (*env, sequence)).unzip();
    let mut outcomes: Vec<_> = envs.iter().map(|env| Ok(env.current())).collect();
    for tick in 0..CONTROL_STEPS as usize / COUNT {
        let actions = sequences.iter().map(|s| s.actions.get(tick).copied());
        let actions: Vec<_> = actions.collect();
        step_side_by_side(&mut envs, &actions, &mut outcomes);
        black_box(&outcomes);
    }
}
