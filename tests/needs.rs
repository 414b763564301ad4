//! What `quantize` says a policy needs, before it is quantised, against what it then needs.

#[path = "integer/random_policy.rs"]
mod random_policy;
mod tolerances;

use indicatif::ProgressBar;
use pusht_core::quant::{Model, WeightBits};
use pusht_host::float_engine::FloatPolicy;
use pusht_host::policy_file::{self, Conditioning, PolicyConfig, Task, Tensors};
use pusht_host::quantize::boards::BOARDS;
use pusht_host::quantize::needs::{Needs, Widths};
use pusht_host::quantize::{Bits, CalibrationData, model_file, needs, provenance};
use random_policy::{config_of, random_tensors, random_windows, small_config};
use serde::Deserialize;
use std::path::{Path, PathBuf};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The float policy, and the bytes of the integer model that was made of it.
fn shipped(name: &str) -> ((PolicyConfig, Tensors), Vec<u8>) {
    let float = repository("models").join(format!("{name}.safetensors"));
    let integer = repository("models").join(format!("{name}.ptm"));
    let policy = policy_file::load(&float).unwrap();
    (policy, std::fs::read(integer).unwrap())
}

/// The policies with a model file, their passes and their executed actions.
const SHIPPED: [(&str, usize, usize); 3] =
    [("pusht", 4, 3), ("pusht-small", 1, 2), ("fetch", 5, 8)];

#[test]
fn a_shipped_model_needs_what_its_settings_say() {
    for (name, passes, n_action_steps) in SHIPPED {
        let ((mut config, tensors), bytes) = shipped(name);
        config.num_inference_steps = passes;
        config.n_action_steps = n_action_steps;
        let model = Model::parse(&bytes).unwrap();
        let provenance = model.provenance().trim_end();
        // Which products of a mix have 4 bits is measured when it is quantised.
        let widths = Widths::Each(model.weight_bits());
        let needs = Needs::of(&config, &tensors, provenance, widths).unwrap();
        assert_eq!(needs.file_bytes, bytes.len(), "{name}");
        assert_eq!(needs.scratch_len, model.scratch_len(), "{name}");
    }
}

/// In this build, where other packages switch on features of serde_json, as in the one that made
/// the files.
#[test]
fn a_shipped_model_says_what_quantize_would_say() {
    for (name, passes, n_action_steps) in SHIPPED {
        let ((mut config, _), bytes) = shipped(name);
        config.num_inference_steps = passes;
        config.n_action_steps = n_action_steps;
        let made = provenance(&config, &CalibrationData::usual(&config).unwrap()).unwrap();
        let model = Model::parse(&bytes).unwrap();
        assert_eq!(made, model.provenance().trim_end(), "{name}");
    }
}

/// Kernels, levels, conditioning and executed actions of all kinds.
#[test]
fn every_kind_of_policy_needs_what_its_settings_say() {
    let task = Task::unnamed(11, 3);
    let mut wide = config_of(task.clone(), 3, 16, &[16, 24, 8, 32]);
    (wide.unet.kernel_size, wide.unet.n_groups) = (5, 4);
    let mut flat = config_of(task.clone(), 1, 5, &[8]);
    (flat.unet.kernel_size, flat.unet.cond_predict_scale) = (1, false);
    let mut late = config_of(task.clone(), 2, 16, &[16, 32]);
    late.oa_step_convention = false;
    let mut only = config_of(task.clone(), 2, 16, &[16, 32]);
    only.pred_action_steps_only = true;
    let mut inpainting = config_of(task, 2, 16, &[16, 32]);
    inpainting.conditioning = Conditioning::Inpainting;
    (inpainting.unet.global_cond_dim, inpainting.unet.input_dim) = (0, 14);
    for config in [small_config(), wide, flat, late, only, inpainting] {
        let tensors = random_tensors(&config, 1);
        let windows = random_windows(&config, 3, 2);
        let data = CalibrationData::Windows(windows, "of a test".into());
        let policy = FloatPolicy::from_parts(config.clone(), &tensors).unwrap();
        let progress = ProgressBar::hidden();
        for bits in [WeightBits::Eight, WeightBits::Four] {
            let needs = needs(&config, &tensors, &data, Widths::All(bits)).unwrap();
            let bits = Bits::All(bits);
            let bytes = model_file(&policy, &tensors, &data, bits, &progress).unwrap();
            assert_eq!(needs.file_bytes, bytes.len(), "{bits:?} {config:?}");
            let model = Model::parse(&bytes).unwrap();
            assert_eq!(needs.scratch_len, model.scratch_len(), "{config:?}");
        }
    }
}

#[derive(Deserialize)]
struct Measured {
    board: String,
    best: Plan,
    small: Plan,
}

#[derive(Deserialize)]
struct Plan {
    instructions: u64,
}

/// Of the shipped policies, on every core.
#[test]
fn the_estimated_instructions_of_a_plan_are_near_to_those_measured() {
    let json = std::fs::read(repository("tests/figures/bench_plan.json")).unwrap();
    let measured: Vec<Measured> = serde_json::from_slice(&json).unwrap();
    let mut compared = Vec::new();
    for Measured { board, best, small } in measured {
        compared.push(("pusht", board.clone(), best.instructions));
        compared.push(("pusht-small", board, small.instructions));
    }
    for (name, board, instructions) in compared {
        let ((mut config, tensors), bytes) = shipped(name);
        let model = Model::parse(&bytes).unwrap();
        config.num_inference_steps = model.n_passes();
        let widths = match model.weight_bits() {
            [] => Widths::default(),
            bits => Widths::Each(bits),
        };
        let needs = Needs::of(&config, &tensors, "", widths).unwrap();
        let core = BOARDS.iter().find(|b| b.name == board).unwrap().core;
        let off = core.instructions(&needs.work) / instructions as f64 - 1.0;
        println!("{name} on {board}: {:+.2} %", 100.0 * off);
        assert!(
            off.abs() <= tolerances::ESTIMATED_INSTRUCTIONS,
            "{name} on {board}: {off}"
        );
    }
}

#[test]
fn a_boards_memory_is_that_of_its_memory_map() {
    for board in BOARDS {
        let path = repository("firmware/boards")
            .join(board.name)
            .join("memory.x");
        let map = std::fs::read_to_string(&path).unwrap();
        let region = |name: &str| {
            let line = map.lines().find(|l| l.trim_start().starts_with(name))?;
            let length = line.split_once("LENGTH = ")?.1;
            // The micro:bit's stack counts as RAM.
            Some(kib(&length.replace("_stack_len", "0K")))
        };
        let flash = region("MODEL").or(region("FLASH")).unwrap();
        assert_eq!(
            (flash, region("RAM").unwrap()),
            (board.flash_kib, board.ram_kib)
        );
    }
}

/// A length such as `4M - 32K`, in KiB.
fn kib(length: &str) -> usize {
    let mut terms = length.split('-').map(|term| {
        let term = term.trim();
        match term.strip_suffix('M') {
            Some(mib) => 1024 * mib.parse::<usize>().unwrap(),
            None => term.strip_suffix('K').unwrap().parse().unwrap(),
        }
    });
    let first = terms.next().unwrap();
    terms.fold(first, |rest, term| rest - term)
}
