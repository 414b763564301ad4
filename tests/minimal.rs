//! `firmware/examples/minimal.rs` in QEMU: what an engineer runs first.

use pusht_core::control::Planner;
use pusht_core::control::RecedingHorizon;
use pusht_core::pusht::env::Seeding;
use pusht_core::pusht::observation::{ObservationKind, observe};
use pusht_core::pusht::rollout::{MAX_CHUNK_LEN, MAX_WINDOW_LEN};
use pusht_core::quant::{IntPolicy, Model};
use pusht_device::firmware_dir;
use pusht_host::evaluate;
use std::process::Command;

const MODEL: &[u8] = pusht_core::include_model!("../models/pusht-small.ptm");
const KIND: ObservationKind = ObservationKind::Vertices;

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn the_minimal_example_acts_as_the_host_does() {
    let mut minimal = Command::new(env!("CARGO"));
    minimal
        .args(["run", "--quiet", "--release", "--example", "minimal"])
        .current_dir(firmware_dir());
    let output = minimal.output().unwrap();
    let log = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}{errors}");
    let ticks: Vec<&str> = log.lines().filter(|line| line.contains("tick ")).collect();
    assert_eq!(ticks.len(), 20, "{log}");

    let model = Model::parse(MODEL).unwrap();
    let mut scratch = vec![0; model.scratch_len()];
    let mut policy = IntPolicy::new(&model, &mut scratch).unwrap();
    let mut horizon =
        RecedingHorizon::<MAX_WINDOW_LEN, MAX_CHUNK_LEN>::new(policy.shape(), 0).unwrap();
    let mut env = evaluate::start(0, Seeding::Legacy).unwrap();
    for (tick, line) in ticks.iter().enumerate() {
        let mut observation = [0.0; KIND.dim()];
        observe(KIND, &env.state(), &mut observation).unwrap();
        let action = horizon.act(&mut policy, &observation).unwrap();
        let [x, y] = *action else {
            panic!("{action:?}")
        };
        env.step([x, y]).unwrap();
        assert_eq!(action_of(line, tick), Some([x, y]), "{line}");
    }
}

/// The action in a line `tick N: [X, Y] in ...`. The log's digits may be others, the number not.
fn action_of(line: &str, tick: usize) -> Option<[f64; 2]> {
    let (_, rest) = line.split_once(&format!("tick {tick}: ["))?;
    let (x, y) = rest.split_once(']')?.0.split_once(", ")?;
    Some([x.parse().ok()?, y.parse().ok()?])
}
