//! Vector environments: the counterparts of Gymnasium's `tests/vector`, a module a file and a test a test, then what
//! Gymnasium gets wrong. `docs/vector.md` maps one to the other.

mod async_vector_env;
mod autoreset_mode;
mod batch;
mod envs;
mod faults;
mod golden;
mod observation_mode;
mod random_calls;
mod shared_memory;
mod sync_vector_env;
#[path = "../tolerances.rs"]
mod tolerances;
mod vector_env;
mod vector_env_info;
mod vector_wrapper;

use envs::registry;
use pusht_gym::env::EnvSpec;
use pusht_gym::value::Value;
use pusht_gym::vector::{
    AsyncOptions, AsyncVectorEnv, SyncVectorEnv, VectorEnv, VectorError, VectorOptions,
    WorkerProgram, run_if_worker,
};

/// What worker processes run: this program, by the name of this test.
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

/// The ways to run environments.
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

/// The ways that Gymnasium's asynchronous tests are run in, and threads.
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
            let env_fns: Vec<_> = specs
                .iter()
                .map(|spec| registry().env_fn(spec.clone()))
                .collect();
            return Ok(Box::new(SyncVectorEnv::new(&env_fns, options)?));
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
            vector,
            shared_memory,
        };
        if self == Self::Threads {
            let env_fns: Vec<_> = specs
                .iter()
                .map(|spec| registry().env_fn(spec.clone()))
                .collect();
            return AsyncVectorEnv::threads(&env_fns, options);
        }
        AsyncVectorEnv::processes(specs, program(), options)
    }
}

/// `n` environments with the seeds 0, 1, ...
fn cart_poles(n: i64) -> Vec<EnvSpec> {
    (0..n)
        .map(|seed| envs::spec("CartPole").with("seed", seed))
        .collect()
}

/// Whole numbers as a batch of discrete actions.
fn ints<const N: usize>(values: [i64; N]) -> Value {
    values.into()
}
