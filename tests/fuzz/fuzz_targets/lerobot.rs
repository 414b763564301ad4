//! Any folder of a LeRobot policy: `pusht import` refuses it, or makes a policy that is read back
//! as it was. Weights and statistics are those of the seeds where the input has none.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pusht_fuzz::{Place, limit_memory};
use pusht_host::import::{self, Options};
use pusht_host::policy_file;
use std::fs;

/// Files of the folder.
const FILES: [&str; 7] = [
    "config.json",
    "train_config.json",
    "policy_preprocessor.json",
    "policy_postprocessor.json",
    "model.safetensors",
    PREPROCESSOR_STATE,
    POSTPROCESSOR_STATE,
];
const PREPROCESSOR_STATE: &str = "policy_preprocessor_step_0_normalizer_processor.safetensors";
const POSTPROCESSOR_STATE: &str = "policy_postprocessor_step_0_unnormalizer_processor.safetensors";

const WEIGHTS: &[u8] = include_bytes!("../base/lerobot.safetensors");
const STATISTICS: &[u8] = include_bytes!("../base/statistics.safetensors");

fuzz_target!(init: limit_memory(), |input: &[u8]| {
    thread_local!(static PLACE: Place = Place::default());
    let folder = PLACE.with(|place| place.folder(input, &FILES));
    for (name, bytes) in [
        ("model.safetensors", WEIGHTS),
        (PREPROCESSOR_STATE, STATISTICS),
        (POSTPROCESSOR_STATE, STATISTICS),
    ] {
        if !folder.join(name).exists() {
            fs::write(folder.join(name), bytes).expect("a temporary file can be written");
        }
    }
    if let Ok(imported) = import::read(&folder, &Options::default()) {
        let bytes = policy_file::to_bytes(&imported.config, &imported.tensors);
        let read = policy_file::parse(&bytes.expect("an imported policy can be written"));
        let (config, tensors) = read.expect("what is written is read");
        assert_eq!((config, tensors), (imported.config, imported.tensors));
    }
});
