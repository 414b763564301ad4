//! The integer policy against the float policy that it was quantised from, and against its own
//! committed digests.

#[path = "integer/random_model.rs"]
mod random_model;
#[path = "integer/random_policy.rs"]
mod random_policy;
mod tolerances;

use indicatif::ProgressBar;
use pusht_core::Error;
use pusht_core::control::{PlanJob, Planner};
use pusht_core::noise::NoiseSource;
use pusht_core::quant::{BATCH, IntPolicy, IntPolicyBatch, Model, ModelError, selftest};
use pusht_host::float_engine::FloatPolicy;
use pusht_host::policy_file::{ActionFrame, Observation, PolicyConfig, SchedulerKind};
use pusht_host::quantize::{CalibrationData, compare, quantize};
use random_model::{random_model, tiny_settings, tiny_task};
use random_policy::{random_tensors, small_config};
use std::path::PathBuf;

/// Quantises a random policy of PushT and checks that it plans what the float policy plans.
fn check_parity(what: &str, config: PolicyConfig) {
    check_parity_on(what, config, &CalibrationData::Episodes(0..1));
}

/// The same for a policy of any task, calibrated on `data`.
fn check_parity_on(what: &str, config: PolicyConfig, data: &CalibrationData) {
    let tensors = random_tensors(&config, 5);
    let policy = FloatPolicy::from_parts(config, &tensors).unwrap();
    let progress = ProgressBar::hidden();
    let calibration = data.calibrate(&policy, &progress).unwrap();
    let bytes = quantize(&policy, &tensors, &calibration, what.into())
        .unwrap()
        .to_bytes();
    let model = Model::parse(&bytes).unwrap();
    assert_eq!(model.shape(), policy.shape(), "{what}");
    let windows: Vec<_> = calibration.windows.iter().collect();
    let distances = compare::distances(&policy, &model, &windows, &progress).unwrap();
    let parity = compare::Parity::of(&distances).unwrap();
    // The tolerances are of two values whose half range is 256 px.
    let unit = match policy.observation() {
        Some(_) => 1.0,
        None => (model.shape().action_dim as f64 / 2.0).sqrt() / 256.0,
    };
    assert!(
        parity.median < tolerances::INTEGER_MEDIAN_PX * unit,
        "{what}: {parity:?}, unit {unit}"
    );
    assert!(
        parity.p99 < tolerances::INTEGER_P99_PX * unit,
        "{what}: {parity:?}, unit {unit}"
    );
    for layer in compare::layer_noise(&policy, &model, &windows[..2]).unwrap() {
        assert!(
            layer.snr_db > tolerances::INTEGER_LAYER_SNR_DB,
            "{what}: {layer:?}"
        );
    }
}

#[test]
fn every_prediction_type_and_sampler_agrees_with_the_float_engine() {
    for kind in [SchedulerKind::Ddim, SchedulerKind::Ddpm] {
        for prediction_type in ["epsilon", "sample", "v_prediction"] {
            let mut config = small_config();
            config.scheduler.kind = kind;
            config.scheduler.prediction_type = prediction_type.into();
            check_parity(&format!("{kind:?} {prediction_type}"), config);
        }
    }
}

#[test]
fn flow_matching_agrees_with_the_float_engine() {
    for passes in [1, 4] {
        let mut config = small_config();
        config.scheduler.kind = SchedulerKind::FlowMatchEuler;
        config.scheduler.prediction_type = "flow_prediction".into();
        config.num_inference_steps = passes;
        check_parity(&format!("flow matching in {passes}"), config);
    }
}

#[test]
fn actions_relative_to_the_agent_agree_with_the_float_engine() {
    for (observation, n_values) in [
        (Observation::State, 5),
        (Observation::Keypoints, 20),
        (Observation::Vertices, 18),
    ] {
        let mut config = small_config();
        config.unet.global_cond_dim = 2 * n_values;
        config.observation = Some(observation);
        config.action_frame = ActionFrame::Agent;
        check_parity(&format!("from the agent, {observation:?}"), config);
    }
}

#[test]
fn all_hundred_steps_of_ddpm_agree_with_the_float_engine() {
    let mut config = small_config();
    config.scheduler.kind = SchedulerKind::Ddpm;
    config.num_inference_steps = 100;
    config.n_action_steps = 15;
    check_parity("DDPM 100", config);
}

#[test]
fn other_networks_agree_with_the_float_engine() {
    let mut wide_kernel = small_config();
    wide_kernel.unet.kernel_size = 5;
    check_parity("kernel 5", wide_kernel);
    let mut bias_only = small_config();
    bias_only.unet.cond_predict_scale = false;
    check_parity("FiLM without scale", bias_only);
    let mut deep = small_config();
    deep.unet.down_dims = vec![8, 16, 24, 32];
    deep.unet.n_groups = 4;
    check_parity("four levels", deep);
    let mut flat = small_config();
    flat.unet.down_dims = vec![16];
    check_parity("one level", flat);
}

fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/integer/tiny.ptm")
}

fn shipped(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models");
    folder.join(name)
}

/// The fixture is generated; PUSHT_WRITE_FIXTURES=1 writes it again.
#[test]
fn the_committed_model_is_what_its_generator_makes() {
    let bytes = random_model(tiny_settings(), tiny_task(), 2, 0).to_bytes();
    if std::env::var_os("PUSHT_WRITE_FIXTURES").is_some() {
        std::fs::write(fixture(), &bytes).unwrap();
    }
    assert!(
        std::fs::read(fixture()).unwrap() == bytes,
        "golden/integer/tiny.ptm is another model"
    );
}

/// Digests of eight plans: equal on every machine and in every build.
const TINY_DIGEST: u64 = 0x8241_ec22_4879_a19c;
const SHIPPED_DIGEST: u64 = 0xd41f_21ad_07a1_308b;
const SMALL_DIGEST: u64 = 0xddbc_fcbe_54fa_cde8;

fn digest(model: &Model<'_>, n_plans: u32) -> u64 {
    selftest(model, &mut vec![0; model.scratch_len()], n_plans).unwrap()
}

#[test]
fn plans_are_the_same_bits_everywhere() {
    for (path, expected) in [
        (fixture(), TINY_DIGEST),
        (shipped("pusht.ptm"), SHIPPED_DIGEST),
        (shipped("pusht-small.ptm"), SMALL_DIGEST),
    ] {
        let bytes = std::fs::read(&path).unwrap();
        let digest = digest(&Model::parse(&bytes).unwrap(), 8);
        assert_eq!(digest, expected, "{}: {digest:#018x}", path.display());
    }
}

#[test]
fn a_plan_does_not_depend_on_what_the_memory_held_before() {
    let bytes = random_model(tiny_settings(), tiny_task(), 2, 3).to_bytes();
    let other_bytes = random_model(
        random_model::Settings {
            down_dims: vec![24, 8],
            ..tiny_settings()
        },
        tiny_task(),
        3,
        4,
    )
    .to_bytes();
    let (model, other) = (
        Model::parse(&bytes).unwrap(),
        Model::parse(&other_bytes).unwrap(),
    );
    let needed = model.scratch_len().max(other.scratch_len());
    let mut used = vec![u64::MAX; needed];
    selftest(&other, &mut used, 1).unwrap();
    assert_eq!(selftest(&model, &mut used, 2), Ok(digest(&model, 2)));
}

/// Numbers of jobs below, at and above the batch size; with more than one pass, the sampler also
/// draws noise.
#[test]
fn a_plan_is_independent_of_its_batch() {
    for (passes, n_jobs) in [(1, 1), (3, 7), (2, BATCH), (3, 2 * BATCH + 5)] {
        let bytes = random_model(tiny_settings(), tiny_task(), passes, n_jobs as u64).to_bytes();
        let model = Model::parse(&bytes).unwrap();
        let state = |job: usize| [50.0 * job as f64, 100.0, 300.0, 250.0, 0.5 * job as f64];
        let windows: Vec<_> = (0..n_jobs).map(|job| state(job).repeat(2)).collect();
        let noises = || (0..n_jobs as u64).map(NoiseSource::new);
        let mut expected = vec![[0.0; 8]; n_jobs];
        let mut scratch = vec![0; model.scratch_len()];
        let mut policy = IntPolicy::new(&model, &mut scratch).unwrap();
        for ((window, mut noise), chunk) in windows.iter().zip(noises()).zip(&mut expected) {
            policy.plan(window, &mut noise, chunk).unwrap();
        }
        let mut got = vec![[0.0; 8]; n_jobs];
        let mut noises: Vec<_> = noises().collect();
        let inputs = windows.iter().zip(&mut noises).zip(&mut got);
        let mut jobs: Vec<_> = inputs
            .map(|((window, noise), chunk)| PlanJob {
                window,
                noise,
                chunk,
            })
            .collect();
        let mut scratch = vec![0; BATCH * model.scratch_len()];
        let mut batch = IntPolicyBatch::new(&model, &mut scratch).unwrap();
        batch.plan(&mut jobs).unwrap();
        assert_eq!(got, expected, "{n_jobs} plans");
    }
}

#[test]
fn a_window_or_a_chunk_of_the_wrong_size_is_refused() {
    let bytes = random_model(tiny_settings(), tiny_task(), 1, 0).to_bytes();
    let model = Model::parse(&bytes).unwrap();
    let mut scratch = vec![0; model.scratch_len()];
    let mut policy = IntPolicy::new(&model, &mut scratch).unwrap();
    let mut noise = NoiseSource::new(0);
    let mut plan = |window: &[f64], len| policy.plan(window, &mut noise, &mut vec![0.0; len]);
    let refusal = |what, expected, got| {
        Err(Error::WrongLength {
            what,
            expected,
            got,
        })
    };
    assert_eq!(plan(&[0.0; 5], 8), refusal("window", 10, 5));
    assert_eq!(plan(&[0.0; 10], 10), refusal("chunk", 8, 10));
    assert_eq!(plan(&[f64::NAN; 10], 8), Err(Error::NonFiniteObservation));
    assert_eq!(plan(&[0.0; 10], 8), Ok(()));
    let mut fixed = |window: &[i32], len| {
        let noise = &mut NoiseSource::new(0);
        policy.plan_fixed(window, noise, &mut vec![0; len])
    };
    assert_eq!(fixed(&[0; 11], 8), refusal("window", 10, 11));
    assert_eq!(fixed(&[0; 10], 7), refusal("chunk", 8, 7));
    assert_eq!(fixed(&[0; 10], 8), Ok(()));
}

#[test]
fn a_memory_one_word_too_short_is_refused_when_the_policy_is_made() {
    let bytes = random_model(tiny_settings(), tiny_task(), 1, 0).to_bytes();
    let model = Model::parse(&bytes).unwrap();
    let mut scratch = vec![0; BATCH * model.scratch_len()];
    for (needed, n_plans) in [(model.scratch_len(), 1), (scratch.len(), BATCH)] {
        let available = needed - 1;
        let expected = ModelError::ScratchTooSmall { needed, available };
        let memory = &mut scratch[..available];
        let refused = match n_plans {
            1 => IntPolicy::new(&model, memory).map(|_| ()),
            _ => IntPolicyBatch::new(&model, memory).map(|_| ()),
        };
        assert_eq!(refused, Err(expected));
    }
    let memory = &mut scratch[..model.scratch_len() - 1];
    assert!(selftest(&model, memory, 1).is_err());
}
