//! Imported policies of LeRobot and diffusion_policy against the predictions of those programs
//! (tests/golden/import/generate.py, generate_checkpoint.py).

mod tolerances;

use pusht_core::Error;
use pusht_core::control::{PlanShape, Planner};
use pusht_core::noise::{I8F24, Noise};
use pusht_core::policy::unet::Unobserved;
use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
use pusht_core::pusht::observation::observe;
use pusht_core::quant::{IntPolicy, Model};
use pusht_host::engine::Engine;
use pusht_host::float_engine::FloatPolicy;
use pusht_host::import::{self, Imported, Options};
use pusht_host::policy_file::Observation;
use pusht_host::{policy_file, quantize};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct Expected {
    states: Vec<[f64; 5]>,
    noise: Vec<Vec<f32>>,
    actions: Vec<[f64; 2]>,
}

/// The golden starting noise; DDIM draws no other.
struct Given(std::vec::IntoIter<f32>);

impl Noise for Given {
    fn next_gaussian(&mut self) -> I8F24 {
        I8F24::from_num(self.0.next().unwrap())
    }
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden/import")
        .join(name)
}

/// Reads a policy of PushT; the checkpoints here do not name their task, LeRobot's features do.
fn read(path: &Path) -> anyhow::Result<Imported> {
    let name = path.file_name().unwrap().to_string_lossy();
    let observation = match () {
        () if name.contains("vertices") => Some(Observation::Vertices),
        () if name.contains("keypoints") => Some(Observation::Keypoints),
        () if name.ends_with(".ckpt") => Some(Observation::State),
        () => None,
    };
    let options = Options {
        observation,
        ..Options::default()
    };
    import::read(path, &options)
}

/// What a policy of PushT sees of these states, `[To][Do]`.
fn window(policy: &FloatPolicy, states: &[[f64; 5]]) -> Vec<f64> {
    let kind = policy.observation().unwrap();
    let mut window = vec![0.0; states.len() * kind.dim()];
    for (state, observation) in states.iter().zip(window.chunks_exact_mut(kind.dim())) {
        observe(kind, state, observation).unwrap();
    }
    window
}

fn check(name: &str, expected: &str) {
    let text = std::fs::read_to_string(golden(expected)).unwrap();
    let expected: Expected = serde_json::from_str(&text).unwrap();
    // Through a file, as `pusht import` does it.
    let Imported {
        config, tensors, ..
    } = read(&golden(name)).unwrap();
    let written = tempfile::tempdir().unwrap();
    let path = written.path().join("policy.safetensors");
    policy_file::save(&path, &config, &tensors).unwrap();
    let mut policy = FloatPolicy::load(&path).unwrap();

    let steps = policy.action_steps();
    let window = window(&policy, &expected.states);
    let actions = policy
        .predict(
            &[&window],
            &mut Given(expected.noise.concat().into_iter()),
            &mut Unobserved,
        )
        .unwrap();
    let executed = &actions[2 * steps.start..2 * steps.end];
    let expected = expected.actions.as_flattened();
    assert_eq!(executed.len(), expected.len());
    let pairs = executed.iter().zip(expected);
    let worst = pairs
        .map(|(got, expected)| (got - expected).abs())
        .fold(0.0, f64::max);
    println!("{name}: within {worst:.1e} px");
    assert!(
        worst <= tolerances::IMPORTED_PX,
        "{name}: off by {worst} px"
    );
}

#[test]
fn a_lerobot_policy_with_statistics_among_its_weights_predicts_the_same() {
    check("lerobot_buffers", "lerobot_buffers/expected.json");
}

#[test]
fn a_lerobot_policy_with_statistics_in_its_processors_predicts_the_same() {
    check("lerobot_processors", "lerobot_processors/expected.json");
}

#[test]
fn a_checkpoint_of_diffusion_policy_predicts_the_same_with_its_averaged_weights() {
    check("diffusion_policy.ckpt", "diffusion_policy.json");
}

#[test]
fn a_checkpoint_of_vertices_or_of_keypoints_predicts_the_same() {
    for name in ["diffusion_policy_vertices", "diffusion_policy_keypoints"] {
        check(&format!("{name}.ckpt"), &format!("{name}.json"));
    }
}

/// Local conditioning with thresholding; inpainting with trained betas; a policy that predicts only
/// the executed actions, on a rescaled schedule.
#[test]
fn a_checkpoint_with_other_options_predicts_the_same() {
    for name in ["local", "inpainting", "actions_only"] {
        let name = format!("diffusion_policy_{name}");
        check(&format!("{name}.ckpt"), &format!("{name}.json"));
    }
}

fn imported(name: &str) -> (FloatPolicy, policy_file::Tensors) {
    let Imported {
        config, tensors, ..
    } = read(&golden(&format!("{name}.ckpt"))).unwrap();
    let policy = FloatPolicy::from_parts(config, &tensors).unwrap();
    (policy, tensors)
}

fn model_file(policy: &FloatPolicy, tensors: &policy_file::Tensors) -> anyhow::Result<Vec<u8>> {
    let data = quantize::CalibrationData::Episodes(0..4);
    let progress = indicatif::ProgressBar::hidden();
    quantize::model_file(policy, tensors, &data, quantize::Bits::default(), &progress)
}

#[test]
fn a_checkpoint_in_integers_predicts_what_the_original_program_does() {
    for name in [
        "diffusion_policy",
        "diffusion_policy_inpainting",
        "diffusion_policy_actions_only",
    ] {
        let text = std::fs::read_to_string(golden(&format!("{name}.json"))).unwrap();
        let expected: Expected = serde_json::from_str(&text).unwrap();
        let (policy, tensors) = imported(name);
        let bytes = model_file(&policy, &tensors).unwrap();
        let model = Model::parse(&bytes).unwrap();
        let mut scratch = vec![0; model.scratch_len()];
        let mut planner = IntPolicy::new(&model, &mut scratch).unwrap();
        let mut chunk = vec![0.0; model.shape().chunk_len()];
        let mut noise = Given(expected.noise.concat().into_iter());
        let window = window(&policy, &expected.states);
        planner.plan(&window, &mut noise, &mut chunk).unwrap();
        let pairs = chunk.iter().zip(expected.actions.as_flattened());
        let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        println!("{name}: within {worst:.2} px");
        assert!(worst <= tolerances::INTEGER_P99_PX, "{name}: {worst} px");
    }
}

#[test]
fn what_has_no_integer_path_is_refused_by_name() {
    let (policy, tensors) = imported("diffusion_policy_local");
    let error = model_file(&policy, &tensors).unwrap_err();
    let message = format!("{error:#}");
    assert!(message.contains("conditioning: local"), "{message}");
}

/// LeRobot before version 0.2 named and placed the sizes and normalisations in another way.
#[test]
fn the_oldest_configuration_of_lerobot_means_the_same() {
    let copy = changed("{", "{");
    let path = copy.path().join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut config: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&text).unwrap();
    for side in ["input", "output"] {
        let features = config.remove(&format!("{side}_features")).unwrap();
        let features = features.as_object().unwrap().iter();
        let (shapes, modes): (serde_json::Map<_, _>, serde_json::Map<_, _>) = features
            .map(|(name, feature)| {
                (
                    (name.clone(), feature["shape"].clone()),
                    (name.clone(), "min_max".into()),
                )
            })
            .unzip();
        config.insert(format!("{side}_shapes"), shapes.into());
        config.insert(format!("{side}_normalization_modes"), modes.into());
    }
    config.remove("type");
    config.remove("normalization_mapping");
    std::fs::write(&path, serde_json::to_string(&config).unwrap()).unwrap();
    let (new, old) = (read(&golden("lerobot_buffers")), read(copy.path()));
    let (new, old) = (new.unwrap(), old.unwrap());
    assert_eq!((new.config, new.tensors), (old.config, old.tensors));
}

#[test]
fn a_flipped_bit_of_a_checkpoint_is_refused_or_changes_nothing() {
    let mut bytes = std::fs::read(golden("diffusion_policy.ckpt")).unwrap();
    let good = read(&golden("diffusion_policy.ckpt")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flipped.ckpt");
    let (mut refused, mut n) = (0, 0);
    // The step is prime, so that every kind of field is hit.
    for at in (0..bytes.len()).step_by(499) {
        let bit = 1 << (at % 8);
        bytes[at] ^= bit;
        std::fs::write(&path, &bytes).unwrap();
        match read(&path) {
            Ok(read) => assert!(
                (&read.config, &read.tensors) == (&good.config, &good.tensors),
                "byte {at}, bit {bit}: another policy"
            ),
            Err(_) => refused += 1,
        }
        bytes[at] ^= bit;
        n += 1;
    }
    println!("{refused} of {n} refused");
    assert!(refused > n / 4);
}

#[test]
fn a_checkpoint_cut_off_is_refused_by_name() {
    let bytes = std::fs::read(golden("diffusion_policy.ckpt")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.ckpt");
    for len in [0, 3, 100, bytes.len() / 2, bytes.len() - 30] {
        std::fs::write(&path, &bytes[..len]).unwrap();
        let message = refusal(&path);
        assert!(message.contains("damaged.ckpt"), "{len} bytes: {message}");
    }
}

/// A copy of a policy's folder whose `config.json` has `from` replaced by `to`.
fn changed(from: &str, to: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(golden("lerobot_buffers")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let config = copy.path().join("config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains(from), "{from}");
    std::fs::write(&config, text.replace(from, to)).unwrap();
    copy
}

fn refusal(folder: &Path) -> String {
    format!("{:#}", read(folder).unwrap_err())
}

#[test]
fn what_cannot_be_served_is_refused_by_name() {
    let image = changed("\"observation.environment_state\"", "\"observation.image\"");
    let message = refusal(image.path());
    assert!(
        message.contains("observation.image") && message.contains("image"),
        "{message}"
    );
    let transformer = changed("\"type\": \"diffusion\"", "\"type\": \"act\"");
    assert!(refusal(transformer.path()).contains("\"act\""));
    let scheduler = changed(
        "\"noise_scheduler_type\": \"DDIM\"",
        "\"noise_scheduler_type\": \"LCM\"",
    );
    assert!(refusal(scheduler.path()).contains("LCM"));
    let mode = changed("\"MIN_MAX\"", "\"LOG\"");
    assert!(refusal(mode.path()).contains("LOG"));
}

/// Sizes of zero once divided by zero, and large ones took their memory first.
#[test]
fn no_number_of_a_configuration_is_taken_without_a_check() {
    let keys = [
        "n_obs_steps",
        "horizon",
        "n_action_steps",
        "kernel_size",
        "n_groups",
        "diffusion_step_embed_dim",
        "num_train_timesteps",
        "num_inference_steps",
    ];
    let text = std::fs::read_to_string(golden("lerobot_buffers/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    let copy = changed("{", "{");
    let refused = |config: &serde_json::Value| {
        let text = serde_json::to_string(config).unwrap();
        std::fs::write(copy.path().join("config.json"), text).unwrap();
        refusal(copy.path())
    };
    for number in [0, 1 << 20, 1 << 40, u64::MAX] {
        for key in keys {
            let mut config = config.clone();
            config[key] = number.into();
            let message = refused(&config);
            assert!(message.contains(key), "{key} {number}: {message}");
        }
        for (side, feature) in [
            ("input_features", "observation.state"),
            ("input_features", "observation.environment_state"),
            ("output_features", "action"),
        ] {
            let mut config = config.clone();
            config[side][feature]["shape"] = serde_json::json!([number]);
            refused(&config);
        }
        let mut config = config.clone();
        config["down_dims"] = serde_json::json!([number, 8]);
        assert!(refused(&config).contains("down_dims"));
    }
    let mut config = config.clone();
    config["down_dims"] = serde_json::json!([]);
    assert!(refused(&config).contains("down_dims"));
    config["down_dims"] = serde_json::json!([8192, 16384]);
    assert!(refused(&config).contains("weights, the file has"));
}

/// A device or a pipe would be read for ever.
#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_refused() {
    assert!(refusal(Path::new("/dev/zero")).contains("regular file"));
    for file in ["config.json", "model.safetensors"] {
        let copy = changed("{", "{");
        let path = copy.path().join(file);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        let message = refusal(copy.path());
        assert!(
            message.contains(file) && message.contains("regular file"),
            "{message}"
        );
    }
}

/// A copy of a policy with processors, one of whose files was changed.
fn with_processor(side: &str, change: impl FnOnce(&mut Vec<Value>)) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(golden("lerobot_processors")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let path = copy.path().join(format!("policy_{side}processor.json"));
    let mut pipeline: Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    change(pipeline["steps"].as_array_mut().unwrap());
    std::fs::write(&path, pipeline.to_string()).unwrap();
    copy
}

#[test]
fn a_processor_that_cannot_be_served_is_refused_by_name() {
    let normalizer = |steps: &[Value]| steps.last().unwrap().clone();
    let absolute =
        json!({"registry_name": "absolute_actions_processor", "config": {"enabled": true}});
    let relative =
        json!({"registry_name": "relative_actions_processor", "config": {"enabled": true}});
    let refused = |copy: &tempfile::TempDir, words: &[&str]| {
        let message = refusal(copy.path());
        for word in words {
            assert!(message.contains(word), "no {word} in {message}");
        }
    };
    let twice = with_processor("pre", |steps| steps.push(normalizer(steps)));
    refused(
        &twice,
        &[
            "policy_preprocessor.json",
            "two steps normalise observation.state",
        ],
    );
    let alone = with_processor("post", |steps| steps.insert(1, absolute.clone()));
    refused(
        &alone,
        &["absolute_actions_processor", "relative_actions_processor"],
    );
    let late = with_processor("pre", |steps| steps.push(relative));
    let path = late.path().join("policy_postprocessor.json");
    std::fs::copy(alone.path().join("policy_postprocessor.json"), path).unwrap();
    refused(
        &late,
        &["relative_actions_processor before normalizer_processor"],
    );
    let names = json!({"a": "observation.state", "b": "observation.state"});
    let clash = with_processor("pre", |steps| steps[0]["config"]["rename_map"] = names);
    refused(&clash, &["rename_map", "\"a\"", "\"b\""]);
    let elsewhere = with_processor("pre", |steps| steps[3]["state_file"] = "../x".into());
    refused(&elsewhere, &["normalizer_processor", "state_file", "../x"]);
    let missing = with_processor("post", |steps| steps[0]["state_file"] = "other".into());
    refused(&missing, &["unnormalizer_processor", "other"]);
    let given = with_processor("pre", |steps| steps[3]["config"]["stats"] = json!({}));
    refused(&given, &["normalizer_processor", "stats"]);
    let mode = with_processor("post", |steps| {
        steps[0]["config"]["norm_map"]["ACTION"] = "LOG".into()
    });
    refused(&mode, &["\"LOG\"", "QUANTILE10"]);
}

/// diffusion_policy's runner drops the first actions, and plans from observations that are as old.
#[test]
fn a_policy_with_latency_skips_actions_and_sees_older_observations() {
    let imported = read(&golden("diffusion_policy.ckpt")).unwrap();
    let mut config = imported.config;
    let at_once = FloatPolicy::from_parts(config.clone(), &imported.tensors).unwrap();
    (config.n_latency_steps, config.n_action_steps) = (1, 3);
    let mut late = FloatPolicy::from_parts(config, &imported.tensors).unwrap();
    let plan = |policy: &mut FloatPolicy, window: &[f64]| {
        let mut noise = pusht_core::noise::NoiseSource::new(0);
        let mut chunk = vec![0.0; policy.shape().chunk_len()];
        policy.plan(window, &mut noise, &mut chunk).map(|()| chunk)
    };
    let window = [100.0; 10];
    let whole = plan(&mut at_once.clone(), &window).unwrap();
    assert_eq!(plan(&mut late, &window).unwrap(), whole[2..]);
    // The newest observation is not seen yet.
    let longer = [&window[..], &[400.0; 5]].concat();
    assert_eq!(plan(&mut late, &longer).unwrap(), whole[2..]);
    assert!(plan(&mut late, &[100.0; 20]).is_err());

    let engine = Engine::Float(Box::new(late.clone()));
    let start = StartState::from_seed(0, Seeding::Legacy).unwrap();
    let env = PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy).unwrap();
    let mut rollout = engine.rollout(env, 0, 7).unwrap();
    assert_eq!(rollout.run(&mut late, |_, _| ()).unwrap().steps, 7);
}

#[test]
fn a_summary_says_what_was_read_and_what_it_became() {
    let words = [
        (
            "diffusion_policy.ckpt",
            "moving average (--live|float32|PushT, state (--observation|obs (5)|DDIM, 10 of 50",
        ),
        (
            "lerobot_processors",
            "policy_preprocessor_step_3|live; there is no|vertices, from the features|observation.state by MEAN_STD|action by MEAN_STD|expected.json",
        ),
    ];
    for (name, words) in words {
        let summary = read(&golden(name)).unwrap().summary.to_string();
        for word in words.split('|') {
            assert!(summary.contains(word), "{name}: no {word} in {summary}");
        }
    }
}

#[test]
fn what_is_no_checkpoint_is_named_as_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    };
    let weights = golden("lerobot_buffers/model.safetensors");
    assert!(refusal(&weights).contains("the folder that has config.json"));
    assert!(refusal(&written("empty.ckpt", "")).contains("is empty"));
    assert!(refusal(&written("text.ckpt", "hello")).contains("it begins with \"hello\""));
    written("checkpoints/latest.ckpt", "");
    assert!(refusal(folder.path()).contains("with checkpoints/latest.ckpt: give that"));
}

#[test]
fn a_policy_with_a_part_missing_is_refused_by_name() {
    let wider = changed("\"n_groups\": 4", "\"n_groups\": 3");
    assert!(refusal(wider.path()).contains("n_groups"));
    let copy = changed("{", "{");
    std::fs::remove_file(copy.path().join("model.safetensors")).unwrap();
    assert!(refusal(copy.path()).contains("model.safetensors"));
    let nowhere = copy.path().join("nowhere");
    assert!(refusal(&nowhere).contains("nowhere"));
}

#[test]
fn a_planner_refuses_a_window_or_a_chunk_of_the_wrong_size() {
    let imported = read(&golden("lerobot_buffers")).unwrap();
    let mut policy = FloatPolicy::from_parts(imported.config, &imported.tensors).unwrap();
    let expected = PlanShape {
        n_obs_steps: 2,
        obs_dim: 18,
        n_action_steps: 4,
        action_dim: 2,
    };
    assert_eq!(policy.shape(), expected);
    let mut noise = pusht_core::noise::NoiseSource::new(0);
    let mut plan = |window: &[f64], len| {
        let mut chunk = vec![f64::NAN; len];
        policy.plan(window, &mut noise, &mut chunk).map(|()| chunk)
    };
    assert!(plan(&[100.0; 36], 8).unwrap().iter().all(|v| v.is_finite()));
    assert!(matches!(
        plan(&[100.0; 36], 10),
        Err(Error::WrongLength { what: "chunk", .. })
    ));
    assert!(matches!(
        plan(&[100.0; 18], 8),
        Err(Error::WrongLength { what: "window", .. })
    ));
    assert_eq!(plan(&[f64::NAN; 36], 8), Err(Error::NonFiniteObservation));
}
