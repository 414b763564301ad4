//! Start states of seeds against NumPy (`golden/seeding/generate.py`), bit for bit.

use pusht_core::Error;
use pusht_core::pusht::env::{Seeding, StartState};

fn assert_equal(table: &str, seeding: Seeding) {
    let mut wrong = Vec::new();
    let rows: Vec<&str> = table.lines().skip(1).collect();
    for row in &rows {
        let (seed, values) = row.split_once(',').unwrap();
        let mut expected = values.split(',').map(|value| value.parse().unwrap());
        let expected = StartState::from_state(&std::array::from_fn(|_| expected.next().unwrap()));
        let start = StartState::from_seed(seed.parse().unwrap(), seeding).unwrap();
        if start != expected {
            wrong.push(format!("seed {seed}: {start:?} is not {expected:?}"));
        }
    }
    assert!(rows.len() > 100, "{} seeds", rows.len());
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn legacy_start_states_are_those_of_random_state() {
    assert_equal(include_str!("golden/seeding/legacy.csv"), Seeding::Legacy);
}

#[test]
fn start_states_are_those_of_pcg64() {
    assert_equal(include_str!("golden/seeding/pcg64.csv"), Seeding::Pcg64);
}

#[test]
fn a_legacy_seed_of_more_than_32_bits_is_refused() {
    let too_large = u64::from(u32::MAX) + 1;
    assert_eq!(
        StartState::from_seed(too_large, Seeding::Legacy),
        Err(Error::LegacySeedTooLarge)
    );
}
