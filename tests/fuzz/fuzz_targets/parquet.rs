//! Any LeRobot dataset, whose tables are Parquet: it is refused, or its episodes are whole and
//! finite. Files that the input lacks are those of a small dataset.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pusht_fuzz::{Place, check_demonstrations, limit_memory};
use std::fs;

/// Files of the dataset, each with the one that stands in for it.
const FILES: [(&str, &[u8]); 3] = [
    ("meta/info.json", include_bytes!("../base/info.json")),
    (
        "data/chunk-000/file-000.parquet",
        include_bytes!("../base/frames.parquet"),
    ),
    (
        "meta/episodes/chunk-000/file-000.parquet",
        include_bytes!("../base/episodes.parquet"),
    ),
];

fuzz_target!(init: limit_memory(), |input: &[u8]| {
    thread_local!(static PLACE: Place = Place::default());
    let folder = PLACE.with(|place| place.folder(input, &FILES.map(|(name, _)| name)));
    for (name, base) in FILES {
        let path = folder.join(name);
        if !path.exists() {
            fs::create_dir_all(path.parent().expect("it is in the folder"))
                .and_then(|()| fs::write(path, base))
                .expect("a temporary file can be written");
        }
    }
    check_demonstrations(&folder);
});
