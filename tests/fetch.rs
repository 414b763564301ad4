//! A policy of another task than PushT, `models/fetch.ptm` (gymnasium-robotics' FetchPickAndPlace):
//! the host, every board in QEMU, the controller behind its serial link, and the firmware of one's
//! own in `firmware/examples/own-policy` plan alike, bit for bit.

use anyhow::{Context, Result, ensure};
use pusht_core::control::{PlanShape, Planner, RecedingHorizon};
use pusht_core::link::{HOLD_AFTER_US, Identity};
use pusht_core::noise::NoiseSource;
use pusht_core::quant::{IntPolicy, Model, selftest};
use pusht_device::{BOARDS, Port, Setup, build, firmware_dir, run, run_beside};
use pusht_host::link::{Client, open_tcp};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/fetch.ptm");
const MODEL: &[u8] = include_bytes!("../models/fetch.ptm");
/// Digest of eight plans on every machine.
const DIGEST: u64 = 0x792f_b2bf_c561_48ea;
/// Plans of the firmware's self-test.
const N_FIRMWARE_PLANS: u32 = 2;
const LIMIT: Duration = Duration::from_secs(120);
/// Time that the controller gets to answer; a plan takes 30 ms in QEMU.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Control ticks through the link: three plans.
const N_TICKS: usize = 20;

const SHAPE: PlanShape = PlanShape {
    n_obs_steps: 2,
    obs_dim: 28,
    n_action_steps: 8,
    action_dim: 4,
};

/// The observation of `firmware/examples/own-policy`.
#[rustfmt::skip]
const OBSERVATION: [f64; SHAPE.obs_dim] = [
    1.34, 0.75, 0.53,  0.0, 0.0,  0.0, 0.0, 0.0,  0.0, 0.0,
    1.40, 0.80, 0.42,  0.06, 0.05, -0.11,  0.0, 0.0, 0.0,
    0.0, 0.0, 0.0,  0.0, 0.0, 0.0,  1.30, 0.70, 0.60,
];

/// Lends a planner of the model to `f`.
fn with_policy<R>(f: impl FnOnce(&Model<'_>, IntPolicy<'_>) -> R) -> R {
    let model = Model::parse(MODEL).unwrap();
    let mut scratch = vec![0; model.scratch_len()];
    let policy = IntPolicy::new(&model, &mut scratch).unwrap();
    f(&model, policy)
}

fn digest(n_plans: u32) -> u64 {
    let model = Model::parse(MODEL).unwrap();
    selftest(&model, &mut vec![0; model.scratch_len()], n_plans).unwrap()
}

#[test]
fn the_model_of_another_task_plans_with_the_committed_digest() {
    assert_eq!(digest(8), DIGEST);
    with_policy(|model, mut policy| {
        assert_eq!(model.task(), "fetch-pick-and-place");
        assert_eq!(policy.shape(), SHAPE);
        assert_eq!(policy.value(27).name, "goal_z");
        assert_eq!(policy.value(31).name, "fingers_open");
        // The fingers keep their last position, the gripper stops.
        let mut action = [0.5; SHAPE.action_dim];
        policy.hold(&OBSERVATION, &mut action);
        assert_eq!(action, [0.0, 0.0, 0.0, 0.5]);
        let mut chunk = [f64::NAN; SHAPE.chunk_len()];
        let window = [OBSERVATION; SHAPE.n_obs_steps];
        let planned = policy.plan(window.as_flattened(), &mut NoiseSource::new(0), &mut chunk);
        planned.unwrap();
        assert!(chunk.iter().all(|value| value.abs() <= 1.0), "{chunk:?}");
    });
}

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn every_board_plans_for_another_task_as_the_host_does() {
    let expected = format!("{:#018x}", digest(N_FIRMWARE_PLANS));
    for board in BOARDS {
        let elf = build("plans", &board, Some(Path::new(PATH))).unwrap();
        let log = run(&board, &elf, LIMIT, |line| {
            println!("{}: {line}", board.name)
        });
        let log = log.unwrap();
        assert_eq!(log.exit_code, Some(0), "{}: {:#?}", board.name, log.lines);
        assert_eq!(
            log.value("plans_digest").unwrap(),
            expected,
            "{}",
            board.name
        );
    }
}

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn the_controller_acts_for_another_task_as_the_hosts_policy_does() {
    let board = BOARDS[0];
    let elf = build("controller", &board, Some(Path::new(PATH))).unwrap();
    let port = Port::open(0).unwrap();
    let address = port.address().unwrap().to_string();
    let run = run_beside(&Setup::serving(port), &board, &elf, LIMIT, || {
        let mut client = Client::new(open_tcp(&address)?, TIMEOUT, |_| ());
        let last = converse(&mut client)?;
        // Longer than the device waits for a host.
        std::thread::sleep(Duration::from_micros(2 * HOLD_AFTER_US));
        client.hello()?;
        ensure!(client.report()?.holds == 1, "the device does not hold");
        Ok(last)
    });
    let (last, log) = run.unwrap();
    let held = format!("holding [0.0, 0.0, 0.0, {last:?}]");
    assert!(
        log.lines.iter().any(|line| line.contains(&held)),
        "no {held} in {:#?}",
        log.lines
    );
}

/// Asks for everything and compares; returns the last value of the last action.
fn converse(client: &mut Client<TcpStream>) -> Result<f64> {
    with_policy(|_, mut policy| {
        let hello = client.hello()?;
        ensure!(hello.task == policy.task() && hello.shape == policy.shape());
        let identity = Identity::new(BOARDS[0].name, MODEL);
        ensure!(hello.model_crc32c == identity.model_crc32c, "another model");
        for index in 0..SHAPE.obs_dim + SHAPE.action_dim {
            let (there, here) = (client.describe(index as u16)?, policy.value(index));
            ensure!(
                (there.name.as_str(), there.unit.as_str()) == (here.name, here.unit),
                "value {index}: {there:?}, {here:?}"
            );
        }
        let mut last = None;
        for seed in [0, 7] {
            client.begin(seed)?;
            let mut horizon = RecedingHorizon::<
                { SHAPE.window_len() },
                { SHAPE.chunk_len() + SHAPE.action_dim },
            >::new(SHAPE, seed)?;
            for tick in 0..N_TICKS {
                let mut observation = OBSERVATION;
                observation[0] += 0.01 * tick as f64;
                let there = client.observe(&observation)?;
                let here = horizon.act(&mut policy, &observation)?;
                ensure!(there == here, "tick {tick}: {there:?} there, {here:?} here");
                last = here.last().copied();
            }
        }
        last.context("no action")
    })
}

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn firmware_of_ones_own_plans_as_the_host_does() {
    let mut own = Command::new(env!("CARGO"));
    own.args(["run", "--quiet", "--release"])
        .current_dir(firmware_dir().join("examples/own-policy"));
    let output = own.output().unwrap();
    let log = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}{errors}");

    let mut chunk = [[0.0; SHAPE.action_dim]; SHAPE.n_action_steps];
    with_policy(|_, mut policy| {
        let window = [OBSERVATION; SHAPE.n_obs_steps];
        let mut noise = NoiseSource::new(0);
        policy.plan(window.as_flattened(), &mut noise, chunk.as_flattened_mut())
    })
    .unwrap();
    let expected = chunk.map(|action| format!("action {action:?}"));
    let actions = log.lines().filter(|line| line.starts_with("action"));
    assert!(actions.eq(expected), "{log}");
}
