//! Any input of `pusht predict`: a line of JSON answers each line, with finite actions or an error.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pusht_fuzz::limit_memory;
use pusht_host::cmd::predict::serve;
use pusht_host::engine::Engine;
use serde_json::Value;

const MODEL: &[u8] = include_bytes!("../../golden/integer/tiny.ptm");

fuzz_target!(init: limit_memory(), |input: &[u8]| {
    thread_local!(static ENGINE: Engine = Engine::of_bytes(MODEL.to_vec()).expect("the model is right"));
    let mut output = Vec::new();
    ENGINE
        .with(|engine| serve(engine, input, &mut output))
        .expect("memory can be read and written");
    let answers = String::from_utf8(output).expect("JSON is text");
    let n_lines = input
        .split(|byte| *byte == b'\n')
        .filter(|line| std::str::from_utf8(line).map_or(true, |line| !line.trim().is_empty()))
        .count();
    assert_eq!(answers.lines().count(), n_lines, "an answer per line");
    for answer in answers.lines() {
        let answer: Value = serde_json::from_str(answer).expect("an answer is JSON");
        match &answer["action"] {
            Value::Null => assert!(answer["error"].is_string(), "{answer}"),
            actions => assert!(are_numbers(actions), "{answer}"),
        }
    }
});

/// Whether a list, of lists, is of numbers alone; JSON has `null` for those that are not finite.
fn are_numbers(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().all(are_numbers),
        value => value.is_number(),
    }
}
