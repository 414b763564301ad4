//! The float U-Net against diffusion_policy's own module in PyTorch, layer by layer
//! (tests/golden/unet/generate.py).

mod hashed;
mod tolerances;

use hashed::{HashedWeights, UnetOptions, hashed};
use pusht_core::policy::unet::{
    ConditionalUnet1D, DownDims, TensorSource, UnetConfig, UnetError, UnetInput, Unobserved,
};
use safetensors::SafeTensors;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Deserialize)]
struct Case {
    options: UnetOptions,
    batch: usize,
    length: usize,
    timesteps: Vec<f32>,
}

/// A case and PyTorch's values by module path, plans one after the other.
fn read(name: &str) -> (Case, BTreeMap<String, Vec<f32>>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/unet");
    let bytes = std::fs::read(folder.join(name).with_extension("safetensors")).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let case = serde_json::from_str(&header.metadata().as_ref().unwrap()["case"]).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |data: &[u8]| {
        let values = data.as_chunks().0.iter();
        values.map(|b| f32::from_le_bytes(*b)).collect()
    };
    let tensors = file.tensors().into_iter();
    let layers = tensors
        .map(|(path, view)| (path, floats(view.data())))
        .collect();
    (case, layers)
}

/// Inputs of a case: sample, local condition, global condition.
fn inputs(case: &Case) -> (Vec<f32>, Option<Vec<f32>>, Option<Vec<f32>>) {
    let rows = case.batch * case.length;
    let given = |name: &str, count| hashed(name, count).iter().map(|v| 2.0 * v).collect();
    let options = &case.options;
    (
        given("sample", rows * options.input_dim),
        options
            .local_cond_dim
            .map(|dim| given("local_cond", rows * dim)),
        options
            .global_cond_dim
            .map(|dim| given("global_cond", case.batch * dim)),
    )
}

/// Largest difference over the largest magnitude of what is expected.
fn relative_difference(got: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(got.len(), expected.len());
    let pairs = got.iter().zip(expected);
    let worst = pairs.map(|(g, e)| (g - e).abs()).fold(0.0, f32::max);
    let largest = expected.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    worst / largest
}

fn check(name: &str) {
    let (case, expected) = read(name);
    let network = case.options.network();
    let (sample, local, global) = inputs(&case);
    let input = UnetInput {
        batch: case.batch,
        sample: &sample,
        timesteps: &case.timesteps,
        local_cond: local.as_deref(),
        global_cond: global.as_deref(),
    };
    let mut output = vec![0.0; sample.len()];
    // Garbage in the scratch must not matter.
    let mut scratch = vec![f32::NAN; network.config().scratch_len(case.batch, case.length)];
    let mut got = BTreeMap::<String, Vec<f32>>::new();
    let mut observer = |path: &str, values: &[f32], n_channels: usize, length: usize| {
        assert_eq!(values.len(), n_channels * length, "{path}");
        got.entry(path.to_owned()).or_default().extend(values);
    };
    network
        .forward(&input, &mut output, &mut scratch, &mut observer)
        .unwrap();

    let mut unobserved = vec![0.0; sample.len()];
    network
        .forward(&input, &mut unobserved, &mut scratch, &mut Unobserved)
        .unwrap();
    assert_eq!(output, unobserved, "{name}: looking changes the result");

    got.insert("output".into(), output);
    let mut worst = (0.0, "");
    for (path, expected) in &expected {
        let layer = got
            .get(path)
            .unwrap_or_else(|| panic!("{name}: nothing observed at {path}"));
        let difference = relative_difference(layer, expected);
        if difference > worst.0 {
            worst = (difference, path);
        }
    }
    println!(
        "{name}: {} layers, worst {:.1e} at {}",
        expected.len(),
        worst.0,
        worst.1
    );
    assert!(
        worst.0 <= tolerances::UNET_LAYER,
        "{name}: {} is off by {}",
        worst.1,
        worst.0
    );
}

#[test]
fn film_with_scale_and_a_step_for_each_plan_equals_pytorch() {
    check("scale_and_bias");
}

#[test]
fn film_without_scale_equals_pytorch() {
    check("bias_only");
}

#[test]
fn levels_of_uneven_width_equal_pytorch() {
    check("three_uneven_levels");
    check("wide_kernel");
}

#[test]
fn a_network_without_a_way_up_equals_pytorch() {
    check("one_level");
}

#[test]
fn only_the_first_local_encoder_reaches_the_network_as_published() {
    check("local_condition");
    check("local_and_global_condition");
}

#[test]
fn a_network_without_conditions_equals_pytorch() {
    check("no_condition");
}

#[test]
fn the_default_network_equals_pytorch() {
    check("default");
    let config = read("default").0.options.config();
    assert_eq!(config.n_parameters(), Ok(736_322));
}

#[test]
fn a_plan_is_independent_of_its_batch() {
    let (case, _) = read("default");
    let network = case.options.network();
    let (sample, _, global) = inputs(&case);
    let global = global.unwrap();
    let run = |sample: &[f32], global: &[f32], batch| {
        let mut output = vec![0.0; sample.len()];
        let mut scratch = vec![0.0; network.config().scratch_len(batch, case.length)];
        let input = UnetInput {
            batch,
            sample,
            timesteps: &case.timesteps,
            local_cond: None,
            global_cond: Some(global),
        };
        let result = network.forward(&input, &mut output, &mut scratch, &mut Unobserved);
        result.map(|()| output).unwrap()
    };
    let together = run(&sample, &global, case.batch);
    let (plan, cond) = (sample.len() / case.batch, global.len() / case.batch);
    for b in 0..case.batch {
        let alone = run(&sample[b * plan..][..plan], &global[b * cond..][..cond], 1);
        assert_eq!(alone, together[b * plan..][..plan], "plan {b}");
    }
}

#[test]
fn a_missing_or_misshapen_tensor_is_named() {
    let (case, _) = read("scale_and_bias");
    let config = case.options.config();
    let memory = || vec![0.0; config.weights_len().unwrap()];
    let name = "mid_modules.1.blocks.0.block.1.bias";
    let mut weights = HashedWeights::new(&case.options);
    weights.0.get_mut(name).unwrap().0 = vec![15];
    let error = ConditionalUnet1D::new(config.clone(), &weights, memory()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("U-Net: tensor {name} has the wrong shape")
    );
    weights.0.remove(name);
    let error = ConditionalUnet1D::new(config.clone(), &weights, memory()).unwrap_err();
    assert_eq!(error.to_string(), format!("U-Net: no tensor {name}"));
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let (case, _) = read("scale_and_bias");
    let broken = |change: fn(&mut pusht_core::policy::unet::UnetConfig)| {
        let mut config = case.options.config();
        change(&mut config);
        matches!(config.weights_len(), Err(UnetError::Config(_)))
    };
    assert!(broken(|c| c.kernel_size = 4));
    assert!(broken(|c| c.n_groups = 3));
    assert!(broken(|c| c.diffusion_step_embed_dim = 2));
    assert!(broken(|c| c.down_dims = DownDims::new(&[12, 16]).unwrap()));
    assert!(broken(|c| c.input_dim = 0));
    assert!(DownDims::new(&[]).is_err());
    assert!(DownDims::new(&[8; 7]).is_err());
}

/// The tensors of a network by name, zeros but for their shapes.
struct Listed(BTreeMap<String, (Vec<usize>, Vec<f32>)>);

impl TensorSource for Listed {
    fn tensor(&self, name: &str) -> Option<(&[usize], &[f32])> {
        let (shape, values) = self.0.get(name)?;
        Some((shape, values))
    }
}

#[test]
fn the_listed_tensors_are_those_that_a_network_needs() {
    for name in ["scale_and_bias", "bias_only", "local_condition"] {
        let (case, _) = read(name);
        let config = case.options.config();
        let mut listed = Listed(BTreeMap::new());
        let visited = config.visit_tensors(|name, shape| {
            let zeros = vec![0.0; shape.iter().product()];
            let before = listed.0.insert(name.to_owned(), (shape.to_vec(), zeros));
            assert!(before.is_none(), "{name} is listed once");
        });
        assert_eq!(visited, Ok(()));
        let new = |source: &Listed| {
            let memory = vec![0.0; config.weights_len().unwrap()];
            ConditionalUnet1D::new(config.clone(), source, memory).map(|_| ())
        };
        assert_eq!(new(&listed), Ok(()));
        // PyTorch has them, in the same shapes.
        let theirs = HashedWeights::new(&case.options);
        for (name, (shape, _)) in &listed.0 {
            assert_eq!(
                theirs.0.get(name).map(|(shape, _)| shape),
                Some(shape),
                "{name}"
            );
        }
        for name in listed.0.keys().cloned().collect::<Vec<_>>() {
            let tensor = listed.0.remove(&name).unwrap();
            match new(&listed) {
                Err(UnetError::MissingTensor(path)) => assert_eq!(path.as_str(), name),
                other => panic!("without {name}: {other:?}"),
            }
            listed.0.insert(name, tensor);
        }
    }
    let broken = UnetConfig {
        input_dim: 0,
        ..read("scale_and_bias").0.options.config()
    };
    assert!(broken.visit_tensors(|name, _| panic!("{name}")).is_err());
}

#[test]
fn inputs_of_the_wrong_size_are_refused() {
    let (case, _) = read("scale_and_bias");
    let network = case.options.network();
    let (sample, _, global) = inputs(&case);
    let good = UnetInput {
        batch: case.batch,
        sample: &sample,
        timesteps: &case.timesteps,
        local_cond: None,
        global_cond: global.as_deref(),
    };
    let run = |input: UnetInput<'_>| {
        let mut output = vec![0.0; input.sample.len()];
        let mut scratch = vec![0.0; network.config().scratch_len(2, 8)];
        network.forward(&input, &mut output, &mut scratch, &mut Unobserved)
    };
    assert_eq!(run(good), Ok(()));
    let odd_length = UnetInput {
        sample: &sample[..28],
        ..good
    };
    let expected = UnetError::SampleLength {
        multiple: 2,
        got: 7,
    };
    assert_eq!(run(odd_length), Err(expected));
    for input in [
        UnetInput { batch: 0, ..good },
        UnetInput {
            timesteps: &[1.0; 3],
            ..good
        },
        UnetInput {
            global_cond: None,
            ..good
        },
        UnetInput {
            global_cond: Some(&sample[..5]),
            ..good
        },
        UnetInput {
            local_cond: Some(&sample),
            ..good
        },
        UnetInput {
            sample: &sample[..31],
            ..good
        },
    ] {
        assert!(run(input).is_err());
    }
}
