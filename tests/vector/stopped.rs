//! Workers that are stopped, and so never answer. No test here depends on how fast the others are.

use crate::envs::{faulty, spec};
use crate::faults::state;
use crate::{Vectoriser, ints};
use pusht_gym::value::Dict;
use pusht_gym::vector::{
    AsyncOptions, AsyncVectorEnv, DEFAULT_TIMEOUT, Seed, VectorEnv, VectorError, VectorOptions,
};
use std::process::Command;
use std::time::Duration;

const PROCESSES: [Vectoriser; 2] = [Vectoriser::SharedMemory, Vectoriser::Pipes];
/// Long enough for nothing: the stopped worker meets any timeout.
const SHORT: Option<Duration> = Some(Duration::from_millis(50));

/// Three environments, of which the second one's worker is stopped.
fn stopped(vectoriser: Vectoriser) -> (AsyncVectorEnv, String) {
    let mut envs = vectoriser
        .make_async(&vec![spec("Faulty"); 3], VectorOptions::default())
        .unwrap();
    envs.reset(Seed::None, &Dict::new()).unwrap();
    let pid = envs.get_attr("pid").unwrap()[1]
        .as_int()
        .unwrap()
        .to_string();
    signal("STOP", &pid);
    // It takes effect when the worker's threads are next scheduled.
    while state(pid.parse().unwrap()) != Some('T') {
        std::thread::yield_now();
    }
    (envs, pid)
}

fn signal(name: &str, pid: &str) {
    let sent = Command::new("kill").args(["-s", name, pid]).status();
    assert!(sent.unwrap().success());
}

/// Checks that a call ended because of the stopped worker.
fn is_late<T: std::fmt::Debug>(result: Result<T, VectorError>) {
    match result {
        // On a slow machine others may be late, too.
        Err(VectorError::Timeout { pending, .. }) => assert!(pending.contains(&1), "{pending:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_call_has_a_timeout_unless_the_caller_wants_none() {
    assert_eq!(AsyncOptions::default().timeout, Some(DEFAULT_TIMEOUT));
    let envs = Vectoriser::Threads.make_async(&[spec("Faulty")], VectorOptions::default());
    let mut envs = envs.unwrap();
    assert_eq!(envs.timeout(), Some(DEFAULT_TIMEOUT));
    envs.set_timeout(None);
    assert_eq!(envs.timeout(), None);
}

#[test]
fn a_stopped_worker_ends_each_call_with_a_timeout_that_names_it() {
    for vectoriser in PROCESSES {
        let (mut envs, pid) = stopped(vectoriser);
        let step = ints([faulty::STEP; 3]);
        envs.set_timeout(SHORT);
        is_late(envs.step(&step));
        is_late(envs.get_attr("pid"));
        is_late(envs.reset(Seed::None, &Dict::new()));
        is_late(envs.call("pid", &[]));
        envs.set_timeout(None);
        signal("CONT", &pid);
        envs.reset(Seed::None, &Dict::new()).unwrap();
        assert_eq!(envs.step(&step).unwrap().rewards, [1.0; 3], "all go on");
    }
}

#[test]
fn a_stopped_worker_can_be_restarted() {
    for vectoriser in PROCESSES {
        let (mut envs, _) = stopped(vectoriser);
        let step = ints([faulty::STEP; 3]);
        envs.set_timeout(SHORT);
        is_late(envs.step(&step));
        envs.set_timeout(None);
        envs.restart(1).unwrap();
        envs.reset(Seed::None, &Dict::new()).unwrap();
        assert_eq!(envs.step(&step).unwrap().rewards, [1.0; 3]);
    }
}

#[test]
fn a_stopped_worker_holds_up_neither_closing_nor_dropping() {
    for vectoriser in PROCESSES {
        let (envs, _) = stopped(vectoriser);
        drop(envs);
        let (mut envs, _) = stopped(vectoriser);
        let closed = envs.close_with(SHORT, false);
        assert!(closed.terminated.contains(&1), "{closed:?}");
        let (mut envs, _) = stopped(vectoriser);
        envs.set_timeout(SHORT);
        envs.close();
        assert_eq!(envs.get_attr("pid"), Err(VectorError::ClosedEnvironment));
    }
}

#[test]
fn a_worker_that_never_starts_is_an_error() {
    let slow = spec("Slow").with("made_after_s", 3600.0);
    for vectoriser in [Vectoriser::Threads, Vectoriser::Pipes] {
        let options = AsyncOptions {
            shared_memory: false,
            timeout: SHORT,
            ..AsyncOptions::default()
        };
        let made = match vectoriser {
            Vectoriser::Threads => {
                AsyncVectorEnv::threads(&crate::env_fns(std::slice::from_ref(&slow)), options)
            }
            _ => AsyncVectorEnv::processes(std::slice::from_ref(&slow), crate::program(), options),
        };
        let error = made.err().unwrap().to_string();
        assert!(error.contains("it was not made within 0.05 s"), "{error}");
    }
}
