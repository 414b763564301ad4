//! The parser of the model file: it reads what the writer wrote and refuses everything else.

#[path = "model_file/bounds.rs"]
mod bounds;
#[path = "integer/random_model.rs"]
mod random_model;

use pusht_core::control::{PlanShape, Planner, Value};
use pusht_core::noise::NoiseSource;
use pusht_core::quant::{
    IntPolicy, MAX_ACTION_DIM, MAX_CHANNELS, MAX_HORIZON, MAX_KERNEL_SIZE, MAX_LEVELS,
    MAX_NAME_LEN, MAX_UNIT_LEN, MAX_WINDOW_LEN, Model, ModelError, selftest,
};
use pusht_host::policy_file::{ActionFrame, Hold, Observation, Task};
use pusht_host::quantize::file::ModelFile;
use random_model::{inpainting_settings, mixed, random_model, tiny_settings, tiny_task};
use std::collections::BTreeSet;

const HEADER_SIZE: usize = 16;

fn tiny() -> Vec<u8> {
    random_model(tiny_settings(), tiny_task(), 2, 0).to_bytes()
}

/// Corrects length and checksum, as a hostile writer would.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 4;
    let len = bytes.len() as u32;
    bytes[12..16].copy_from_slice(&len.to_le_bytes());
    let checksum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&bytes[..end]);
    bytes[end..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Plans with a model from extreme observations; in a debug build, every overflow is a panic.
fn exercise(model: &Model<'_>) {
    let mut scratch = vec![0; model.scratch_len()];
    selftest(model, &mut scratch, 1).unwrap();
    let mut policy = IntPolicy::new(model, &mut scratch).unwrap();
    let shape = policy.shape();
    let extremes = [1e9, -1e9, 0.0, 512.0].into_iter().cycle();
    let window: Vec<f64> = extremes.take(shape.window_len()).collect();
    let mut chunk = vec![0.0; shape.chunk_len()];
    policy
        .plan(&window, &mut NoiseSource::new(1), &mut chunk)
        .unwrap();
    assert!(chunk.iter().all(|v| v.is_finite()));
    let extremes = [i32::MIN, i32::MAX, 0].into_iter().cycle();
    let window: Vec<i32> = extremes.take(shape.window_len()).collect();
    policy
        .plan_fixed(&window, &mut NoiseSource::new(1), &mut vec![0; chunk.len()])
        .unwrap();
}

/// Digest of two plans.
fn digest(bytes: &[u8]) -> u64 {
    let model = Model::parse(bytes).unwrap();
    selftest(&model, &mut vec![0; model.scratch_len()], 2).unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let bytes = tiny();
    let model = Model::parse(&bytes).unwrap();
    let expected = PlanShape {
        n_obs_steps: 2,
        obs_dim: 5,
        n_action_steps: 4,
        action_dim: 2,
    };
    assert_eq!((model.shape(), model.horizon()), (expected, 8));
    assert_eq!(model.task(), "pusht/state");
    let value = |name, unit| Value { name, unit };
    assert_eq!(model.value(4), value("block_angle", "rad"));
    assert_eq!(model.value(6), value("target_y", "px"));
    assert_eq!(model.n_passes(), 2);
    assert_eq!(model.provenance().trim_end(), "random weights, seed 0");
    exercise(&model);
}

#[test]
fn the_bits_of_each_product_are_read_back() {
    let model = random_model(tiny_settings(), tiny_task(), 2, 0);
    assert!(Model::parse(&tiny()).unwrap().weight_bits().is_empty());
    let bytes = mixed(model.clone()).to_bytes();
    let bits = Model::parse(&bytes).unwrap().weight_bits();
    assert_eq!(bits.len(), model.products().len());
    assert!(
        bits.chunks(2)
            .all(|pair| pair[0] == 4 && pair.get(1).is_none_or(|b| *b == 8))
    );
}

/// Words, as when each part of the memory was compared with its use.
#[test]
fn the_working_memory_is_as_committed() {
    let words = |bytes: &[u8]| Model::parse(bytes).unwrap().scratch_len();
    assert_eq!(words(include_bytes!("golden/integer/tiny.ptm")), 401);
    assert_eq!(words(include_bytes!("../models/pusht-small.ptm")), 728);
}

#[test]
fn the_address_of_the_file_does_not_matter() {
    let mut shifted = vec![0];
    shifted.extend(tiny());
    assert_eq!(digest(&shifted[1..]), digest(&tiny()));
}

#[test]
fn every_truncation_is_refused() {
    let bytes = tiny();
    for len in 0..bytes.len() {
        assert!(Model::parse(&bytes[..len]).is_err(), "cut to {len} bytes");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(matches!(
        Model::parse(&longer),
        Err(ModelError::WrongLength { .. })
    ));
}

#[test]
fn a_file_is_cut_in_its_header_up_to_the_shortest_with_a_checksum() {
    let (bytes, shortest) = (tiny(), HEADER_SIZE + 4);
    let (what, at) = ("header", 0);
    for len in [4, 8, HEADER_SIZE - 4, HEADER_SIZE, shortest - 1] {
        let error = Model::parse(&bytes[..len]).unwrap_err();
        assert_eq!(error, ModelError::Truncated { what, at }, "{len} bytes");
    }
    let (expected, got) = (bytes.len(), shortest);
    let error = Model::parse(&bytes[..shortest]).unwrap_err();
    assert_eq!(error, ModelError::WrongLength { expected, got });
}

#[test]
fn every_truncation_with_a_right_checksum_is_refused() {
    let bytes = tiny();
    for len in (HEADER_SIZE + 4..bytes.len()).step_by(3) {
        assert!(
            Model::parse(&sealed(bytes[..len].to_vec())).is_err(),
            "cut to {len} bytes"
        );
    }
}

#[test]
fn every_flipped_byte_is_refused() {
    let mut bytes = tiny();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            bytes[at] ^= flip;
            assert!(Model::parse(&bytes).is_err(), "byte {at} ^ {flip:02x}");
            bytes[at] ^= flip;
        }
    }
}

#[test]
fn a_hostile_file_with_a_right_checksum_never_panics() {
    let inpainting = random_model(inpainting_settings(), tiny_task(), 2, 0);
    let mixed = mixed(random_model(tiny_settings(), tiny_task(), 2, 0));
    for bytes in [tiny(), inpainting.to_bytes(), mixed.to_bytes()] {
        check_hostile(&bytes);
    }
}

fn check_hostile(bytes: &[u8]) {
    let (mut refused, mut harmless) = (0, 0);
    for at in HEADER_SIZE..bytes.len() - 4 {
        for value in [0x00, 0x7f, 0x80, 0xff] {
            // Most bytes are weights: all of the sizes and exponents are tried, and a sample of the
            // rest.
            if at > 400 && !(at + usize::from(value)).is_multiple_of(7) {
                continue;
            }
            let mut hostile = bytes.to_vec();
            hostile[at] = value;
            let hostile = sealed(hostile);
            match Model::parse(&hostile) {
                Ok(model) => {
                    exercise(&model);
                    harmless += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(
        refused > 300 && harmless > 300,
        "{refused} refused, {harmless} harmless"
    );
}

fn random_bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..len).map(next).collect()
}

#[test]
fn random_bytes_are_refused() {
    for len in 0..2000 {
        assert!(Model::parse(&random_bytes(len, len as u64)).is_err());
    }
}

/// Wherever a file becomes random, the parser finds it at that place or later, and in most parts
/// of a file it finds something else.
#[test]
fn a_file_that_ends_in_random_bytes_is_refused_behind_its_right_start() {
    let bytes = tiny();
    let end = bytes.len() - 40; // the last section is text
    let mut found = BTreeSet::new();
    for start in (HEADER_SIZE..end).step_by(7) {
        let mut changed = bytes[..start].to_vec();
        changed.extend(random_bytes(bytes.len() - start, start as u64));
        let error = Model::parse(&sealed(changed)).unwrap_err();
        let (what, at) = match error {
            ModelError::OutOfRange { what, at }
            | ModelError::Truncated { what, at }
            | ModelError::WrongSection { expected: what, at } => (what, at),
            ModelError::AccumulatorOverflow { at } => ("a row", at),
            error => panic!("random from {start}: {error}"),
        };
        // A table of the sampler or of values is refused as a whole, and a row by its start.
        assert!(at + 400 > start, "random from {start}: {error}");
        found.insert(what);
    }
    assert!(found.len() > 12, "{found:?}");
}

#[test]
fn each_error_says_what_and_where() {
    let message = |bytes: &[u8]| Model::parse(bytes).unwrap_err().to_string();
    let bytes = tiny();
    let with = |at: usize, word: u32| {
        let mut changed = bytes.clone();
        changed[at..at + 4].copy_from_slice(&word.to_le_bytes());
        sealed(changed)
    };
    assert_eq!(
        message(b"GIF89a, not a model file"),
        "not a model file (wrong magic at byte 0)"
    );
    assert_eq!(
        message(&with(8, 7)),
        "model format version 7 at byte 8, this program reads versions 3 to 4: \
         `pusht quantize` makes the file anew from its float policy"
    );
    assert_eq!(
        message(&bytes[..99]),
        format!("model file of {} bytes, 99 given", bytes.len())
    );
    assert_eq!(
        message(&with(16, 0)),
        "section CONF is missing or of the wrong size at byte 16"
    );
    assert_eq!(
        message(&with(44, 0)),
        "levels at byte 44 is out of range: a model file has 1 to 6"
    );
    let mut flipped = bytes.clone();
    flipped[200] ^= 1;
    assert!(message(&flipped).starts_with("model file damaged: checksum "));
}

/// The two words that follow the levels of a policy that does not execute from `To - 1` on.
#[test]
fn actions_past_the_horizon_and_observations_past_it_are_refused() {
    let parse =
        |settings| Model::parse(&random_model(settings, tiny_task(), 1, 0).to_bytes()).err();
    let settings = |first_action, n_obs_steps| random_model::Settings {
        first_action,
        n_obs_steps,
        ..inpainting_settings()
    };
    assert_eq!(parse(settings(4, 8)), None);
    for (first_action, n_obs_steps) in [(5, 8), (4, 9)] {
        let error = parse(settings(first_action, n_obs_steps));
        assert!(
            matches!(error, Some(ModelError::OutOfRange { .. })),
            "{error:?}"
        );
    }
}

#[test]
fn a_row_that_could_overflow_is_refused() {
    let mut model = random_model(tiny_settings(), tiny_task(), 2, 0);
    model.final_conv[1].bias = i32::MAX - 5;
    let error = Model::parse(&model.to_bytes()).unwrap_err();
    assert!(
        matches!(error, ModelError::AccumulatorOverflow { .. }),
        "{error}"
    );
}

#[test]
fn each_size_has_a_limit_and_is_refused_by_name_beyond_it() {
    for (at, most, what) in [
        (24, MAX_WINDOW_LEN, "values of an observation"),
        (28, MAX_ACTION_DIM, "values of an action"),
        (36, MAX_HORIZON, "horizon"),
        (44, MAX_LEVELS, "levels"),
        (48, MAX_KERNEL_SIZE, "kernel size"),
        (76, MAX_CHANNELS, "channels of a level"),
    ] {
        let refusal = |size: usize| {
            let mut bytes = tiny();
            bytes[at..at + 4].copy_from_slice(&(size as u32).to_le_bytes());
            Model::parse(&sealed(bytes)).err()
        };
        let expected = Some(ModelError::OutOfRange { what, at });
        assert_eq!(refusal(most + 1), expected);
        let message = refusal(most + 1).unwrap().to_string();
        assert!(message.ends_with(&format!(" to {most}")), "{message}");
        // At the limit another part may be refused: the network in the file is small.
        assert_ne!(refusal(most), expected);
    }
}

#[test]
fn every_kind_of_network_is_accepted() {
    for (kind, observation) in [
        Observation::State,
        Observation::Keypoints,
        Observation::Vertices,
    ]
    .into_iter()
    .enumerate()
    {
        for (down_dims, horizon) in [
            (vec![8], 5),
            (vec![16, 24, 32, 40], 16),
            (vec![32, 64, 128], 16),
        ] {
            let settings = random_model::Settings {
                horizon,
                down_dims,
                n_groups: 8,
                kernel_size: 2 * kind + 1,
                film_has_scale: kind > 0,
                n_action_steps: 3,
                ..tiny_settings()
            };
            let frame = [ActionFrame::Window, ActionFrame::Agent][usize::from(kind > 0)];
            let bytes = random_model(settings, observation.task(frame), 3, 1).to_bytes();
            exercise(&Model::parse(&bytes).unwrap());
        }
    }
}

/// A task of 6 observed values and 3 commanded ones, the first two relative.
fn arm() -> Task {
    let mut task = Task::unnamed(6, 3);
    task.action[0].relative_to = Some(5);
    task.action[0].hold = Hold::Observed;
    task.action[1].relative_to = Some(0);
    task.action[2].hold = Hold::Zero;
    task
}

#[test]
fn a_value_that_an_action_cannot_be_counted_from_is_refused() {
    let model = random_model(tiny_settings(), arm(), 1, 0);
    assert!(Model::parse(&model.to_bytes()).is_ok());
    let refused = |change: fn(&mut ModelFile)| {
        let mut changed = model.clone();
        change(&mut changed);
        let bytes = changed.to_bytes();
        let what = "an action's value";
        matches!(Model::parse(&bytes), Err(ModelError::OutOfRange { what: name, .. }) if name == what)
    };
    // Past the observation.
    assert!(refused(|model| model.task.action[0].relative_to = Some(6)));
    // Of another format.
    assert!(refused(|model| model.observation_values[5].exponent = 15));
    assert!(refused(|model| model.action_values[1].exponent = 17));
    // An absolute value has no observed one to hold.
    assert!(refused(|model| model.task.action[2].hold = Hold::Observed));
}

#[test]
fn names_that_are_missing_or_too_long_are_refused() {
    let refused = |change: fn(&mut Task)| {
        let mut task = arm();
        change(&mut task);
        let bytes = random_model(tiny_settings(), task, 1, 0).to_bytes();
        matches!(
            Model::parse(&bytes),
            Err(ModelError::OutOfRange { what: "names", .. })
        )
    };
    assert!(!refused(|task| task.name = "n".repeat(MAX_NAME_LEN)));
    assert!(!refused(
        |task| task.observation[0].unit = "u".repeat(MAX_UNIT_LEN)
    ));
    assert!(refused(|task| task.name = "n".repeat(MAX_NAME_LEN + 1)));
    assert!(refused(
        |task| task.action[2].name = "n".repeat(MAX_NAME_LEN + 1)
    ));
    assert!(refused(
        |task| task.observation[0].unit = "u".repeat(MAX_UNIT_LEN + 1)
    ));
    assert!(refused(|task| task.observation[0].name = "a\tb\tc".into()));
}

/// Plans from a fixed window and sixteen draws of noise, ended after `n_passes` passes.
fn stopped(n_passes: usize) -> Vec<f64> {
    let bytes = include_bytes!("../models/pusht.ptm");
    let mut model = Model::parse(bytes).unwrap();
    model.stop_after(n_passes).unwrap();
    assert_eq!(model.n_passes(), n_passes);
    let mut scratch = vec![0; model.scratch_len()];
    let mut policy = IntPolicy::new(&model, &mut scratch).unwrap();
    let shape = policy.shape();
    let window: Vec<f64> = (0..shape.window_len())
        .map(|at| 200.0 + 10.0 * (at % shape.obs_dim) as f64)
        .collect();
    let mut chunks = vec![0.0; 16 * shape.chunk_len()];
    let mut noise = NoiseSource::new(5);
    for chunk in chunks.chunks_mut(shape.chunk_len()) {
        policy.plan(&window, &mut noise, chunk).unwrap();
    }
    chunks
}

/// On average: a single plan can go back and forth.
#[test]
fn plans_that_stop_early_are_nearer_to_the_whole_ones_with_every_pass() {
    let bytes = include_bytes!("../models/pusht.ptm");
    let mut model = Model::parse(bytes).unwrap();
    let n_passes = model.n_passes();
    for refused in [0, n_passes + 1, usize::MAX] {
        let error = model.stop_after(refused).unwrap_err();
        assert!(matches!(
            error,
            ModelError::OutOfRange { what: "passes", .. }
        ));
    }
    model.stop_after(n_passes).unwrap();
    let mut scratch = vec![0; model.scratch_len()];
    assert_eq!(selftest(&model, &mut scratch, 2).unwrap(), digest(bytes));
    let whole = stopped(n_passes);
    let distance = |n_passes| {
        let chunk = stopped(n_passes);
        let pairs = chunk.iter().zip(&whole);
        pairs.map(|(a, b)| (a - b).abs()).sum::<f64>()
    };
    let distances: Vec<f64> = (1..=n_passes).map(distance).collect();
    assert!(distances.is_sorted_by(|a, b| a > b), "{distances:?}");
}
