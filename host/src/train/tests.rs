//! Against diffusion_policy's own code (`tests/golden/train/generate.py`), and what a run must hold to.

use super::checkpoint::{self, Header};
use super::diffusion::{self, NoisyBatch};
use super::learner::{Learner, State};
use super::parameters::Layout;
use super::trainer::{Settings, Trainer};
use super::unet::{Unet, step_embedding, values_of};
use super::windows::{Order, Split, WindowShape, Windows};
use crate::data::{Demonstrations, Episode};
use crate::policy_file::{Observation, SchedulerConfig, UnetConfig};
use burn::tensor::{Device, Tensor, TensorData};
use pusht_core::observation::ObservationKind;
use safetensors::SafeTensors;

#[path = "../../../tests/tolerances.rs"]
mod tolerances;

const TIMESTEPS: [usize; 4] = [0, 13, 50, 99];

/// The U-Net of the golden data.
fn golden_unet() -> UnetConfig {
    UnetConfig {
        input_dim: 2,
        global_cond_dim: 6,
        diffusion_step_embed_dim: 8,
        down_dims: vec![16, 8, 8],
        kernel_size: 3,
        n_groups: 4, // not the default, which the last block keeps
        cond_predict_scale: true,
    }
}

fn golden(topic_file: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/train/");
    std::fs::read(format!("{folder}{topic_file}")).unwrap()
}

/// A tensor of the golden file.
fn golden_tensor(file: &SafeTensors, name: &str) -> Vec<f32> {
    let bytes = file
        .tensor(name)
        .unwrap_or_else(|_| panic!("no {name}"))
        .data();
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect()
}

/// The parameters under `prefix`, flat.
fn golden_parameters(file: &SafeTensors, layout: &Layout, prefix: &str) -> Vec<f32> {
    let mut flat = Vec::new();
    for parameter in &layout.parameters {
        let name = format!("{prefix}.{}", parameter.name);
        assert_eq!(
            file.tensor(&name).unwrap().shape(),
            parameter.torch_shape(),
            "{name}"
        );
        let values = golden_tensor(file, &name);
        flat.extend(parameter.torch_indices().map(|index| values[index]));
    }
    flat
}

fn golden_batch(file: &SafeTensors) -> NoisyBatch {
    NoisyBatch {
        sample: golden_tensor(file, "sample"),
        timesteps: TIMESTEPS.to_vec(),
        noise: golden_tensor(file, "noise"),
        global_cond: golden_tensor(file, "global_cond"),
    }
}

/// Fails with the name and the largest difference, as a share of the largest expected value.
fn assert_close(name: &str, got: &[f32], expected: &[f32], tolerance_rel: f64) {
    assert_eq!(got.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    let differences = got.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let difference = f64::from(differences.fold(0.0, f32::max)) / f64::from(largest);
    println!("{name}: {difference:.1e}");
    assert!(
        difference <= tolerance_rel,
        "{name}: {difference:.1e} above {tolerance_rel:.1e}"
    );
}

/// Compares the flat vectors parameter by parameter.
fn assert_parameters_close(layout: &Layout, got: &[f32], expected: &[f32], tolerance_rel: f64) {
    for parameter in &layout.parameters {
        let part = parameter.offset..parameter.offset + parameter.n_values();
        assert_close(
            &parameter.name,
            &got[part.clone()],
            &expected[part],
            tolerance_rel,
        );
    }
}

#[test]
fn the_unet_answers_as_diffusion_policys() {
    let bytes = golden("unet.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (config, device) = (golden_unet(), Device::flex());
    let layout = Layout::new(&config);
    let parameters = golden_parameters(&file, &layout, "before");
    let unet = Unet::new(&config, &layout, &parameters, &device);
    let embedding: Vec<f32> = TIMESTEPS
        .iter()
        .flat_map(|&t| step_embedding(t, 8))
        .collect();
    let sample = TensorData::new(golden_tensor(&file, "sample"), [4, 16, 2]);
    let cond = TensorData::new(golden_tensor(&file, "global_cond"), [4, 6]);
    let output = unet.forward(
        Tensor::<3>::from_data(sample, &device).swap_dims(0, 1),
        Tensor::from_data(TensorData::new(embedding, [4, 8]), &device),
        Tensor::from_data(cond, &device),
    );
    let output = values_of(output.swap_dims(0, 1));
    let expected = golden_tensor(&file, "output");
    assert_close("output", &output, &expected, tolerances::UNET_OUTPUT_REL);
}

#[test]
fn gradients_are_pytorchs() {
    let bytes = golden("unet.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let layout = Layout::new(&golden_unet());
    let parameters = golden_parameters(&file, &layout, "before");
    let learner = Learner::new(golden_unet(), 1e-6, State::initial(parameters));
    let (_, gradient) = learner.gradient(&golden_batch(&file));
    let expected = golden_parameters(&file, &layout, "gradient");
    assert_parameters_close(&layout, &gradient, &expected, tolerances::UNET_GRADIENT_REL);
}

#[test]
fn ten_steps_go_as_in_pytorch() {
    let bytes = golden("unet.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let layout = Layout::new(&golden_unet());
    let parameters = golden_parameters(&file, &layout, "before");
    let mut learner = Learner::new(golden_unet(), 1e-6, State::initial(parameters));
    let batch = golden_batch(&file);
    let losses: Vec<f32> = (0..10)
        .map(|step| learner.learn(&batch, diffusion::learning_rate(1e-3, step, 3, 20)))
        .collect();
    let expected = golden_tensor(&file, "losses");
    assert_close("losses", &losses, &expected, tolerances::TRAINING_LOSS_REL);
    let average = golden_parameters(&file, &layout, "average");
    assert_parameters_close(
        &layout,
        &learner.state().ema,
        &average,
        tolerances::TRAINING_AVERAGE_REL,
    );
}

#[test]
fn names_and_layouts_survive_the_way_to_the_policy_file() {
    let bytes = golden("unet.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let layout = Layout::new(&golden_unet());
    let tensors = layout.to_tensors(&golden_parameters(&file, &layout, "before"));
    let expected: Vec<_> = (file.names().into_iter())
        .filter_map(|name| name.strip_prefix("before."))
        .collect();
    assert_eq!(tensors.len(), expected.len());
    for name in expected {
        let values = golden_tensor(&file, &format!("before.{name}"));
        assert_eq!(tensors[&format!("model.{name}")].data, values, "{name}");
    }
}

#[test]
fn the_default_network_has_736322_parameters() {
    let config = UnetConfig {
        input_dim: 2,
        global_cond_dim: 36,
        diffusion_step_embed_dim: 32,
        down_dims: vec![32, 64, 128],
        kernel_size: 3,
        n_groups: 8,
        cond_predict_scale: true,
    };
    assert_eq!(Layout::new(&config).n_values(), 736_322);
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

fn assert_near(name: &str, got: &[f64], expected: &[f64], tolerance_abs: f64) {
    assert_eq!(got.len(), expected.len(), "{name}");
    for (index, (a, b)) in got.iter().zip(expected).enumerate() {
        assert!(
            (a - b).abs() <= tolerance_abs,
            "{name}[{index}]: {a} is not {b}"
        );
    }
}

#[test]
fn schedules_are_those_of_diffusers_and_diffusion_policy() {
    let golden: serde_json::Value = serde_json::from_slice(&golden("pipeline.json")).unwrap();
    let rates: Vec<f64> = (0..20)
        .map(|step| diffusion::learning_rate(1e-3, step, 3, 20))
        .collect();
    assert_near(
        "learning rate",
        &rates,
        &numbers(&golden["learning_rates"]),
        1e-12,
    );
    let alphas = numbers(&golden["alphas_cumprod"]);
    assert_near(
        "alpha_bar",
        &diffusion::alphas_cumprod(100),
        &alphas,
        tolerances::SCHEDULE_ABS,
    );
    for pair in golden["ema_decays"].as_array().unwrap() {
        let (step, decay) = (pair[0].as_u64().unwrap(), pair[1].as_f64().unwrap());
        assert_near("ema decay", &[diffusion::ema_decay(step)], &[decay], 1e-12);
    }
}

#[test]
fn windows_are_padded_and_normalised_as_diffusion_policy_does() {
    let golden: serde_json::Value = serde_json::from_slice(&golden("pipeline.json")).unwrap();
    let episodes = golden["episodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|episode| Episode {
            states: serde_json::from_value(episode["states"].clone()).unwrap(),
            actions: serde_json::from_value(episode["actions"].clone()).unwrap(),
            continues: false,
        });
    let demonstrations = Demonstrations {
        episodes: episodes.collect(),
    };
    let shape = WindowShape {
        n_obs_steps: 2,
        horizon: 16,
        n_action_steps: 8,
    };
    let windows =
        Windows::new(&demonstrations, ObservationKind::State, shape, false, 0, 0).unwrap();
    let samples = golden["samples"].as_array().unwrap();
    assert_eq!(windows.len(Split::Train), samples.len());
    let f64s = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
    for (index, sample) in samples.iter().enumerate() {
        let batch = windows.batch(Split::Train, std::iter::once(index));
        for (name, got) in [
            ("actions", batch.actions),
            ("global_cond", batch.global_cond),
        ] {
            let expected = numbers(&sample[name]);
            assert_near(name, &f64s(got), &expected, tolerances::NORMALIZED_ABS);
        }
    }
}

/// Episodes in which the goal runs ahead of the agent on a circle.
fn circles(n_episodes: usize) -> Demonstrations {
    let episode = |phase: usize| {
        let angle = |step: usize| (phase as f64 * 2.0 + step as f64) * 0.2;
        let point = |a: f64| [256.0 + 100.0 * a.cos(), 256.0 + 100.0 * a.sin()];
        let steps = 0..24;
        Episode {
            states: (steps.clone())
                .map(|step| {
                    let [x, y] = point(angle(step));
                    [x, y, 200.0 + phase as f64, 300.0, 0.1 * phase as f64]
                })
                .collect(),
            actions: steps.map(|step| point(angle(step) + 0.5)).collect(),
            continues: false,
        }
    };
    Demonstrations {
        episodes: (0..n_episodes).map(episode).collect(),
    }
}

fn settings(steps: u64) -> Settings {
    Settings {
        steps,
        batch: 16,
        seed: 3,
        observation: Observation::State,
        learning_rate: 3e-3,
        warmup_steps: 4,
        weight_decay: 1e-6,
        mirror: true,
        validation_episodes: 1,
        n_obs_steps: 2,
        horizon: 16,
        n_action_steps: 8,
        unet: UnetConfig {
            global_cond_dim: 10,
            ..golden_unet()
        },
        scheduler: SchedulerConfig::default(),
    }
}

fn bits(state: &State) -> Vec<u32> {
    let vectors = [
        &state.parameters,
        &state.ema,
        &state.moment_1,
        &state.moment_2,
    ];
    vectors.into_iter().flatten().map(|v| v.to_bits()).collect()
}

#[test]
fn a_run_resumed_from_a_checkpoint_is_bit_for_bit_the_run_in_one_go() {
    let demonstrations = circles(4);
    let mut straight = Trainer::new(settings(12), &demonstrations, None).unwrap();
    (0..12).for_each(|_| _ = straight.advance());

    let mut first_half = Trainer::new(settings(12), &demonstrations, None).unwrap();
    (0..6).for_each(|_| _ = first_half.advance());
    let folder = tempfile::tempdir().unwrap();
    let header = Header {
        step: first_half.step(),
        data_crc32: demonstrations.crc32(),
        settings: settings(12),
    };
    checkpoint::save(folder.path(), &header, &first_half.state()).unwrap();
    let (read, state) = checkpoint::load_newest(folder.path()).unwrap().unwrap();
    assert_eq!(read, header);
    let mut second_half = Trainer::new(read.settings, &demonstrations, Some(state)).unwrap();
    (0..6).for_each(|_| _ = second_half.advance());

    assert_eq!(second_half.step(), 12);
    assert!(bits(&second_half.state()) == bits(&straight.state()));
    assert_eq!(second_half.validation_loss(), straight.validation_loss());
}

#[test]
fn another_seed_makes_another_run() {
    let demonstrations = circles(4);
    let run = |seed| {
        let settings = Settings {
            seed,
            ..settings(12)
        };
        let mut trainer = Trainer::new(settings, &demonstrations, None).unwrap();
        (0..3).for_each(|_| _ = trainer.advance());
        bits(&trainer.state())
    };
    assert!(run(0) == run(0));
    assert!(run(0) != run(1));
}

#[test]
fn the_loss_falls_on_a_tiny_set() {
    let mut trainer = Trainer::new(settings(300), &circles(4), None).unwrap();
    let losses: Vec<f32> = (0..300).map(|_| trainer.advance()).collect();
    let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len() as f32;
    let (first, last) = (mean(&losses[..10]), mean(&losses[250..]));
    assert!(last < 0.3 * first, "from {first} to {last}");
}

#[test]
fn every_epoch_visits_every_window_once_in_another_order() {
    let mut order = Order::new(5, 100);
    let mut epoch = |index: u64| {
        (0..100)
            .map(|n| order.window(100 * index + n))
            .collect::<Vec<_>>()
    };
    let (first, second) = (epoch(0), epoch(1));
    assert_ne!(first, second);
    for mut visited in [first, second] {
        visited.sort_unstable();
        assert_eq!(visited, (0..100).collect::<Vec<_>>());
    }
}

#[test]
fn held_out_episodes_are_never_trained_on() {
    let demonstrations = circles(6);
    let shape = WindowShape {
        n_obs_steps: 2,
        horizon: 16,
        n_action_steps: 8,
    };
    let windows =
        Windows::new(&demonstrations, ObservationKind::State, shape, false, 2, 1).unwrap();
    // The block's x, the third observed value, tells the episodes apart.
    let episodes_of = |split| {
        let batch = windows.batch(split, 0..windows.len(split));
        let mut seen: Vec<u32> = batch
            .global_cond
            .chunks(10)
            .map(|c| c[2].to_bits())
            .collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    };
    let (train, validation) = (episodes_of(Split::Train), episodes_of(Split::Validation));
    assert_eq!((train.len(), validation.len()), (4, 2));
    assert!(train.iter().all(|episode| !validation.contains(episode)));
    assert!(Windows::new(&demonstrations, ObservationKind::State, shape, false, 6, 1).is_err());
}
