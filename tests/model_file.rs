//! The parser of the model file: it reads what the writer wrote and refuses everything else.

#[path = "integer/random_model.rs"]
mod random_model;

use pusht_core::control::receding_horizon::Planner;
use pusht_core::noise::NoiseSource;
use pusht_core::quant::{IntPolicy, Model, ModelError, Scratch, selftest};
use random_model::{random_model, tiny_settings};

const HEADER_SIZE: usize = 16;

fn tiny() -> Vec<u8> {
    random_model(tiny_settings(), 2, 0).to_bytes()
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

/// Plans with a model from extreme states; in a debug build, every overflow is a panic.
fn exercise(model: &Model<'_>) {
    let mut scratch = Scratch::new();
    selftest(model, &mut scratch, 1);
    let mut policy = IntPolicy::new(model, &mut scratch);
    let states = [[1e9, -1e9, 0.0, 512.0, -1e300]; 4];
    let mut chunk = [[0.0; 2]; 32];
    let (n_obs_steps, n_action_steps) = (policy.n_obs_steps(), policy.n_action_steps());
    policy
        .plan(
            &states[..n_obs_steps],
            &mut NoiseSource::new(1),
            &mut chunk[..n_action_steps],
        )
        .unwrap();
    assert!(chunk.as_flattened().iter().all(|v| v.is_finite()));
}

#[test]
fn what_is_written_is_read_back() {
    let bytes = tiny();
    let model = Model::parse(&bytes).unwrap();
    assert_eq!(
        (model.n_obs_steps(), model.horizon(), model.n_action_steps()),
        (2, 8, 4)
    );
    assert_eq!(model.n_passes(), 2);
    assert_eq!(model.provenance().trim_end(), "random weights, seed 0");
    exercise(&model);
}

#[test]
fn the_address_of_the_file_does_not_matter() {
    let mut shifted = vec![0];
    shifted.extend(tiny());
    let (mut a, mut b) = (Scratch::new(), Scratch::new());
    let expected = selftest(&Model::parse(&tiny()).unwrap(), &mut a, 2);
    assert_eq!(
        selftest(&Model::parse(&shifted[1..]).unwrap(), &mut b, 2),
        expected
    );
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
    let bytes = tiny();
    let (mut refused, mut harmless) = (0, 0);
    for at in HEADER_SIZE..bytes.len() - 4 {
        for value in [0x00, 0x7f, 0x80, 0xff] {
            // Most bytes are weights: all of the sizes and exponents are tried, and a sample of the
            // rest.
            if at > 400 && !(at + usize::from(value)).is_multiple_of(7) {
                continue;
            }
            let mut hostile = bytes.clone();
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

#[test]
fn random_bytes_are_refused() {
    let mut state = 1_u64;
    for len in 0..2000 {
        let mut bytes: Vec<u8> = (0..len)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        assert!(Model::parse(&bytes).is_err());
        // With the right magic and version, the parser goes on to the sections.
        if len > HEADER_SIZE + 4 {
            bytes[..12].copy_from_slice(&tiny()[..12]);
            assert!(Model::parse(&sealed(bytes)).is_err());
        }
    }
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
        "model format version 7 at byte 8 is not known"
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
        message(&with(24, 3)),
        "observation kind at byte 24 is out of range"
    );
    assert_eq!(
        message(&with(32, 4096)),
        "horizon at byte 32 is out of range"
    );
    assert_eq!(message(&with(40, 0)), "levels at byte 40 is out of range");
    let mut flipped = bytes.clone();
    flipped[200] ^= 1;
    assert!(message(&flipped).starts_with("model file damaged: checksum "));
}

#[test]
fn a_row_that_could_overflow_is_refused() {
    let mut model = random_model(tiny_settings(), 2, 0);
    model.final_conv[1].bias = i32::MAX - 5;
    let error = Model::parse(&model.to_bytes()).unwrap_err();
    assert!(
        matches!(error, ModelError::AccumulatorOverflow { .. }),
        "{error}"
    );
}

#[test]
fn a_network_too_large_for_the_memory_is_refused() {
    let mut settings = tiny_settings();
    settings.horizon = 32;
    settings.down_dims = vec![64, 128];
    let error = Model::parse(&random_model(settings, 1, 0).to_bytes()).unwrap_err();
    assert!(matches!(error, ModelError::TooLarge { .. }), "{error}");
}

#[test]
fn every_kind_of_network_is_accepted() {
    for observation_kind in 0..3 {
        for (down_dims, horizon) in [
            (vec![8], 5),
            (vec![16, 24, 32, 40], 16),
            (vec![32, 64, 128], 16),
        ] {
            let settings = random_model::Settings {
                observation_kind,
                horizon,
                down_dims,
                n_groups: 8,
                kernel_size: 2 * observation_kind as usize + 1,
                film_has_scale: observation_kind > 0,
                actions_from_agent: observation_kind > 0,
                n_action_steps: 3,
                ..tiny_settings()
            };
            // The widest network leaves no room for the padding of five taps.
            if settings.kernel_size == 5 && settings.down_dims[0] == 32 {
                continue;
            }
            let bytes = random_model(settings, 3, 1).to_bytes();
            exercise(&Model::parse(&bytes).unwrap());
        }
    }
}
