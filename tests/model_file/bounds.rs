//! Every bound that the parser sets to a number of the file: at the bound it is accepted, beyond it
//! is refused by name. `docs/soundness.md` says what each bound is for.

use super::random_model::{Settings, mixed, random_model, tiny_settings, tiny_task};
use super::{exercise, sealed};
use pusht_core::quant::{
    LANES, MAX_ACTIVATION_EXPONENT, MAX_EPS, MAX_FILM_EXPONENT, MAX_GAMMA, MAX_GAMMA_EXPONENT,
    MAX_GROUP_LEN, MAX_PASSES, MAX_SHIFT, MAX_VALUE_EXPONENT, Model, ModelError,
};
use pusht_host::policy_file::Hold;
use pusht_host::quantize::file::{Block, Layer, ModelFile, Pass};

/// What is refused of a file; nothing of one that is accepted, whose plans are then tried.
fn refused(model: &ModelFile) -> Option<&'static str> {
    let bytes = model.to_bytes();
    match Model::parse(&bytes) {
        Ok(model) => {
            exercise(&model);
            None
        }
        Err(ModelError::OutOfRange { what, .. }) => Some(what),
        Err(ModelError::AccumulatorOverflow { .. }) => Some("a row"),
        Err(error) => panic!("{error}"),
    }
}

/// A change to a model: a number is put somewhere.
type Put = fn(&mut ModelFile, i64);

/// Checks that a number within `least..=most` is accepted in a place, and beside it refused.
fn check(what: &'static str, [least, most]: [i64; 2], put: Put) {
    let model = random_model(tiny_settings(), tiny_task(), 2, 0);
    for (number, expected) in [
        (least - 1, Some(what)),
        (least, None),
        (most, None),
        (most + 1, Some(what)),
    ] {
        let mut changed = model.clone();
        put(&mut changed, number);
        assert_eq!(refused(&changed), expected, "{number} as {what}");
    }
}

fn block(model: &mut ModelFile, index: usize) -> &mut Block {
    let blocks = model.layers.iter_mut().filter_map(|layer| match layer {
        Layer::Block(block) => Some(&mut **block),
        Layer::Resample(..) => None,
    });
    blocks.into_iter().nth(index).unwrap()
}

#[test]
fn values_of_observations_and_actions() {
    let what = "an observation's value";
    // Binary places: actions that are relative to a value have as many.
    check(what, [0, MAX_VALUE_EXPONENT.into()], |model, number| {
        model.observation_values[4].exponent = number as u32;
    });
    check(what, [0, MAX_SHIFT.into()], |model, number| {
        model.observation_values[0].affine.factor.shift = number as u32;
    });
    check(what, [0, i32::MAX.into()], |model, number| {
        model.observation_values[3].affine.factor.multiplier = number as i32;
    });
    let what = "an action's value";
    check(what, [0, MAX_VALUE_EXPONENT.into()], |model, number| {
        model.action_values[1].exponent = number as u32;
    });
    check(what, [0, MAX_SHIFT.into()], |model, number| {
        model.action_values[1].affine.factor.shift = number as u32;
    });
    check(what, [0, i32::MAX.into()], |model, number| {
        model.action_values[0].affine.factor.multiplier = number as i32;
    });
}

#[test]
fn coefficients_of_the_sampler() {
    let what = "sampler coefficient";
    const MOST: i64 = 1 << 29;
    let mantissas: [fn(&mut Pass) -> &mut i32; 6] = [
        |pass| &mut pass.clean[0],
        |pass| &mut pass.clean[1],
        |pass| &mut pass.next[0],
        |pass| &mut pass.next[1],
        |pass| &mut pass.next[2],
        |pass| &mut pass.next[3],
    ];
    for mantissa in mantissas {
        let model = random_model(tiny_settings(), tiny_task(), 2, 0);
        for (number, expected) in [
            (-MOST - 1, Some(what)),
            (-MOST, None),
            (MOST, None),
            (MOST + 1, Some(what)),
            (i32::MIN.into(), Some(what)),
        ] {
            let mut changed = model.clone();
            *mantissa(&mut changed.passes[1]) = number as i32;
            assert_eq!(refused(&changed), expected, "{number}");
        }
    }
    check(what, [0, MAX_SHIFT.into()], |model, number| {
        model.passes[0].clean_shift = number as u32;
    });
    check(what, [0, MAX_SHIFT.into()], |model, number| {
        model.passes[1].next_shift = number as u32;
    });
    check(what, [0, i32::MAX.into()], |model, number| {
        model.passes[1].clip = number as i32;
    });
}

/// The first byte in which two files of a length differ.
fn first_difference(a: &ModelFile, b: &ModelFile) -> usize {
    let (a, b) = (a.to_bytes(), b.to_bytes());
    (0..a.len()).find(|at| a[*at] != b[*at]).unwrap()
}

#[test]
fn a_coefficient_is_refused_with_the_place_of_its_pass() {
    let model = random_model(tiny_settings(), tiny_task(), 2, 0);
    for pass in 0..2 {
        let mut changed = model.clone();
        changed.passes[pass].timestep ^= 1;
        let begin = first_difference(&model, &changed);
        changed.passes[pass].clean[1] = i32::MAX;
        let (what, at) = ("sampler coefficient", begin);
        let error = Model::parse(&changed.to_bytes()).unwrap_err();
        assert_eq!(error, ModelError::OutOfRange { what, at }, "pass {pass}");
    }
}

#[test]
fn what_an_action_holds() {
    for value in 0..2 {
        let with = |hold| {
            let mut model = random_model(tiny_settings(), tiny_task(), 2, 0);
            model.task.action[value].hold = hold;
            model
        };
        let (last, zero) = (with(Hold::Last), with(Hold::Zero));
        let at = first_difference(&last, &zero);
        for (number, expected) in [(0, true), (2, true), (3, false), (255, false)] {
            let mut bytes = last.to_bytes();
            bytes[at] = number;
            let parsed = Model::parse(&sealed(bytes)).is_ok();
            assert_eq!(parsed, expected, "{number} for value {value}");
        }
    }
}

#[test]
fn exponents_of_tensors() {
    let most = MAX_ACTIVATION_EXPONENT.into();
    check("sample exponent", [0, most], |model, number| {
        model.settings.sample_exponent = number as u32;
    });
    check("condition exponent", [0, most], |model, number| {
        model.settings.condition_exponent = number as u32;
    });
    check("final exponent", [0, most], |model, number| {
        model.final_exponent = number as u32;
    });
    check("convolution exponent", [0, most], |model, number| {
        block(model, 1).first.conv_exponent = number as u32;
    });
    check("hidden exponent", [0, most], |model, number| {
        block(model, 1).hidden_exponent = number as u32;
    });
    check("residual exponent", [0, most], |model, number| {
        block(model, 0).residual_exponent = number as u32;
    });
    check("block exponent", [0, most], |model, number| {
        block(model, 0).exponent = number as u32;
    });
    check("resampling exponent", [0, most], |model, number| {
        for layer in &mut model.layers {
            if let Layer::Resample(exponent, _) = layer {
                *exponent = number as u32;
            }
        }
    });
    check(
        "FiLM exponent",
        [0, MAX_FILM_EXPONENT.into()],
        |model, number| {
            block(model, 3).film_exponent = number as u32;
        },
    );
}

#[test]
fn parameters_of_normalisation() {
    check(
        "normalisation epsilon",
        [1, MAX_EPS as i64],
        |model, number| {
            block(model, 2).second.eps = number as u64;
        },
    );
    check(
        "gamma exponent",
        [0, MAX_GAMMA_EXPONENT.into()],
        |model, number| {
            model.final_block.gamma_exponent = number as u32;
        },
    );
    let most = i64::from(MAX_GAMMA);
    check("gamma", [-most, most], |model, number| {
        block(model, 4).first.parameters[3][0] = number as i32;
    });
}

/// Sums of squares of larger groups would need more than 64 bits.
#[test]
fn values_in_a_group() {
    const HORIZON: usize = 256;
    let group_len = |n_channels| Settings {
        horizon: HORIZON,
        down_dims: vec![n_channels],
        kernel_size: 1,
        n_groups: 1,
        ..tiny_settings()
    };
    let most = MAX_GROUP_LEN / HORIZON;
    for (n_channels, expected) in [(most, None), (most + 8, Some("values in a group"))] {
        let model = random_model(group_len(n_channels), tiny_task(), 1, 0);
        let bytes = model.to_bytes();
        let what = Model::parse(&bytes).err().map(|error| match error {
            ModelError::OutOfRange { what, .. } => what,
            error => panic!("{error}"),
        });
        assert_eq!(what, expected, "{n_channels} channels");
    }
}

/// A level's tensor and its skip are one tensor afterwards.
#[test]
fn a_tensor_with_other_binary_places_than_its_skip() {
    let mut model = random_model(tiny_settings(), tiny_task(), 2, 0);
    // The last block of the middle, after two levels of two blocks.
    block(&mut model, 5).exponent = 10;
    let what = "exponent of a tensor before this, beside its skip";
    assert_eq!(refused(&model), Some(what));
    // The skip is that of the second level.
    block(&mut model, 3).exponent = 10;
    assert_eq!(refused(&model), None);
}

#[test]
fn settings_that_do_not_fit_each_other() {
    let together = Some("the settings before this, together,");
    let channels = Some("channels of a level");
    let refused_with = |change: fn(&mut Settings)| {
        let mut settings = tiny_settings();
        change(&mut settings);
        let bytes = random_model(settings, tiny_task(), 1, 0).to_bytes();
        match Model::parse(&bytes) {
            Ok(model) => {
                exercise(&model);
                None
            }
            Err(ModelError::OutOfRange { what, .. }) => Some(what),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(refused_with(|settings| settings.n_action_steps = 7), None);
    assert_eq!(
        refused_with(|settings| settings.n_action_steps = 8),
        together
    );
    assert_eq!(refused_with(|settings| settings.kernel_size = 4), together);
    assert_eq!(refused_with(|settings| settings.horizon = 9), together);
    assert_eq!(
        refused_with(|settings| settings.final_n_groups = 3),
        together
    );
    assert_eq!(refused_with(|settings| settings.final_n_groups = 4), None);
    assert_eq!(refused_with(|settings| settings.n_groups = 3), channels);
    // 819 and 820 observations of five values.
    assert_eq!(refused_with(|settings| settings.n_obs_steps = 819), None);
    assert_eq!(
        refused_with(|settings| settings.n_obs_steps = 820),
        together
    );
}

#[test]
fn passes_of_a_plan() {
    let refusal = |n_passes: u32| {
        let mut bytes = super::tiny();
        bytes[64..68].copy_from_slice(&n_passes.to_le_bytes());
        match Model::parse(&sealed(bytes)) {
            Err(ModelError::OutOfRange { what, at: 64 }) => Some(what),
            _ => None,
        }
    };
    assert_eq!(refusal(0), Some("passes"));
    assert_eq!(refusal(MAX_PASSES as u32), None);
    assert_eq!(refusal(MAX_PASSES as u32 + 1), Some("passes"));
}

#[test]
fn text_that_is_not_utf_8() {
    let bytes = super::tiny();
    let position = |word: &[u8]| bytes.windows(word.len()).position(|w| w == word).unwrap();
    for (at, what) in [
        (position(b"pusht/state"), "names"),
        (position(b"random"), "provenance"),
    ] {
        let mut changed = bytes.clone();
        changed[at] = 0xff;
        let error = Model::parse(&sealed(changed)).unwrap_err();
        assert!(
            matches!(error, ModelError::OutOfRange { what: name, .. } if name == what),
            "{error}"
        );
    }
}

/// A model of 15 products, and the place of their bits.
fn with_bits() -> (Vec<u8>, usize) {
    let settings = Settings {
        down_dims: vec![8],
        ..tiny_settings()
    };
    let bytes = mixed(random_model(settings, tiny_task(), 2, 0)).to_bytes();
    let at = bytes.windows(4).position(|tag| tag == b"BITS").unwrap();
    (bytes, at + 8)
}

/// Of every product; what follows them fills up a word.
#[test]
fn bits_of_the_weights() {
    let (bytes, begin) = with_bits();
    let n_products = Model::parse(&bytes).unwrap().weight_bits().len();
    let what = "bits of a weight";
    for index in [0, 1, n_products - 1] {
        for number in (0..=u8::MAX).filter(|number| *number != bytes[begin + index]) {
            let mut changed = bytes.clone();
            changed[begin + index] = number;
            let error = Model::parse(&sealed(changed)).unwrap_err();
            // The other number of bits: rows of another length, and what follows is no row.
            let at = begin + index;
            let is_refused_here = error == ModelError::OutOfRange { what, at };
            assert_eq!(
                is_refused_here,
                ![4, 8].contains(&number),
                "{number}: {error}"
            );
        }
    }
}

#[test]
fn as_many_bits_as_products() {
    let (bytes, begin) = with_bits();
    let section = u32::from_le_bytes(bytes[begin - 4..begin].try_into().unwrap()) as usize;
    let with_len = |len: usize, new: &[u8]| {
        let mut changed = bytes.clone();
        changed[begin - 4..begin].copy_from_slice(&(len as u32).to_le_bytes());
        changed.splice(
            begin + len.min(section)..begin + section,
            new.iter().copied(),
        );
        Model::parse(&sealed(changed)).err()
    };
    let what = "bits of a weight";
    assert_eq!(with_len(section, &[]), None);
    let at = begin + section - 4;
    let cut = with_len(section - 4, &[]);
    assert_eq!(cut, Some(ModelError::Truncated { what, at }));
    let n_products = Model::parse(&bytes).unwrap().weight_bits().len();
    let refused = Some(ModelError::OutOfRange {
        what,
        at: begin + n_products,
    });
    assert_eq!(with_len(section + 4, &[0; 4]), refused);
    assert_eq!(n_products + 1, section);
    let mut changed = bytes.clone();
    changed[begin + n_products] = 8;
    assert_eq!(Model::parse(&sealed(changed)).err(), refused);
}

#[test]
fn a_file_of_version_3_has_no_bits() {
    let (mut bytes, begin) = with_bits();
    bytes[8] = 3;
    let error = Model::parse(&sealed(bytes)).unwrap_err();
    let (expected, at) = ("UNET", begin - 8);
    assert_eq!(error, ModelError::WrongSection { expected, at });
    let mut bytes = super::tiny();
    let at = bytes.windows(4).position(|tag| tag == b"UNET").unwrap();
    bytes[8] = 4;
    let error = Model::parse(&sealed(bytes)).unwrap_err();
    assert_eq!(
        error,
        ModelError::WrongSection {
            expected: "BITS",
            at
        }
    );
}

/// 2^15 times the sum of magnitudes: 16 times 7 for each weight.
#[test]
fn a_sum_of_weights_of_4_bits() {
    let mut model = mixed(random_model(tiny_settings(), tiny_task(), 2, 0));
    let places = model.products_mut();
    let n_weights = places[0].rows[0].weights.len();
    assert_eq!(n_weights, 3 * LANES);
    let most = i32::MAX - ((n_weights as i32 * 112) << 15);
    let with = |bias: i32| {
        let mut changed = model.clone();
        let row = &mut changed.products_mut().remove(0).rows[0];
        row.weights.fill(-112);
        row.bias = bias;
        changed
    };
    assert_eq!(refused(&with(most)), None);
    assert_eq!(refused(&with(most + 1)), Some("a row"));
}
