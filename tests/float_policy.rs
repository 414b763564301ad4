//! Float policies from anywhere: what can't be planned with is refused at the door, and no plan
//! that overflows leaves it.

#[path = "integer/random_policy.rs"]
mod random_policy;

mod program;

use program::{assert_refused, pusht};
use pusht_core::Error;
use pusht_core::control::Planner;
use pusht_core::noise::NoiseSource;
use pusht_core::pusht::rollout::Horizon;
use pusht_host::float_engine::FloatPolicy;
use pusht_host::policy_file::{
    self, Conditioning, PolicyConfig, SchedulerKind, Tensor, Tensors, Thresholding,
};
use random_policy::{random_tensors, small_config};

/// Refusal of the small policy after `change`.
#[track_caller]
fn refusal(change: impl FnOnce(&mut PolicyConfig, &mut Tensors)) -> String {
    let mut config = small_config();
    let mut tensors = random_tensors(&config, 0);
    change(&mut config, &mut tensors);
    format!(
        "{:#}",
        FloatPolicy::from_parts(config, &tensors).unwrap_err()
    )
}

#[track_caller]
fn assert_words(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

/// 726 bytes of a file asked for 219 GB.
#[test]
fn a_network_without_weights_takes_no_memory() {
    let mut config = small_config();
    config.unet.down_dims = vec![16384; 6];
    (config.horizon, config.n_action_steps) = (32, 8);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge.safetensors");
    policy_file::save(&path, &config, &Tensors::new()).unwrap();
    let path = path.to_str().unwrap();
    for command in ["info", "predict"] {
        let arguments: &[&str] = match command {
            "info" => &["info", path],
            _ => &["predict", "--policy", path],
        };
        assert_refused(
            &pusht(arguments, ""),
            &["huge.safetensors", "weights", "0 values"],
        );
    }
}

#[test]
fn steps_that_wrap_or_take_gigabytes_are_refused() {
    for n in [9 + 8, 1 << 24, usize::MAX - 1, usize::MAX] {
        assert_words(&refusal(|c, _| c.n_action_steps = n), &["n_action_steps"]);
        assert_words(&refusal(|c, _| c.n_latency_steps = n), &["n_latency_steps"]);
        assert_words(&refusal(|c, _| c.n_obs_steps = n), &["n_obs_steps"]);
        assert_words(
            &refusal(|c, _| c.num_inference_steps = n.max(101)),
            &["num_inference_steps"],
        );
    }
    for n in [1 << 24, usize::MAX & !15, usize::MAX] {
        assert_words(&refusal(|c, _| c.horizon = n), &["horizon"]);
        for change in [
            |c: &mut PolicyConfig, n| c.n_action_steps = n,
            |c: &mut PolicyConfig, n| c.n_latency_steps = n,
            |c: &mut PolicyConfig, n| (c.n_action_steps, c.n_latency_steps, c.horizon) = (n, n, n),
        ] {
            let message = refusal(|c, _| {
                c.pred_action_steps_only = true;
                c.unet.down_dims = vec![16];
                change(c, n);
            });
            assert!(
                message.contains("horizon") || message.contains("n_action_steps"),
                "{message}"
            );
        }
        assert_words(
            &refusal(|c, _| c.scheduler.num_train_timesteps = n),
            &["num_train_timesteps"],
        );
    }
}

/// 16384 positions of 16384 values, for a network of a few hundred kilobytes.
#[test]
fn a_plan_that_takes_gigabytes_is_refused() {
    let message = refusal(|config, tensors| {
        let task = policy_file::Task::unnamed((1 << 14) - 2, 2);
        (config.observation, config.task) = (None, Some(task));
        config.conditioning = Conditioning::Inpainting;
        (config.horizon, config.n_action_steps) = (1 << 14, 1);
        (config.unet.global_cond_dim, config.unet.input_dim) = (0, 1 << 14);
        config.unet.down_dims = vec![8];
        config.unet.kernel_size = 1;
        *tensors = random_tensors(config, 0);
    });
    assert_words(&message, &["values of memory", "supported"]);
}

#[test]
fn schedulers_that_divide_by_zero_or_leave_their_steps_are_refused() {
    type Change = fn(&mut PolicyConfig);
    let cases: [(Change, &str); 21] = [
        (
            |c| (c.scheduler.steps_offset, c.num_inference_steps) = (1, 100),
            "timestep 100",
        ),
        (
            |c| (c.scheduler.steps_offset, c.num_inference_steps) = (50, 100),
            "timestep",
        ),
        (|c| c.scheduler.steps_offset = usize::MAX, "timestep"),
        (|c| c.scheduler.steps_offset = 50, "timestep 140"),
        (
            |c| c.scheduler.trained_betas = Some(vec![2.0; 100]),
            "a beta is not 0 to 1",
        ),
        (
            |c| c.scheduler.trained_betas = Some(vec![0.0; 100]),
            "without noise",
        ),
        (
            |c| c.scheduler.trained_betas = Some(vec![1.0; 100]),
            "without signal",
        ),
        (
            |c| c.scheduler.trained_betas = Some(vec![0.1; 99]),
            "trained_betas",
        ),
        (
            |c| (c.scheduler.beta_schedule, c.scheduler.beta_end) = ("linear".into(), -1.0),
            "a beta is not 0 to 1",
        ),
        (
            |c| (c.scheduler.beta_schedule, c.scheduler.beta_end) = ("scaled_linear".into(), -1.0),
            "a beta is not 0 to 1",
        ),
        (|c| c.scheduler.beta_start = f32::NAN, "beta_start"),
        (|c| c.scheduler.eta = 1.5, "eta is 1.5"),
        (|c| c.scheduler.eta = -0.5, "eta is -0.5"),
        (|c| c.scheduler.eta = f32::NAN, "eta is NaN"),
        (
            |c| {
                (c.scheduler.num_train_timesteps, c.num_inference_steps) = (1, 1);
                c.scheduler.rescale_betas_zero_snr = true;
            },
            "without noise",
        ),
        (
            |c| {
                c.scheduler.rescale_betas_zero_snr = true;
                c.scheduler.timestep_spacing = "trailing".into();
                c.scheduler.clip_sample = false;
            },
            "needs clip_sample",
        ),
        (
            |c| {
                c.scheduler.kind = SchedulerKind::Ddpm;
                c.scheduler.variance_type = "fixed_large_log".into();
            },
            "no finite result",
        ),
        (
            |c| c.scheduler.clip_sample_range = -1.0,
            "clip_sample_range",
        ),
        (
            |c| c.scheduler.thresholding = Some(thresholding(2.0, 1.0)),
            "dynamic_thresholding_ratio",
        ),
        (
            |c| c.scheduler.thresholding = Some(thresholding(0.9, 0.0)),
            "sample_max_value",
        ),
        (
            |c| c.scheduler.num_train_timesteps = 0,
            "num_train_timesteps 0",
        ),
    ];
    for (change, word) in cases {
        assert_words(&refusal(|config, _| change(config)), &[word]);
    }
}

fn thresholding(dynamic_thresholding_ratio: f32, sample_max_value: f32) -> Thresholding {
    Thresholding {
        dynamic_thresholding_ratio,
        sample_max_value,
    }
}

#[test]
fn passes_are_changed_only_to_a_chain_that_can_be_walked() {
    let mut config = small_config();
    config.scheduler.steps_offset = 1;
    let mut policy = FloatPolicy::from_parts(config.clone(), &random_tensors(&config, 0)).unwrap();
    let before = policy.policy().scheduler().timesteps().to_vec();
    for passes in [0, 100, 101, usize::MAX] {
        assert!(policy.set_num_inference_steps(passes).is_err(), "{passes}");
        assert_eq!(policy.policy().scheduler().timesteps(), before);
    }
    for n in [0, 16, usize::MAX] {
        assert!(policy.set_n_action_steps(n).is_err(), "{n}");
    }
    policy.set_num_inference_steps(99).unwrap();
}

fn fill(tensors: &mut Tensors, name: &str, value: f32) {
    let tensor: &mut Tensor = tensors.get_mut(name).unwrap();
    tensor.data.fill(value);
}

#[test]
fn a_normalizer_that_cannot_be_undone_is_refused() {
    for field in ["obs", "action"] {
        for (kind, value) in [
            ("scale", 1e-45),
            ("scale", 0.0),
            ("scale", f32::NAN),
            ("offset", f32::INFINITY),
        ] {
            let name = format!("normalizer.params_dict.{field}.{kind}");
            let message = refusal(|_, tensors| fill(tensors, &name, value));
            assert_words(&message, &["scale"]);
        }
    }
}

/// A convolution's weights: finite, and still too large.
const HEAVY: &str = "model.down_modules.0.0.blocks.0.block.0.weight";
const LAST: &str = "model.final_conv.1.weight";

#[test]
fn weights_that_overflow_are_refused() {
    for name in [LAST, "model.diffusion_step_encoder.3.weight"] {
        let message = refusal(|_, tensors| fill(tensors, name, f32::MAX));
        assert_words(&message, &["overflows", "not finite"]);
    }
}

fn plan(policy: &mut FloatPolicy, value: f64) -> Result<Vec<f64>, Error> {
    let window = vec![value; policy.shape().window_len()];
    let mut chunk = vec![0.0; policy.shape().chunk_len()];
    policy.plan(&window, &mut NoiseSource::new(0), &mut chunk)?;
    Ok(chunk)
}

/// Whatever the observation: a plan of finite actions, or an error.
#[test]
fn a_plan_that_overflows_is_an_error() {
    let config = small_config();
    let mut tensors = random_tensors(&config, 0);
    let mut policy = FloatPolicy::from_parts(config.clone(), &tensors).unwrap();
    assert!(plan(&mut policy, 256.0).is_ok());
    for value in [1e9, 3e38, -3e38, f64::from(f32::MAX)] {
        let planned = plan(&mut policy, value);
        let is_sound = match &planned {
            Ok(actions) => actions.iter().all(|action| action.is_finite()),
            Err(error) => *error == Error::NonFiniteAction,
        };
        assert!(is_sound, "{value}: {planned:?}");
    }
    for value in [f64::NAN, f64::INFINITY, 1e39, -1e308] {
        let planned = plan(&mut policy, value);
        assert_eq!(planned, Err(Error::NonFiniteObservation), "{value}");
    }
    // These overflow only with a sample.
    fill(&mut tensors, HEAVY, 0.0);
    tensors.get_mut(HEAVY).unwrap().data[0] = f32::MAX;
    fill(&mut tensors, "normalizer.params_dict.obs.scale", 1e30);
    let mut policy = FloatPolicy::from_parts(config, &tensors).unwrap();
    assert_eq!(plan(&mut policy, 1e9), Err(Error::NonFiniteAction));
    let mut horizon = Horizon::new(policy.shape(), 0).unwrap();
    let observation = vec![1e9; policy.shape().obs_dim];
    let action = horizon.act(&mut policy, &observation);
    assert_eq!(action, Err(Error::NonFiniteAction));
}

/// Thresholding turned NaN into -1, and the program answered with it or with `null`.
#[test]
fn a_plan_that_overflows_is_an_error_of_its_line() {
    let mut config = small_config();
    config.scheduler.thresholding = Some(thresholding(0.9, 1.0));
    let mut tensors = random_tensors(&config, 0);
    fill(&mut tensors, HEAVY, 1e38);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heavy.safetensors");
    policy_file::save(&path, &config, &tensors).unwrap();
    let state = "[222,97,222,300,0.5]";
    let line = format!("{{\"obs\": [{state},{state}], \"seed\": 1}}\n");
    let output = pusht(&["predict", "--policy", path.to_str().unwrap()], &line);
    let answer = String::from_utf8_lossy(&output.stdout);
    assert_eq!(answer, "{\"error\":\"action is not finite\"}\n");
}
