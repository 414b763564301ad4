//! Every transport reproduces the traces of Gymnasium's vector environments in
//! `tests/golden/vector`.

use crate::envs::spec;
use crate::{ALL, Vectoriser, tolerances};
use pusht_gym::env::EnvSpec;
use pusht_gym::pusht::PUSHT_ID;
use pusht_gym::value::{Array, Dict, Value, dict};
use pusht_gym::vector::{Seed, VectorEnv, VectorOptions};
use serde_json::Value as Json;

/// What is not compared: counted right here, and constant.
const LEFT_OUT: [&str; 4] = ["n_contacts", "_n_contacts", "goal_pose", "_goal_pose"];

fn traces() -> Vec<Json> {
    serde_json::from_str(include_str!("../golden/vector/traces.json")).unwrap()
}

/// A value as the generator writes it.
fn value(json: &Json) -> Value {
    if let Some(parts) = json["dict"].as_object() {
        let parts = parts.iter().map(|(name, part)| (name.clone(), value(part)));
        return Value::Dict(parts.collect());
    }
    if let Some(parts) = json["list"].as_array() {
        return parts.iter().map(value).collect::<Vec<_>>().into();
    }
    if let Some(number) = json["int"].as_i64() {
        return number.into();
    }
    let Some(dtype) = json["dtype"].as_str() else {
        return Value::None;
    };
    let shape: Vec<usize> = serde_json::from_value(json["shape"].clone()).unwrap();
    let data = json["data"].clone();
    let array = match dtype {
        "f64" => Array::new::<f64>(&shape, serde_json::from_value(data).unwrap()),
        "i64" => Array::new::<i64>(&shape, serde_json::from_value(data).unwrap()),
        _ => Array::new::<bool>(&shape, serde_json::from_value(data).unwrap()),
    };
    array.unwrap().into()
}

/// Equal, and numbers of the simulator within its tolerance.
fn check(name: &str, ours: &Value, theirs: &Value) {
    match (ours, theirs) {
        (Value::Dict(ours), Value::Dict(theirs)) => {
            let names = |parts: &Dict| -> Vec<String> {
                let names = parts
                    .keys()
                    .filter(|name| !LEFT_OUT.contains(&name.as_str()));
                names.cloned().collect()
            };
            assert_eq!(names(ours), names(theirs), "{name}");
            for part in names(ours) {
                check(&format!("{name}.{part}"), &ours[&part], &theirs[&part]);
            }
        }
        (Value::List(ours), Value::List(theirs)) => {
            assert_eq!(ours.len(), theirs.len(), "{name}");
            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                check(&format!("{name}[{index}]"), ours, theirs);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.slice::<f64>().is_some() => {
            assert!(a.is_like(b), "{name}: {ours:?} {theirs:?}");
            let numbers = a
                .slice::<f64>()
                .unwrap()
                .iter()
                .zip(b.slice::<f64>().unwrap());
            let largest = numbers.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(
                largest < tolerances::PHYSICS_PX,
                "{name}: differs by {largest}"
            );
        }
        _ => assert_eq!(ours, theirs, "{name}"),
    }
}

fn make(vectoriser: Vectoriser, trace: &Json) -> Box<dyn VectorEnv> {
    let options = VectorOptions {
        autoreset_mode: trace["autoreset_mode"].as_str().unwrap().parse().unwrap(),
        ..VectorOptions::default()
    };
    let pusht = |obs_type: &str| -> EnvSpec {
        spec(PUSHT_ID)
            .with("obs_type", obs_type)
            .with("max_episode_steps", 4_i64)
    };
    match trace["obs_type"].as_str() {
        Some(obs_type) => vectoriser.make(&vec![pusht(obs_type); 3], options).unwrap(),
        None => {
            let mut envs = vectoriser.make(&vec![spec("Count"); 3], options).unwrap();
            let ints = |values: [i64; 3]| values.map(Value::from).to_vec().into();
            envs.set_attr("max_count", &ints([2, 3, 5])).unwrap();
            envs.set_attr("truncate_at", &ints([0, 0, 4])).unwrap();
            envs.set_attr("informs", &true.into()).unwrap();
            envs
        }
    }
}

fn seed(json: &Json) -> Seed {
    match (json.as_u64(), json.as_array()) {
        (Some(first), _) => Seed::Int(first),
        (_, Some(seeds)) => Seed::List(seeds.iter().map(Json::as_u64).collect()),
        _ => Seed::None,
    }
}

fn replay(vectoriser: Vectoriser, trace: &Json) {
    let mut envs = make(vectoriser, trace);
    let kind = format!(
        "{vectoriser:?} {} {}",
        trace["autoreset_mode"], trace["obs_type"]
    );
    for (at, call) in trace["trace"].as_array().unwrap().iter().enumerate() {
        let name = |part: &str| format!("{kind} call {at} {part}");
        let (observations, infos) = if call["call"] == "reset" {
            let options = match call["mask"].as_array() {
                Some(mask) => {
                    let mask: Vec<bool> = mask.iter().filter_map(Json::as_bool).collect();
                    dict([("reset_mask", mask.into())])
                }
                None => Dict::new(),
            };
            envs.reset(seed(&call["seed"]), &options).unwrap()
        } else {
            let step = envs.step(&value(&call["actions"])).unwrap();
            let rewards: Vec<f64> = serde_json::from_value(call["rewards"].clone()).unwrap();
            check(&name("rewards"), &step.rewards.into(), &rewards.into());
            assert_eq!(
                Json::from(step.terminations),
                call["terminations"],
                "{}",
                name("terminations")
            );
            assert_eq!(
                Json::from(step.truncations),
                call["truncations"],
                "{}",
                name("truncations")
            );
            (step.observations, step.infos)
        };
        check(
            &name("observations"),
            &observations,
            &value(&call["observations"]),
        );
        check(&name("infos"), &infos.into(), &value(&call["infos"]));
    }
}

#[test]
fn traces_of_gymnasium_are_repeated() {
    let traces = traces();
    assert_eq!(traces.len(), 9);
    for trace in &traces {
        for vectoriser in ALL {
            replay(vectoriser, trace);
        }
    }
}
