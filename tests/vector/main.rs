//! Vector environments: a counterpart of each test in Gymnasium's `tests/vector`, with the same name,
//! in a module per file; then tests of what Gymnasium gets wrong. `docs/vector.md` lists the
//! differences.

mod async_vector_env;
mod autoreset_mode;
mod batch;
mod envs;
mod faults;
mod golden;
mod making;
mod observation_mode;
mod random_calls;
mod resets;
mod shared_memory;
#[cfg(unix)]
mod stopped;
mod sync_vector_env;
#[path = "../tolerances.rs"]
mod tolerances;
mod vector_env;
mod vector_env_info;
mod vector_wrapper;

use envs::registry;
use pusht_gym::env::{EnvFn, EnvSpec};
use pusht_gym::value::Value;
use pusht_gym::vector::{
    AsyncOptions, AsyncVectorEnv, SyncVectorEnv, VectorEnv, VectorError, VectorOptions,
    WorkerProgram, run_if_worker,
};

/// The entry of worker processes, which run this test program with the name of this test.
#[test]
fn worker_entry() {
    run_if_worker(&registry());
}

fn program() -> WorkerProgram {
    WorkerProgram {
        path: None,
        arguments: ["worker_entry", "--exact", "--test-threads=1"]
            .map(Into::into)
            .into(),
        is_quiet: true,
    }
}

/// The transports: how sub-environments run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vectoriser {
    Sync,
    Threads,
    SharedMemory,
    Pipes,
}

const ALL: [Vectoriser; 4] = [
    Vectoriser::Sync,
    Vectoriser::Threads,
    Vectoriser::SharedMemory,
    Vectoriser::Pipes,
];

/// The asynchronous transports: Gymnasium's two, and threads.
const ASYNC: [Vectoriser; 3] = [
    Vectoriser::Threads,
    Vectoriser::SharedMemory,
    Vectoriser::Pipes,
];

impl Vectoriser {
    fn make(
        self,
        specs: &[EnvSpec],
        options: VectorOptions,
    ) -> Result<Box<dyn VectorEnv>, VectorError> {
        if self == Self::Sync {
            return Ok(Box::new(SyncVectorEnv::new(&env_fns(specs), options)?));
        }
        Ok(Box::new(self.make_async(specs, options)?))
    }

    fn make_async(
        self,
        specs: &[EnvSpec],
        vector: VectorOptions,
    ) -> Result<AsyncVectorEnv, VectorError> {
        let shared_memory = self == Self::SharedMemory;
        let options = AsyncOptions {
            shared_memory,
            ..vector.into()
        };
        if self == Self::Threads {
            return AsyncVectorEnv::threads(&env_fns(specs), options);
        }
        AsyncVectorEnv::processes(specs, program(), options)
    }
}

fn env_fns(specs: &[EnvSpec]) -> Vec<EnvFn> {
    let env_fn = |spec: &EnvSpec| registry().env_fn(spec.clone());
    specs.iter().map(env_fn).collect()
}

/// `n` environments with the seeds 0, 1, ...
fn cart_poles(n: i64) -> Vec<EnvSpec> {
    (0..n)
        .map(|seed| envs::spec("CartPole").with("seed", seed))
        .collect()
}

/// Integers as a batch of discrete actions.
fn ints<const N: usize>(values: [i64; N]) -> Value {
    values.into()
}
