//! The integer policy against the float policy that it was quantised from, and its fixtures against
//! their generator. `digests.rs` has what it plans.

#[path = "integer/random_model.rs"]
mod random_model;
#[path = "integer/random_policy.rs"]
mod random_policy;
mod tolerances;

use indicatif::ProgressBar;
use pusht_core::Error;
use pusht_core::control::{PlanJob, Planner};
use pusht_core::noise::NoiseSource;
use pusht_core::quant::{
    BATCH, IntPolicy, IntPolicyBatch, MAX_ACTION_DIM, MAX_HORIZON, MAX_KERNEL_SIZE, MAX_LEVELS,
    MAX_WINDOW_LEN, Model, ModelError, WeightBits, selftest,
};
use pusht_host::float_engine::FloatPolicy;
use pusht_host::policy_file::{
    ActionFrame, Conditioning, Hold, Observation, PolicyConfig, SchedulerKind, Task, Thresholding,
};
use pusht_host::quantize::{Bits, CalibrationData, check, compare, model_file, quantize};
use random_model::{inpainting_settings, mixed, random_model, tiny_settings, tiny_task};
use random_policy::{config_of, random_tensors, random_windows, small_config};
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
    let bits = WeightBits::Eight;
    let bytes = quantize(&policy, &tensors, &calibration, bits, what.into())
        .unwrap()
        .to_bytes();
    let model = Model::parse(&bytes).unwrap();
    assert_eq!(model.shape(), policy.shape(), "{what}");
    check_fixed_point(what, &model, &calibration.windows[0]);
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

/// A plan in fixed point is a plan in the task's units, in each value's own format.
fn check_fixed_point(what: &str, model: &Model<'_>, window: &[f64]) {
    let shape = model.shape();
    let mut scratch = vec![0; model.scratch_len()];
    let mut policy = IntPolicy::new(model, &mut scratch).unwrap();
    let mut expected = vec![0.0; shape.chunk_len()];
    policy
        .plan(window, &mut NoiseSource::new(0), &mut expected)
        .unwrap();
    let values = window.iter().enumerate();
    let fixed: Vec<i32> = values
        .map(|(i, value)| model.observation_value(i % shape.obs_dim).to_fixed(*value))
        .collect();
    let mut chunk = vec![0; shape.chunk_len()];
    policy
        .plan_fixed(&fixed, &mut NoiseSource::new(0), &mut chunk)
        .unwrap();
    let values = chunk.iter().enumerate();
    let got: Vec<f64> = values
        .map(|(i, value)| model.action_value(i % shape.action_dim).to_f64(*value))
        .collect();
    assert_eq!(got, expected, "{what}");
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

/// `eta` draws noise in every pass, the last included.
#[test]
fn a_stochastic_ddim_agrees_with_the_float_engine() {
    for (eta, use_clipped_model_output, prediction_type) in [
        (0.5, false, "epsilon"),
        (1.0, true, "epsilon"),
        (0.0, true, "v_prediction"),
        (0.3, true, "sample"),
    ] {
        let mut config = small_config();
        config.scheduler.prediction_type = prediction_type.into();
        config.scheduler.eta = eta;
        config.scheduler.use_clipped_model_output = use_clipped_model_output;
        let what = format!("eta {eta}, clipped {use_clipped_model_output}, {prediction_type}");
        check_parity(&what, config);
    }
}

#[test]
fn actions_from_the_step_after_the_newest_observation_agree_with_the_float_engine() {
    let mut config = small_config();
    config.oa_step_convention = false;
    config.n_action_steps = 14;
    check_parity("oa_step_convention off", config);
}

#[test]
fn a_policy_that_predicts_only_the_executed_actions_agrees_with_the_float_engine() {
    for oa_step_convention in [true, false] {
        let mut config = small_config();
        config.pred_action_steps_only = true;
        config.oa_step_convention = oa_step_convention;
        check_parity("pred_action_steps_only", config);
    }
}

/// Makes a policy one that sees the observations in its trajectory.
fn inpainting(mut config: PolicyConfig) -> PolicyConfig {
    let task = config.task().unwrap();
    config.conditioning = Conditioning::Inpainting;
    config.unet.global_cond_dim = 0;
    config.unet.input_dim = task.action.len() + task.observation.len();
    config
}

#[test]
fn inpainting_agrees_with_the_float_engine() {
    for kind in [SchedulerKind::Ddim, SchedulerKind::Ddpm] {
        let mut config = inpainting(small_config());
        config.scheduler.kind = kind;
        check_parity(&format!("inpainting, {kind:?}"), config);
    }
    let mut config = inpainting(small_config());
    config.oa_step_convention = false;
    config.action_frame = ActionFrame::Agent;
    config.unet.cond_predict_scale = false;
    check_parity("inpainting, FiLM without scale", config);
    let mut config = inpainting(config_of(arm(4), 3, 16, &[16, 32, 48]));
    (config.unet.kernel_size, config.unet.n_groups) = (5, 4);
    check_parity_of("inpainting, an arm", config);
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

/// The same for a policy of another task, over random observations.
fn check_parity_of(what: &str, config: PolicyConfig) {
    let windows = random_windows(&config, 12, 1);
    check_parity_on(
        what,
        config,
        &CalibrationData::Windows(windows, what.into()),
    );
}

/// Joints of an arm that moves relative to them, and a gripper.
fn arm(n_joints: usize) -> Task {
    let mut task = Task::unnamed(7 * n_joints, n_joints + 1);
    for (joint, value) in task.action.iter_mut().take(n_joints).enumerate() {
        value.relative_to = Some(4 * joint + joint % 4);
        value.hold = [Hold::Observed, Hold::Last, Hold::Zero][joint % 3];
    }
    task
}

#[test]
fn an_arm_with_relative_actions_agrees_with_the_float_engine() {
    let mut config = config_of(arm(4), 2, 16, &[16, 32]);
    (config.unet.kernel_size, config.unet.n_groups) = (5, 1);
    check_parity_of("arm", config);
}

#[test]
fn a_robot_of_many_joints_agrees_with_the_float_engine() {
    let mut config = config_of(Task::unnamed(1024, 32), 1, 64, &[16, 32]);
    config.unet.n_groups = 16;
    check_parity_of("1,024 values seen, 32 commanded", config);
}

#[test]
fn six_levels_agree_with_the_float_engine() {
    let mut config = config_of(Task::unnamed(10, 3), 2, 64, &[8, 8, 16, 16, 24, 32]);
    config.unet.n_groups = 2;
    check_parity_of("six levels", config);
}

#[test]
fn seven_taps_and_one_action_agree_with_the_float_engine() {
    let mut config = config_of(Task::unnamed(7, 1), 3, 16, &[16, 32]);
    config.unet.kernel_size = 7;
    check_parity_of("seven taps", config);
}

/// What `quantize::check`, the float engine or `quantize::model_file` says against a policy.
fn refusal(config: PolicyConfig) -> String {
    if let Err(error) = check(&config) {
        return format!("{error:#}");
    }
    let tensors = random_tensors(&config, 0);
    let data = CalibrationData::Windows(random_windows(&config, 2, 0), "random".into());
    let model = FloatPolicy::from_parts(config, &tensors).and_then(|policy| {
        model_file(
            &policy,
            &tensors,
            &data,
            Bits::default(),
            &ProgressBar::hidden(),
        )
    });
    format!("{:#}", model.unwrap_err())
}

#[test]
fn what_the_integer_path_does_not_serve_is_refused_with_its_limit() {
    let of = |obs_dim, action_dim, horizon, down_dims: &[usize]| {
        config_of(Task::unnamed(obs_dim, action_dim), 1, horizon, down_dims)
    };
    let with = |change: fn(&mut PolicyConfig)| {
        let mut config = of(4, 2, 16, &[16, 32]);
        change(&mut config);
        config
    };
    for (config, words) in [
        (of(4, 2, 512, &[8]), ["horizon: 512", "up to 256"]),
        (of(4, 65, 16, &[8]), ["values of an action: 65", "up to 64"]),
        (
            of(5000, 2, 16, &[8]),
            ["values of an observation: 5000", "up to 4096"],
        ),
        (of(4, 2, 64, &[8; 7]), ["down_dims: levels: 7", "up to 6"]),
        (
            with(|c| (c.unet.n_groups, c.unet.down_dims) = (4, vec![16, 20])),
            ["down_dims: 20 channels", "multiples of 8"],
        ),
        (
            with(|c| c.unet.kernel_size = 11),
            ["kernel_size: 11", "up to 9"],
        ),
        (
            with(|c| {
                (c.unet.n_groups, c.unet.down_dims) = (1, vec![520]);
                c.horizon = 256;
            }),
            ["133120 values in a group", "131072"],
        ),
        (
            with(|c| {
                (c.unet.n_groups, c.unet.kernel_size, c.horizon) = (8, 9, 2);
                (c.unet.down_dims, c.n_action_steps) = (vec![8, 4096], 1);
            }),
            ["73728 inputs", "65535"],
        ),
        (
            with(|c| {
                c.conditioning = Conditioning::Local;
                (c.unet.local_cond_dim, c.unet.global_cond_dim) = (4, 0);
            }),
            ["conditioning: local", "inpainting are served"],
        ),
        (
            with(|c| {
                c.scheduler.thresholding = Some(Thresholding {
                    dynamic_thresholding_ratio: 0.9,
                    sample_max_value: 1.0,
                });
            }),
            ["thresholding", "clip_sample is served"],
        ),
        // Pure noise at the first step: the clean sample is no function of it.
        (
            with(|c| {
                c.scheduler.rescale_betas_zero_snr = true;
                c.scheduler.timestep_spacing = "trailing".into();
            }),
            ["step from timestep 99", "finite"],
        ),
        (
            with(|c| c.scheduler.eta = 1.5),
            ["scheduler", "eta is not 0 to 1"],
        ),
        (
            with(|c| c.task.as_mut().unwrap().name = "n".repeat(33)),
            ["nnn", "32"],
        ),
        (
            with(|c| c.task.as_mut().unwrap().action[1].hold = Hold::Observed),
            ["action_1", "hold"],
        ),
        (
            with(|c| c.task.as_mut().unwrap().action[0].relative_to = Some(4)),
            ["action_0", "value 4"],
        ),
        // Ranges of 512 and 0.05.
        (
            with(|c| c.task.as_mut().unwrap().action[1].relative_to = Some(2)),
            ["action_1", "too different"],
        ),
    ] {
        let message = refusal(config);
        for word in words {
            assert!(message.contains(word), "no `{word}` in: {message}");
        }
    }
}

/// Two actions that are counted from the same value share its format, whichever needs more.
#[test]
fn several_actions_may_be_relative_to_the_same_value() {
    let mut task = Task::unnamed(5, 5);
    for index in [0, 1, 4] {
        task.action[index].relative_to = Some(0);
    }
    check_parity_of(
        "one value for three actions",
        config_of(task, 1, 16, &[16, 32]),
    );
}

#[test]
fn a_hold_is_what_the_task_says_of_each_value() {
    let bytes = random_model(tiny_settings(), arm(3), 1, 0).to_bytes();
    let model = Model::parse(&bytes).unwrap();
    let mut scratch = vec![0; model.scratch_len()];
    let policy = IntPolicy::new(&model, &mut scratch).unwrap();
    let observation: Vec<f64> = (50..71).map(f64::from).collect();
    let mut action = [100.0, 101.0, 102.0, 103.0];
    policy.hold(&observation, &mut action);
    // Observed, last, zero, last.
    assert_eq!(action, [50.0, 101.0, 0.0, 103.0]);
}

#[test]
fn a_network_of_many_channels_plans() {
    let settings = random_model::Settings {
        horizon: 3,
        n_action_steps: 2,
        down_dims: vec![2048],
        kernel_size: 1,
        n_groups: 16,
        ..tiny_settings()
    };
    let bytes = random_model(settings, tiny_task(), 1, 0).to_bytes();
    let model = Model::parse(&bytes).unwrap();
    let mut scratch = vec![0; model.scratch_len()];
    let mut policy = IntPolicy::new(&model, &mut scratch).unwrap();
    let mut chunk = [0; 4];
    let window = [100 << 16; 10];
    policy
        .plan_fixed(&window, &mut NoiseSource::new(0), &mut chunk)
        .unwrap();
    assert!(chunk.iter().any(|value| *value != chunk[0]), "{chunk:?}");
}

/// Sizes at the format's limits.
#[test]
fn the_longest_horizon_window_and_action_plan() {
    let settings = random_model::Settings {
        n_obs_steps: 4,
        horizon: MAX_HORIZON,
        n_action_steps: MAX_HORIZON - 3,
        down_dims: vec![8; MAX_LEVELS],
        kernel_size: MAX_KERNEL_SIZE,
        n_groups: 1,
        ..tiny_settings()
    };
    let task = Task::unnamed(MAX_WINDOW_LEN / 4, MAX_ACTION_DIM);
    let bytes = random_model(settings, task, 2, 0).to_bytes();
    let model = Model::parse(&bytes).unwrap();
    let mut used = vec![u64::MAX; model.scratch_len()];
    assert_eq!(selftest(&model, &mut used, 2), Ok(digest(&model, 2)));
}

fn fixture(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/integer");
    folder.join(name)
}

/// A network for an interpreter: one level, two positions.
fn smallest_settings() -> random_model::Settings {
    random_model::Settings {
        horizon: 2,
        n_action_steps: 1,
        down_dims: vec![8],
        kernel_size: 1,
        ..tiny_settings()
    }
}

/// The fixtures are generated; PUSHT_WRITE_FIXTURES=1 writes them again.
#[test]
fn the_committed_models_are_what_their_generator_makes() {
    let with = |settings| random_model(settings, tiny_task(), 2, 0);
    for (name, model) in [
        ("tiny.ptm", with(tiny_settings())),
        ("inpainting.ptm", with(inpainting_settings())),
        ("mixed.ptm", mixed(with(tiny_settings()))),
        ("smallest.ptm", with(smallest_settings())),
    ] {
        let bytes = model.to_bytes();
        if std::env::var_os("PUSHT_WRITE_FIXTURES").is_some() {
            std::fs::write(fixture(name), &bytes).unwrap();
        }
        let committed = std::fs::read(fixture(name)).unwrap();
        assert!(committed == bytes, "golden/integer/{name} is another model");
    }
}

fn digest(model: &Model<'_>, n_plans: u32) -> u64 {
    selftest(model, &mut vec![0; model.scratch_len()], n_plans).unwrap()
}

/// Weights of 4 bits that stand for those of a file with 8.
#[test]
fn the_same_weights_in_4_bits_plan_the_same() {
    let short = mixed(random_model(tiny_settings(), tiny_task(), 2, 1));
    let mut long = short.clone();
    for product in long.products_mut() {
        product.bits = WeightBits::Eight;
    }
    let (short, long) = (short.to_bytes(), long.to_bytes());
    let [of_short, of_long] = [&short, &long].map(|bytes| Model::parse(bytes).unwrap());
    assert!(long.len() > short.len() + 3000);
    assert_eq!(digest(&of_short, 2), digest(&of_long, 2));
}

#[test]
fn a_plan_does_not_depend_on_what_the_memory_held_before() {
    let bytes = random_model(tiny_settings(), tiny_task(), 2, 3).to_bytes();
    let inpainting = random_model(inpainting_settings(), tiny_task(), 2, 3).to_bytes();
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
    let inpainting = Model::parse(&inpainting).unwrap();
    let lens = [&model, &other, &inpainting].map(|model| model.scratch_len());
    let mut used = vec![u64::MAX; lens.into_iter().max().unwrap()];
    selftest(&other, &mut used, 1).unwrap();
    assert_eq!(selftest(&model, &mut used, 2), Ok(digest(&model, 2)));
    assert_eq!(
        selftest(&inpainting, &mut used, 2),
        Ok(digest(&inpainting, 2))
    );
}

/// Numbers of jobs below, at and above the batch size; with more than one pass, the sampler also
/// draws noise.
#[test]
fn a_plan_is_independent_of_its_batch() {
    for (passes, n_jobs) in [(1, 1), (3, 7), (2, BATCH), (3, 2 * BATCH + 5)] {
        let bytes = random_model(tiny_settings(), tiny_task(), passes, n_jobs as u64).to_bytes();
        check_batch(&Model::parse(&bytes).unwrap(), n_jobs);
    }
    for settings in [tiny_settings(), inpainting_settings()] {
        let bytes = random_model(settings, arm(5), 2, 0).to_bytes();
        check_batch(&Model::parse(&bytes).unwrap(), BATCH + 5);
    }
}

fn check_batch(model: &Model<'_>, n_jobs: usize) {
    let shape = model.shape();
    let value = |i: usize| (37 * i % 512) as f64;
    let values: Vec<f64> = (0..n_jobs * shape.window_len()).map(value).collect();
    let windows = || values.chunks_exact(shape.window_len());
    let noises = || (0..n_jobs as u64).map(NoiseSource::new);
    let mut expected = vec![0.0; n_jobs * shape.chunk_len()];
    let mut scratch = vec![0; model.scratch_len()];
    let mut policy = IntPolicy::new(model, &mut scratch).unwrap();
    let chunks = expected.chunks_exact_mut(shape.chunk_len());
    for ((window, mut noise), chunk) in windows().zip(noises()).zip(chunks) {
        policy.plan(window, &mut noise, chunk).unwrap();
    }
    let mut got = vec![0.0; expected.len()];
    let mut noises: Vec<_> = noises().collect();
    let chunks = got.chunks_exact_mut(shape.chunk_len());
    let mut jobs: Vec<_> = windows()
        .zip(&mut noises)
        .zip(chunks)
        .map(|((window, noise), chunk)| PlanJob {
            window,
            noise,
            chunk,
        })
        .collect();
    let mut scratch = vec![0; IntPolicyBatch::scratch_len(model)];
    let mut batch = IntPolicyBatch::new(model, &mut scratch).unwrap();
    batch.plan(&mut jobs).unwrap();
    assert_eq!(got, expected, "{n_jobs} plans");
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
    assert_eq!(plan(&[1e308; 10], 8), Err(Error::ObservationTooLarge));
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
    let mut scratch = vec![0; IntPolicyBatch::scratch_len(&model)];
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
