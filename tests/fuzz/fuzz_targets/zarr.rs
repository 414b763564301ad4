//! Any Zarr folder or archive: it is refused, or its episodes are whole and finite.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pusht_fuzz::{Place, check_demonstrations, limit_memory};

/// Files of the folder: the metadata of each array in both versions, and its first two chunks.
const FILES: [&str; 19] = [
    "data/state/.zarray",
    "data/state/zarr.json",
    "data/state/0.0",
    "data/state/1.0",
    "data/state/c/0/0",
    "data/state/c/1/0",
    "data/action/.zarray",
    "data/action/zarr.json",
    "data/action/0.0",
    "data/action/1.0",
    "data/action/c/0/0",
    "data/action/c/1/0",
    "meta/episode_ends/.zarray",
    "meta/episode_ends/zarr.json",
    "meta/episode_ends/0",
    "meta/episode_ends/1",
    "meta/episode_ends/c/0",
    "meta/seed/.zarray",
    "meta/seed/0",
];

fuzz_target!(init: limit_memory(), |input: &[u8]| {
    thread_local!(static PLACE: Place = Place::default());
    let path = PLACE.with(|place| match input.starts_with(b"PK") {
        true => place.file("data.zip", input),
        false => place.folder(input, &FILES),
    });
    check_demonstrations(&path);
});
