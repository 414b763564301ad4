//! Replay of the recorded demonstrations, bit for bit as by pymunk
//! (`golden/physics/demonstrations.csv`).
#![cfg(all(
    feature = "platform-math",
    target_arch = "x86_64",
    target_os = "linux",
    target_env = "gnu"
))]

mod pymunk_bits;

use pusht_core::digest::Digest;
use pusht_core::pusht::env::{PushTEnv, PushTParams, StartOrder, StartState};
use pymunk_bits::put_bits;

#[test]
fn every_demonstration_is_replayed_with_pymunks_bits() {
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let dataset = std::env::var_os("PUSHT_DATASET")
        .map_or_else(|| repository.join("../shared/data/pusht.zip"), Into::into);
    if !dataset.exists() {
        println!(
            "skipped: no demonstrations at {}; set PUSHT_DATASET",
            dataset.display()
        );
        return;
    }
    let demonstrations = pusht_host::data::Demonstrations::open(&dataset).unwrap();
    let table = include_str!("golden/physics/demonstrations.csv");
    let mut rows = table.lines().skip(1);
    for (number, episode) in demonstrations.episodes.iter().enumerate() {
        let start = StartState::from_state(&episode.states[0]);
        let mut env = PushTEnv::new(PushTParams::default(), start, StartOrder::AngleFirst).unwrap();
        let mut digest = Digest::new();
        put_bits(&mut digest, &env);
        let steps = episode.actions.len() - 1;
        for action in &episode.actions[..steps] {
            env.step(*action).unwrap();
            put_bits(&mut digest, &env);
        }
        let row = format!("{number},{steps},{:016x}", digest.finish());
        assert_eq!(rows.next(), Some(row.as_str()), "episode {number}");
    }
    assert_eq!(rows.next(), None);
}
