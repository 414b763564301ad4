//! Digests of episodes as `pusht` plays them, with which the page compares its own.

use crate::build::{MODELS, repository};
use anyhow::Result;
use pusht_core::link::file_crc32c;
use pusht_core::pusht::env::Seeding;
use pusht_host::engine::Engine;
use pusht_host::evaluate;
use serde_json::{Map, Value, json};
use std::fs;
use std::ops::Range;

/// The seeds of the published scores.
const SEEDS: Range<u64> = 100_000..100_050;

/// For each model its name, the CRC-32C of its file, and by seed the digests of actions and states,
/// the control steps and whether the goal is reached; seeding `legacy`.
pub(crate) fn all() -> Result<Value> {
    let mut models = Vec::new();
    for (name, file) in MODELS {
        let bytes = fs::read(repository().join(file))?;
        let crc32c = file_crc32c(&bytes);
        let engine = Engine::of_bytes(bytes)?;
        let mut seeds = Map::new();
        for seed in SEEDS {
            let env = evaluate::start(seed, Seeding::Legacy)?;
            let result = evaluate::episode(&engine, env, seed)?;
            let row = json!([
                format!("{:#018x}", result.action_digest),
                format!("{:#018x}", result.state_digest),
                result.steps,
                result.success,
            ]);
            seeds.insert(seed.to_string(), row);
        }
        models.push(json!({ "name": name, "crc32c": crc32c, "seeds": seeds }));
    }
    Ok(Value::Array(models))
}
