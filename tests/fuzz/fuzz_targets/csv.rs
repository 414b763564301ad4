//! Any file of actions for `pusht rollout`: it is refused, or its numbers are finite.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pusht_fuzz::{Place, limit_memory};
use pusht_host::cmd::rollout::read_actions;

fuzz_target!(init: limit_memory(), |input: &[u8]| {
    thread_local!(static PLACE: Place = Place::default());
    let path = PLACE.with(|place| place.file("actions.csv", input));
    if let Ok(actions) = read_actions(&path) {
        assert!(actions.iter().flatten().all(|value| value.is_finite()));
    }
});
