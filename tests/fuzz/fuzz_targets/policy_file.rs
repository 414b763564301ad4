//! Any float policy: it is refused, or every plan is an error or a chunk of finite actions.
//!
//! An input that begins with `{` has the settings of a policy whose weights are those of a small
//! network; any other is a whole file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pusht_core::control::Planner;
use pusht_core::noise::NoiseSource;
use pusht_fuzz::limit_memory;
use pusht_host::float_engine::FloatPolicy;
use pusht_host::policy_file;

const BASE: &[u8] = include_bytes!("../base/policy.safetensors");
/// Passes more than this take too long to be of use here.
const MAX_PASSES: usize = 20;
/// Values that observations are made of: usual ones, and those at the ends of their type.
const OBSERVED: [f64; 8] = [0.0, 256.0, -3.25, 512.0, 1e-40, 3e38, -1e9, 0.5];

fuzz_target!(init: limit_memory(), |input: &[u8]| {
    let Some(mut policy) = policy(input) else {
        return;
    };
    if policy.config().num_inference_steps > MAX_PASSES {
        return;
    }
    let shape = policy.shape();
    for first in 0..OBSERVED.len() {
        // The first values only, then all of them.
        let observed = OBSERVED.iter().cycle().skip(first).take(1 + first);
        let window: Vec<f64> = observed.copied().cycle().take(shape.window_len()).collect();
        let mut chunk = vec![0.0; shape.chunk_len()];
        let planned = policy.plan(&window, &mut NoiseSource::new(first as u64), &mut chunk);
        assert!(
            planned.is_err() || chunk.iter().all(|value| value.is_finite()),
            "{window:?} becomes {chunk:?}"
        );
    }
});

fn policy(input: &[u8]) -> Option<FloatPolicy> {
    let (config, tensors) = match input.first() {
        Some(b'{') => {
            let (_, tensors) = policy_file::parse(BASE).expect("the small policy is right");
            (serde_json::from_slice(input).ok()?, tensors)
        }
        _ => policy_file::parse(input).ok()?,
    };
    FloatPolicy::from_parts(config, &tensors).ok()
}
