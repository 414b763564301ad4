//! Failures that Gymnasium 1.4.0 handles wrongly, and failures of workers.

use crate::envs::{faulty, spec};
use crate::{ALL, ASYNC, Vectoriser, ints, program};
use pusht_gym::pusht::PUSHT_ID;
use pusht_gym::value::{Array, Dict, Value, dict};
use pusht_gym::vector::{
    AsyncOptions, AsyncVectorEnv, AutoresetMode, Cause, Fault, Seed, VectorEnv, VectorError,
    VectorOptions,
};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PROCESSES: [Vectoriser; 2] = [Vectoriser::SharedMemory, Vectoriser::Pipes];

fn defaults() -> VectorOptions {
    VectorOptions::default()
}

fn make_faulty(vectoriser: Vectoriser) -> AsyncVectorEnv {
    let mut envs = vectoriser
        .make_async(&vec![spec("Faulty"); 3], defaults())
        .unwrap();
    envs.reset(Seed::None, &Dict::new()).unwrap();
    envs
}

/// A step in which environment 1 takes the action `fault` and the others step.
fn actions(fault: i64) -> Value {
    ints([faulty::STEP, fault, faulty::STEP])
}

fn pid(envs: &mut AsyncVectorEnv, index: usize) -> u32 {
    envs.get_attr("pid").unwrap()[index].as_int().unwrap() as u32
}

/// The state of a process as a letter; `None` if there is no such process.
pub fn state(pid: u32) -> Option<char> {
    if Path::new("/proc/self/stat").exists() {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        return stat.rsplit_once(") ")?.1.chars().next();
    }
    let ps = Command::new("ps")
        .args(["-o", "state=", "-p", &pid.to_string()])
        .output();
    String::from_utf8_lossy(&ps.unwrap().stdout)
        .trim()
        .chars()
        .next()
}

fn kill(pid: u32) {
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.unwrap().success());
}

/// Checks that the error names environment 1 alone, that the others were stepped, and that only a
/// restart ends the error.
fn dies_alone(vectoriser: Vectoriser, mut envs: AsyncVectorEnv, error: VectorError, cause: &Cause) {
    let fault = Fault {
        index: 1,
        cause: cause.clone(),
    };
    let check = |error: VectorError, reward: f64| {
        let VectorError::Environments { faults, rest } = error else {
            panic!("{vectoriser:?}: {error}")
        };
        assert_eq!(faults, std::slice::from_ref(&fault));
        assert_eq!(rest.unwrap().rewards, [reward, 0.0, reward]);
    };
    check(error, 1.0);
    check(envs.step(&actions(faulty::STEP)).unwrap_err(), 2.0);
    envs.restart(1).unwrap();
    let step = envs.step(&actions(faulty::STEP)).unwrap();
    assert_eq!(
        step.rewards,
        [3.0, 0.0, 3.0],
        "the new one's first step is a reset"
    );
    let step = envs.step(&actions(faulty::STEP)).unwrap();
    assert_eq!(step.rewards, [4.0, 1.0, 4.0]);
    let rows = Array::new(&[3, 2], vec![4_i64, 100, 1, 100, 4, 100]).unwrap();
    assert_eq!(*step.observations, rows.into());
    assert_eq!(envs.close_with(None, false).terminated, Vec::<usize>::new());
}

#[test]
fn a_worker_that_panics_is_named_and_the_others_live_on() {
    for vectoriser in ASYNC {
        let mut envs = make_faulty(vectoriser);
        let worker = pid(&mut envs, 1);
        let error = envs.step(&actions(faulty::PANIC)).unwrap_err();
        assert!(
            vectoriser == Vectoriser::Threads || state(worker).is_none(),
            "no zombie"
        );
        assert_eq!(
            error.to_string(),
            "environment 1: its worker panicked: this environment panics"
        );
        let cause = Cause::Panicked("this environment panics".into());
        dies_alone(vectoriser, envs, error, &cause);
    }
}

#[test]
fn a_worker_that_exits_is_named_and_the_others_live_on() {
    for vectoriser in PROCESSES {
        let mut envs = make_faulty(vectoriser);
        let worker = pid(&mut envs, 1);
        let error = envs.step(&actions(faulty::EXIT)).unwrap_err();
        assert_eq!(state(worker), None, "no zombie");
        assert_eq!(
            error.to_string(),
            "environment 1: its worker exited with code 7"
        );
        dies_alone(vectoriser, envs, error, &Cause::Exited(7));
    }
}

#[test]
fn a_worker_that_is_killed_is_named_and_leaves_no_zombie() {
    for vectoriser in PROCESSES {
        // While it idles.
        let mut envs = make_faulty(vectoriser);
        let killed = pid(&mut envs, 1);
        kill(killed);
        let error = envs.step(&actions(faulty::STEP)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "environment 1: its worker was killed by signal 9"
        );
        assert_eq!(state(killed), None, "no zombie");
        dies_alone(vectoriser, envs, error, &Cause::Killed(9));
        // While it works.
        let mut envs = make_faulty(vectoriser);
        let killed = pid(&mut envs, 1);
        envs.step_async(&actions(faulty::HANG)).unwrap();
        kill(killed);
        let error = envs.step_wait(None).unwrap_err();
        assert_eq!(state(killed), None, "no zombie");
        dies_alone(vectoriser, envs, error, &Cause::Killed(9));
    }
}

#[test]
fn a_worker_that_hangs_is_named_and_can_be_restarted() {
    for vectoriser in ASYNC {
        let mut envs = make_faulty(vectoriser);
        let timeout = Duration::from_millis(500);
        envs.step_async(&actions(faulty::HANG)).unwrap();
        let error = envs.step_wait(Some(timeout)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`step_wait`: no answer within 0.5 s from environment 1"
        );
        // It stays the only one that is late.
        envs.step_async(&actions(faulty::STEP)).unwrap();
        let error = envs.step_wait(Some(timeout)).unwrap_err();
        assert!(matches!(error, VectorError::Timeout { pending, .. } if pending == [1]));
        envs.restart(1).unwrap();
        let step = envs.step(&actions(faulty::STEP)).unwrap();
        assert_eq!(step.rewards, [3.0, 0.0, 3.0]);
        let hanging = envs.step_async(&actions(faulty::HANG));
        assert_eq!(hanging, Ok(()));
        let start = Instant::now();
        let closed = envs.close_with(Some(timeout), false);
        assert_eq!(
            (closed.interrupted, closed.terminated),
            (Some("step"), vec![1])
        );
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn a_call_that_hangs_times_out_and_can_be_restarted_while_it_is_pending() {
    for vectoriser in ASYNC {
        let mut envs = make_faulty(vectoriser);
        envs.step_async(&actions(faulty::HANG)).unwrap();
        envs.restart(1).unwrap();
        let error = envs.step_wait(None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "environment 1: its worker is lost: it was restarted"
        );
        assert_eq!(
            envs.step(&actions(faulty::STEP)).unwrap().rewards,
            [2.0, 0.0, 2.0]
        );
    }
}

/// Gymnasium returns the late reply of the earlier call, and is one reply behind from then on.
#[test]
fn after_a_timeout_each_call_gets_its_own_reply() {
    for vectoriser in ASYNC {
        let mut envs = vectoriser
            .make_async(&vec![spec("Slow"); 2], defaults())
            .unwrap();
        envs.reset(Seed::None, &Dict::new()).unwrap();
        envs.step_async(&[0.0_f32, 1.5].into()).unwrap();
        let error = envs
            .step_wait(Some(Duration::from_millis(500)))
            .unwrap_err();
        assert!(matches!(error, VectorError::Timeout { pending, .. } if pending == [1]));
        for count in 2..5 {
            let step = envs.step(&[0.0_f32, 0.0].into()).unwrap();
            assert_eq!(step.rewards, [f64::from(count); 2], "{vectoriser:?}");
            let observations = step.observations.as_slice::<u8>().unwrap();
            assert!(observations.iter().all(|value| *value == count));
        }
        // Another kind of call after a timeout, too.
        envs.step_async(&[0.3_f32, 0.0].into()).unwrap();
        envs.step_wait(Some(Duration::from_millis(50))).unwrap_err();
        let error = envs.get_attr("nothing").unwrap_err();
        assert!(error.to_string().contains("AttributeError"), "{error}");
        assert_eq!(envs.step(&[0.0_f32, 0.0].into()).unwrap().rewards, [6.0; 2]);
        envs.step_async(&[0.0_f32, 0.0].into()).unwrap();
        let step = envs.step_wait(Some(Duration::MAX)).unwrap();
        assert_eq!(step.rewards, [7.0; 2], "a timeout that never comes");
    }
}

#[test]
fn a_late_observation_is_what_a_masked_reset_returns() {
    for vectoriser in ASYNC {
        let options = VectorOptions {
            autoreset_mode: AutoresetMode::Disabled,
            ..defaults()
        };
        let mut envs = vectoriser
            .make_async(&vec![spec("Slow"); 2], options)
            .unwrap();
        envs.reset(Seed::None, &Dict::new()).unwrap();
        envs.step_async(&[0.0_f32, 0.3].into()).unwrap();
        envs.step_wait(Some(Duration::from_millis(50))).unwrap_err();
        let mask = dict([("reset_mask", [false, true].into())]);
        let (observations, _) = envs.reset(Seed::None, &mask).unwrap();
        let observations = observations.as_slice::<u8>().unwrap();
        assert_eq!((observations[0], observations[64 * 64 * 3]), (1, 0));
    }
}

/// Gymnasium skips that step without shared memory.
#[test]
fn the_step_after_resetting_a_finished_episode_takes_its_action() {
    for vectoriser in ALL {
        let mut envs = vectoriser
            .make(&vec![spec("Count"); 2], defaults())
            .unwrap();
        envs.set_attr("max_count", &Value::Int(1)).unwrap();
        envs.reset(Seed::None, &Dict::new()).unwrap();
        let step = envs.step(&ints([1, 1])).unwrap();
        assert_eq!(step.terminations, [true; 2]);
        envs.reset(Seed::None, &Dict::new()).unwrap();
        let step = envs.step(&ints([4, 3])).unwrap();
        assert_eq!(step.rewards, [4.0, 3.0], "{vectoriser:?}");
        assert_eq!(*step.observations, ints([1, 1]));
    }
}

#[test]
fn a_truncated_episode_is_reset_like_a_terminated_one() {
    for vectoriser in ALL {
        let mut envs = vectoriser
            .make(&vec![spec("Count"); 2], defaults())
            .unwrap();
        envs.set_attr("truncate_at", &vec![Value::Int(1), Value::Int(3)].into())
            .unwrap();
        envs.reset(Seed::None, &Dict::new()).unwrap();
        assert_eq!(envs.step(&ints([1, 1])).unwrap().truncations, [true, false]);
        let step = envs.step(&ints([1, 1])).unwrap();
        assert_eq!(
            (&*step.observations, step.rewards),
            (&ints([0, 2]), vec![0.0, 1.0])
        );
    }
}

#[test]
fn a_nan_action_is_refused_with_the_index_of_its_environment() {
    for vectoriser in ALL {
        let mut envs = vectoriser
            .make(&vec![spec(PUSHT_ID); 3], defaults())
            .unwrap();
        envs.reset(Seed::Int(1), &Dict::new()).unwrap();
        let state = |envs: &mut Box<dyn VectorEnv>| envs.get_attr("state").unwrap();
        let before = state(&mut envs);
        for bad in [f64::NAN, f64::INFINITY] {
            let actions = Array::new(&[3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, bad]).unwrap();
            let error = envs.step(&actions.into()).unwrap_err();
            assert_eq!(error, VectorError::NonFiniteAction { index: 2 });
            assert_eq!(
                error.to_string(),
                "the action of environment 2 is not finite"
            );
        }
        assert_eq!(state(&mut envs), before, "nobody was stepped");
    }
}

#[test]
fn an_observation_of_another_shape_is_refused_with_the_index_of_its_environment() {
    for vectoriser in ALL {
        let mut envs = vectoriser
            .make(&vec![spec("Faulty"); 3], defaults())
            .unwrap();
        envs.reset(Seed::None, &Dict::new()).unwrap();
        let error = envs.step(&actions(faulty::WRONG_SHAPE)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "environment 1: its observation is not of its space: i64 of shape [1]"
        );
        assert_eq!(
            envs.step(&actions(faulty::STEP)).unwrap().rewards,
            [2.0, 1.0, 2.0]
        );
    }
}

/// Gymnasium overwrites them if the environment reuses its buffers.
#[test]
fn final_observations_keep_their_values() {
    for vectoriser in ALL {
        let options = VectorOptions {
            autoreset_mode: AutoresetMode::SameStep,
            copy: false,
            ..defaults()
        };
        let specs = vec![spec(PUSHT_ID).with("max_episode_steps", 2_i64); 2];
        let mut envs = vectoriser.make(&specs, options).unwrap();
        envs.reset(Seed::Int(0), &Dict::new()).unwrap();
        let go = |envs: &mut Box<dyn VectorEnv>| {
            let actions = Array::filled(&[2, 2], 256.0);
            envs.step(&actions.into()).unwrap()
        };
        go(&mut envs);
        let last = go(&mut envs);
        assert_eq!(last.truncations, [true; 2]);
        let kept = last.infos["final_obs"].clone();
        let observations = last.observations.clone();
        let copy = (*observations).clone();
        for _ in 0..4 {
            go(&mut envs);
        }
        assert_eq!(last.infos["final_obs"], kept);
        assert_eq!(*observations, copy);
        assert_ne!(
            kept.as_list().unwrap()[0].as_slice::<f64>(),
            Some(&[0.0; 5][..])
        );
    }
}

#[test]
fn an_environment_that_can_not_be_made_is_named() {
    for vectoriser in ALL {
        let specs = [spec("Count"), spec("Broken"), spec("Count")];
        let error = vectoriser.make(&specs, defaults()).err().unwrap();
        assert_eq!(
            error.to_string(),
            "environment 1: ValueError: broken from the start"
        );
    }
}

#[test]
fn a_program_that_exits_or_is_missing_is_an_error() {
    let mut program = program();
    program.path = Some("true".into());
    program.arguments.clear();
    let made =
        AsyncVectorEnv::processes(&[spec("Count")], program.clone(), AsyncOptions::default());
    assert_eq!(
        made.err().unwrap().to_string(),
        "environment 0: its worker exited with code 0"
    );
    program.path = Some("/no/such/program".into());
    let made = AsyncVectorEnv::processes(&[spec("Count")], program, AsyncOptions::default());
    assert!(
        made.err()
            .unwrap()
            .to_string()
            .starts_with("environment 0: its worker is lost: ")
    );
}

/// A program that starts vector environments without the entry would start itself without end.
#[test]
fn a_worker_that_missed_its_entry_starts_no_workers() {
    let mut program = program();
    let name = "faults::a_worker_that_missed_its_entry_starts_no_workers";
    program.arguments[0] = name.into();
    let made = AsyncVectorEnv::processes(&[spec("Count")], program, AsyncOptions::default());
    let error = made.err().unwrap();
    // In the worker, which passes the test and ends; and here.
    if error != VectorError::MissedWorkerEntry {
        assert_eq!(
            error.to_string(),
            "environment 0: its worker exited with code 0"
        );
    }
}

/// Environment variable that turns [`parent_entry`] from a test into the parent that is killed.
const PARENT_VARIABLE: &str = "VECTOR_TEST_PARENT";

/// The parent: prints the process ids of its workers, of which one hangs, and waits to be killed.
#[test]
fn parent_entry() {
    if std::env::var_os(PARENT_VARIABLE).is_none() {
        return;
    }
    let mut envs = make_faulty(Vectoriser::SharedMemory);
    for index in 0..3 {
        println!("pid {}", pid(&mut envs, index));
    }
    println!("ready");
    let _ = envs.step(&actions(faulty::HANG));
}

#[test]
fn workers_and_shared_memory_are_gone_after_the_parent_is_killed() {
    use std::io::BufRead;
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args([
            "faults::parent_entry",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(PARENT_VARIABLE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut workers: Vec<u32> = Vec::new();
    for line in std::io::BufReader::new(parent.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line == "ready" {
            break;
        }
        workers.extend(
            line.split_once("pid ")
                .and_then(|(_, pid)| pid.parse::<u32>().ok()),
        );
    }
    assert_eq!(workers.len(), 3);
    assert!(workers.iter().all(|pid| state(*pid).is_some()));
    // The memory has no name even while it is used: nothing can be left of it.
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", workers[0])).unwrap_or_default();
    if Path::new("/dev/shm").is_dir() {
        assert!(
            maps.lines()
                .any(|line| line.contains("/dev/shm/") && line.ends_with("(deleted)")),
            "{maps}"
        );
    }
    // Give the hanging step time to begin.
    std::thread::sleep(Duration::from_millis(100));
    kill(parent.id());
    parent.wait().unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    let is_running = |pid: &u32| !matches!(state(*pid), None | Some('Z'));
    while workers.iter().any(is_running) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    let left: Vec<_> = workers.iter().filter(|pid| is_running(pid)).collect();
    assert!(left.is_empty(), "still running: {left:?}");
}

#[test]
fn closing_and_dropping_leave_no_worker() {
    for vectoriser in PROCESSES {
        let mut envs = make_faulty(vectoriser);
        let pids: Vec<u32> = (0..3).map(|index| pid(&mut envs, index)).collect();
        assert!(pids.iter().all(|pid| state(*pid).is_some()));
        envs.close();
        assert!(
            pids.iter().all(|pid| state(*pid).is_none()),
            "after closing"
        );
        let mut envs = make_faulty(vectoriser);
        let pids: Vec<u32> = (0..3).map(|index| pid(&mut envs, index)).collect();
        envs.step_async(&actions(faulty::HANG)).unwrap();
        drop(envs);
        assert!(
            pids.iter().all(|pid| state(*pid).is_none()),
            "after dropping"
        );
    }
}
