//! Against diffusion_policy's own code (`tests/golden/train/generate.py`), and what a run must hold to.

use super::checkpoint::{self, Header};
use super::diffusion::{self, ForwardProcess, NoisyBatch, TrainTimesteps};
use super::learner::{Learner, State};
use super::mixture::{Mixture, Order};
use super::parameters::Layout;
use super::rounding::Rounding;
use super::trainer::{Settings, Trainer};
use super::unet::{Unet, step_embedding, values_of};
use super::windows::{Batch, Split, WindowOptions, Windows};
use crate::data::{Demonstrations, Episode};
use crate::policy_file::{ActionFrame, Observation, SchedulerConfig, UnetConfig};
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;

#[path = "../../../tests/tolerances.rs"]
mod tolerances;

const TIMESTEPS: [usize; 4] = [0, 13, 50, 99];

/// The U-Net of the golden data.
fn golden_unet() -> UnetConfig {
    UnetConfig {
        input_dim: 2,
        local_cond_dim: 0,
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
        target: golden_tensor(file, "noise"),
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
fn the_unet_predicts_as_diffusion_policys() {
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

/// The golden network at the parameters that PyTorch began with.
fn golden_learner(file: &SafeTensors<'_>) -> Learner {
    let parameters = golden_parameters(file, &Layout::new(&golden_unet()), "before");
    Learner::new(
        golden_unet(),
        1e-6,
        &Rounding::default(),
        State::initial(parameters),
        Device::flex(),
    )
}

#[test]
fn gradients_equal_pytorchs() {
    let bytes = golden("unet.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let learner = golden_learner(&file);
    let (_, gradient) = learner.gradient(&golden_batch(&file));
    let expected = golden_parameters(&file, learner.layout(), "gradient");
    assert_parameters_close(
        learner.layout(),
        &gradient,
        &expected,
        tolerances::UNET_GRADIENT_REL,
    );
}

/// Of 132 samples, PyTorch's four again and again: more than two parts, and an uneven last one.
#[test]
fn a_batch_in_parts_has_pytorchs_gradient_and_the_same_bits_on_any_number_of_threads() {
    let bytes = golden("unet.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let learner = golden_learner(&file);
    let four = golden_batch(&file);
    let batch = NoisyBatch {
        sample: four.sample.repeat(33),
        timesteps: four.timesteps.repeat(33),
        target: four.target.repeat(33),
        global_cond: four.global_cond.repeat(33),
    };
    let [(loss, gradient), on_three] = [1, 3].map(|n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads);
        pool.build().unwrap().install(|| learner.gradient(&batch))
    });
    assert_eq!((loss, &gradient), (on_three.0, &on_three.1));
    let expected = golden_parameters(&file, learner.layout(), "gradient");
    assert_parameters_close(
        learner.layout(),
        &gradient,
        &expected,
        tolerances::UNET_GRADIENT_REL,
    );
}

#[test]
fn ten_steps_equal_pytorchs() {
    let bytes = golden("unet.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut learner = golden_learner(&file);
    let batch = golden_batch(&file);
    let losses: Vec<f32> = (0..10)
        .map(|step| learner.learn(&batch, diffusion::learning_rate(1e-3, step, 3, 20)))
        .collect();
    let expected = golden_tensor(&file, "losses");
    assert_close("losses", &losses, &expected, tolerances::TRAINING_LOSS_REL);
    let average = golden_parameters(&file, learner.layout(), "average");
    assert_parameters_close(
        learner.layout(),
        &learner.state().ema,
        &average,
        tolerances::TRAINING_AVERAGE_REL,
    );
}

#[test]
fn a_policy_file_keeps_names_and_layouts() {
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
        local_cond_dim: 0,
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
            ..Episode::default()
        });
    let demonstrations = Demonstrations {
        episodes: episodes.collect(),
    };
    let windows = Windows::new(&[demonstrations], window_options(0), None).unwrap();
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

/// Windows of 16 actions of which 8 are executed.
fn window_options(validation_episodes: usize) -> WindowOptions {
    WindowOptions {
        observation: Observation::State,
        n_obs_steps: 2,
        horizon: 16,
        n_action_steps: 8,
        action_frame: ActionFrame::Window,
        n_relabelled_goals: 0,
        mirror: false,
        validation_episodes,
        seed: 1,
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
            ..Episode::default()
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
        shares: Vec::new(),
        seed: 3,
        observation: Observation::State,
        learning_rate: 3e-3,
        warmup_steps: 4,
        weight_decay: 1e-6,
        n_relabelled_goals: 0,
        mirror: true,
        validation_episodes: 1,
        n_obs_steps: 2,
        horizon: 16,
        n_action_steps: 8,
        action_frame: ActionFrame::Window,
        unet: UnetConfig {
            global_cond_dim: 10,
            ..golden_unet()
        },
        scheduler: SchedulerConfig::default(),
        num_inference_steps: 10,
        train_timesteps: TrainTimesteps::All,
        init_crc32: None,
        rounding: Rounding::default(),
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
    let demonstrations = [circles(4)];
    let mut straight =
        Trainer::new(settings(12), &demonstrations, None, None, Device::flex()).unwrap();
    (0..12).for_each(|_| _ = straight.advance());

    let mut first_half =
        Trainer::new(settings(12), &demonstrations, None, None, Device::flex()).unwrap();
    (0..6).for_each(|_| _ = first_half.advance());
    let folder = tempfile::tempdir().unwrap();
    let header = Header {
        step: first_half.step(),
        data_crc32: vec![demonstrations[0].crc32()],
        settings: settings(12),
    };
    checkpoint::save(folder.path(), &header, &first_half.state()).unwrap();
    let (read, state) = checkpoint::load_newest(folder.path()).unwrap().unwrap();
    assert_eq!(read, header);
    let mut second_half = Trainer::new(
        read.settings,
        &demonstrations,
        None,
        Some(state),
        Device::flex(),
    )
    .unwrap();
    (0..6).for_each(|_| _ = second_half.advance());

    assert_eq!(second_half.step(), 12);
    assert!(bits(&second_half.state()) == bits(&straight.state()));
    assert_eq!(second_half.validation_loss(), straight.validation_loss());
}

#[test]
fn another_seed_makes_another_run() {
    let demonstrations = [circles(4)];
    let run = |seed| {
        let settings = Settings {
            seed,
            ..settings(12)
        };
        let mut trainer =
            Trainer::new(settings, &demonstrations, None, None, Device::flex()).unwrap();
        (0..3).for_each(|_| _ = trainer.advance());
        bits(&trainer.state())
    };
    assert!(run(0) == run(0));
    assert!(run(0) != run(1));
}

/// With 4 bits the network computes with them, the policy has them, and the weights beneath go on.
#[test]
fn the_loss_falls_on_a_tiny_set_and_with_4_bits_nearly_as_far() {
    let run = |bits| {
        let rounding = Rounding {
            bits,
            ..Rounding::default()
        };
        let settings = Settings {
            rounding,
            ..settings(300)
        };
        let set = [circles(4)];
        let mut trainer = Trainer::new(settings, &set, None, None, Device::flex()).unwrap();
        let losses: Vec<f32> = (0..300).map(|_| trainer.advance()).collect();
        let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len() as f32;
        (mean(&losses[..10]), mean(&losses[250..]), trainer)
    };
    let (first, exact, _) = run(None);
    assert!(exact < 0.3 * first, "from {first} to {exact}");
    let (_, rounded, trainer) = run(Some(4));
    assert!(rounded < 2.0 * exact, "{rounded}, {exact} in floats");
    let state = trainer.state();
    let layout = Layout::new(&settings(1).unet);
    let policy = layout.from_tensors(&trainer.policy_tensors()).unwrap();
    let moved = policy.iter().zip(&state.ema).filter(|(a, b)| a != b);
    assert!(moved.count() > layout.n_values() / 2);
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
fn training_leaves_out_the_held_out_episodes() {
    let demonstrations = [circles(6)];
    let windows = Windows::new(&demonstrations, window_options(2), None).unwrap();
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
    assert!(Windows::new(&demonstrations, window_options(6), None).is_err());
}

#[test]
fn every_set_has_its_share_of_every_batch_and_loses_no_window() {
    let mut mixture = Mixture::new(3, &[0..50, 50..60], &[0.8, 0.2]);
    let mut seen = vec![0; 60];
    for step in 0..100 {
        let windows = mixture.windows(step * 16..(step + 1) * 16);
        assert_eq!(windows.len(), 16);
        let of_second = windows.iter().filter(|window| **window >= 50).count();
        assert!((2..=4).contains(&of_second), "{of_second} of 16");
        windows.iter().for_each(|window| seen[*window] += 1);
    }
    // 1280 and 320 samples: no window of a set more than once more often than another.
    for (set, mean) in [(&seen[..50], 25), (&seen[50..], 32)] {
        assert!(set.iter().all(|n| (mean..=mean + 1).contains(n)), "{set:?}");
    }
    let mut again = Mixture::new(3, &[0..50, 50..60], &[0.8, 0.2]);
    assert_eq!(again.windows(160..176), mixture.windows(160..176));
}

#[test]
fn actions_of_the_agents_frame_are_ways_from_the_newest_observation() {
    let demonstrations = [circles(1)];
    let windows_of = |action_frame| {
        let options = WindowOptions {
            action_frame,
            ..window_options(0)
        };
        Windows::new(&demonstrations, options, None).unwrap()
    };
    let raw = |windows: &Windows, index: usize| -> Vec<f32> {
        let batch = windows.batch(Split::Train, std::iter::once(index));
        let normalizer = &windows.normalizers().action;
        let columns = batch.actions.iter().enumerate();
        (columns.map(|(at, v)| (v - normalizer.offset[at % 2]) / normalizer.scale[at % 2]))
            .collect()
    };
    let (absolute, relative) = (
        windows_of(ActionFrame::Window),
        windows_of(ActionFrame::Agent),
    );
    // Window 5 begins at row 4, and row 5 is the newest that is observed.
    let [agent_x, agent_y, ..] = demonstrations[0].episodes[0].states[5].map(|v| v as f32);
    for (there, way) in raw(&absolute, 5).chunks(2).zip(raw(&relative, 5).chunks(2)) {
        assert!(
            (there[0] - agent_x - way[0]).abs() < 1e-3,
            "{there:?} {way:?}"
        );
        assert!(
            (there[1] - agent_y - way[1]).abs() < 1e-3,
            "{there:?} {way:?}"
        );
    }
}

#[test]
fn nothing_is_put_before_an_episode_that_continues() {
    let mut demonstrations = [circles(2)];
    let count = |sets: &[Demonstrations]| {
        Windows::new(sets, window_options(0), None)
            .unwrap()
            .len(Split::Train)
    };
    let padded = count(&demonstrations);
    demonstrations[0].episodes[1].continues = true;
    assert_eq!(count(&demonstrations), padded - 1);
}

#[test]
fn targets_are_what_the_scheduler_takes_for_its_prediction_type() {
    let batch = || Batch {
        actions: vec![0.5, -0.25, 0.75, 0.125],
        global_cond: vec![0.0],
    };
    let process = |prediction_type: &str, which| {
        let scheduler = SchedulerConfig {
            prediction_type: prediction_type.into(),
            timestep_spacing: "trailing".into(),
            ..SchedulerConfig::default()
        };
        ForwardProcess::new(&scheduler, 2, which).unwrap()
    };
    let noised =
        |prediction_type, which| process(prediction_type, which).add_noise(batch(), 1, 2, 1);
    let noise = noised("epsilon", TrainTimesteps::All);
    let clean = noised("sample", TrainTimesteps::All);
    let velocity = noised("v_prediction", TrainTimesteps::All);
    assert_eq!(clean.target, batch().actions);
    let alpha_bar = diffusion::alphas_cumprod(100)[noise.timesteps[0]];
    for at in 0..4 {
        let (signal, spread) = (alpha_bar.sqrt() as f32, (1.0 - alpha_bar).sqrt() as f32);
        let (x_0, epsilon) = (batch().actions[at], noise.target[at]);
        assert!((noise.sample[at] - signal * x_0 - spread * epsilon).abs() < 1e-6);
        assert!((velocity.target[at] - signal * epsilon + spread * x_0).abs() < 1e-6);
    }
    for index in 0..20 {
        let process = process("sample", TrainTimesteps::Visited);
        let timesteps = process.add_noise(batch(), 1, index, 1).timesteps;
        assert!([[99], [49]].contains(&[timesteps[0]]), "{timesteps:?}");
    }
}
