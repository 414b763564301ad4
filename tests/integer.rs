//! The integer policy against the float policy that it was quantised from, and against its own
//! committed digests.

#[path = "integer/random_model.rs"]
mod random_model;
#[path = "integer/random_policy.rs"]
mod random_policy;
mod tolerances;

use indicatif::ProgressBar;
use pusht_core::control::receding_horizon::{PlanJob, Planner};
use pusht_core::noise::NoiseSource;
use pusht_core::quant::{BATCH, IntPolicy, IntPolicyBatch, Model, Scratch, selftest};
use pusht_host::float_engine::FloatPolicy;
use pusht_host::policy_file::{ActionFrame, Observation, PolicyConfig, SchedulerKind};
use pusht_host::quantize::{calibrate, compare, quantize};
use random_model::{random_model, tiny_settings};
use random_policy::{random_tensors, small_config};
use std::path::PathBuf;

/// Quantises a random policy and checks that it plans what the float policy plans.
fn check_parity(what: &str, config: PolicyConfig) {
    let tensors = random_tensors(&config, 5);
    let policy = FloatPolicy::from_parts(config, &tensors).unwrap();
    let progress = ProgressBar::hidden();
    let calibration = calibrate::play(&policy, 0..1, &progress).unwrap();
    let bytes = quantize(&policy, &tensors, &calibration, what.into())
        .unwrap()
        .to_bytes();
    let model = Model::parse(&bytes).unwrap();
    let windows: Vec<_> = calibration.windows.iter().collect();
    let distances_px = compare::distances_px(&policy, &model, &windows, &progress).unwrap();
    let parity = compare::Parity::of(&distances_px).unwrap();
    assert!(
        parity.median_px < tolerances::INTEGER_MEDIAN_PX,
        "{what}: {parity:?}"
    );
    assert!(
        parity.p99_px < tolerances::INTEGER_P99_PX,
        "{what}: {parity:?}"
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
        config.observation = observation;
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
    let bytes = random_model(tiny_settings(), 2, 0).to_bytes();
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

#[test]
fn plans_are_the_same_bits_everywhere() {
    for (path, expected) in [
        (fixture(), TINY_DIGEST),
        (shipped("pusht.ptm"), SHIPPED_DIGEST),
        (shipped("pusht-small.ptm"), SMALL_DIGEST),
    ] {
        let bytes = std::fs::read(&path).unwrap();
        let digest = selftest(&Model::parse(&bytes).unwrap(), &mut Scratch::new(), 8);
        assert_eq!(digest, expected, "{}: {digest:#018x}", path.display());
    }
}

#[test]
fn a_plan_does_not_depend_on_what_the_memory_held_before() {
    let bytes = random_model(tiny_settings(), 2, 3).to_bytes();
    let other_bytes = random_model(
        random_model::Settings {
            down_dims: vec![24, 8],
            ..tiny_settings()
        },
        3,
        4,
    )
    .to_bytes();
    let (model, other) = (
        Model::parse(&bytes).unwrap(),
        Model::parse(&other_bytes).unwrap(),
    );
    let expected = selftest(&model, &mut Scratch::new(), 2);
    let mut used = Scratch::new();
    selftest(&other, &mut used, 1);
    assert_eq!(selftest(&model, &mut used, 2), expected);
}

/// Numbers of jobs below, at and above the batch size; with more than one pass, the sampler also
/// draws noise.
#[test]
fn a_plan_is_independent_of_its_batch() {
    for (passes, n_jobs) in [(1, 1), (3, 7), (2, BATCH), (3, 2 * BATCH + 5)] {
        let bytes = random_model(tiny_settings(), passes, n_jobs as u64).to_bytes();
        let model = Model::parse(&bytes).unwrap();
        let states = |job: usize| [[50.0 * job as f64, 100.0, 300.0, 250.0, 0.5 * job as f64]; 2];
        let states: Vec<_> = (0..n_jobs).map(states).collect();
        let noises = || (0..n_jobs as u64).map(NoiseSource::new);
        let mut expected = vec![[[0.0; 2]; 4]; n_jobs];
        let mut scratch = Scratch::new();
        let mut policy = IntPolicy::new(&model, &mut scratch);
        for ((states, mut noise), chunk) in states.iter().zip(noises()).zip(&mut expected) {
            policy.plan(states, &mut noise, chunk).unwrap();
        }
        let mut got = vec![[[0.0; 2]; 4]; n_jobs];
        let mut noises: Vec<_> = noises().collect();
        let inputs = states.iter().zip(&mut noises).zip(&mut got);
        let mut jobs: Vec<_> = inputs
            .map(|((states, noise), chunk)| PlanJob {
                states,
                noise,
                chunk,
            })
            .collect();
        let mut scratch = Box::new([const { Scratch::new() }; BATCH]);
        let mut batch = IntPolicyBatch::new(&model, &mut scratch);
        batch.plan(&mut jobs).unwrap();
        assert_eq!(got, expected, "{n_jobs} plans");
    }
}

#[test]
fn a_wrong_number_of_states_or_actions_is_refused() {
    let bytes = random_model(tiny_settings(), 1, 0).to_bytes();
    let model = Model::parse(&bytes).unwrap();
    let mut scratch = Scratch::new();
    let mut policy = IntPolicy::new(&model, &mut scratch);
    let mut noise = NoiseSource::new(0);
    let mut chunk = [[0.0; 2]; 8];
    assert!(
        policy
            .plan(&[[0.0; 5]; 1], &mut noise, &mut chunk[..4])
            .is_err()
    );
    assert!(
        policy
            .plan(&[[0.0; 5]; 2], &mut noise, &mut chunk[..5])
            .is_err()
    );
    assert!(
        policy
            .plan(&[[f64::NAN; 5]; 2], &mut noise, &mut chunk[..4])
            .is_err()
    );
    assert!(
        policy
            .plan(&[[0.0; 5]; 2], &mut noise, &mut chunk[..4])
            .is_ok()
    );
}
