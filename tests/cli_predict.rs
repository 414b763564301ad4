//! `pusht predict` as a program that drives it: a plan per line, and an error in the place of a
//! line that has none.

mod program;
mod tolerances;

use program::pusht;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const STATE: &str = "[222,97,222,300,0.5]";

/// Answers of `pusht predict` to the lines of `input`.
fn answers(args: &[&str], input: impl AsRef<[u8]>) -> Vec<Value> {
    let output = pusht(&[&["predict"], args].concat(), input);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    let lines = output.stdout.split(|byte| *byte == b'\n');
    lines
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

fn predicted(args: &[&str], line: &str) -> Vec<Vec<f64>> {
    let answer = answers(args, line).remove(0);
    serde_json::from_value(answer["action"].clone()).unwrap_or_else(|_| panic!("{answer}"))
}

fn request(fields: &str) -> String {
    format!("{{\"obs\": [{STATE},{STATE}], {fields}}}\n")
}

fn noise(rows: usize, value: f64) -> String {
    request(&format!("\"noise\": {:?}", vec![[value, -value]; rows]))
}

#[test]
fn predict_answers_with_a_chunk_of_actions_that_the_seed_decides() {
    let first = predicted(&[], &request("\"seed\": 7"));
    assert!(!first.is_empty() && first.iter().all(|action| action.len() == 2));
    // From this state, no sensible action leaves the window.
    assert!(
        first.iter().flatten().all(|v| (0.0..512.0).contains(v)),
        "{first:?}"
    );
    assert_eq!(first, predicted(&[], &request("\"seed\": 7")));
    assert_ne!(first, predicted(&[], &request("\"seed\": 8")));
}

#[test]
fn predict_starts_from_the_noise_it_is_given() {
    let calm = predicted(&[], &noise(8, 0.25));
    assert_eq!(calm, predicted(&[], &noise(8, 0.25)));
    assert_ne!(calm, predicted(&[], &noise(8, -1.5)));
}

#[test]
fn the_engines_agree_on_a_plan() {
    let mut distances: Vec<f64> = (0..8)
        .flat_map(|seed| {
            let line = request(&format!("\"seed\": {seed}"));
            let (int, float) = (
                predicted(&[], &line).concat(),
                predicted(&["--engine", "float"], &line).concat(),
            );
            int.into_iter()
                .zip(float)
                .map(|(a, b)| (a - b).abs())
                .collect::<Vec<_>>()
        })
        .collect();
    distances.sort_by(f64::total_cmp);
    let median = distances[distances.len() / 2];
    assert!(median < tolerances::INTEGER_MEDIAN_PX, "{median} px");
}

#[test]
fn a_bad_line_is_answered_by_its_error_and_the_next_ones_by_plans() {
    let good = request("\"seed\": 1");
    let expected = answers(&[], &good).remove(0);
    let sample = "[[0,0],[0,0],[0,0],[0,0],[0,0],[0,0],[0,0],[0,0]]";
    for (bad, words) in [
        (
            "{\"obs\": 3}\n".to_owned(),
            vec!["obs", "expected a sequence"],
        ),
        ("[1]\n".to_owned(), vec!["JSON object with obs"]),
        ("obs\n".to_owned(), vec!["not JSON"]),
        (
            format!("{{\"obs\": [{STATE}], \"seed\": 1}}\n"),
            vec!["1 observations", "needs 2"],
        ),
        (
            request("\"seed\": 1, \"sed\": 2"),
            vec!["unknown field sed", "step_noise"],
        ),
        (
            format!("{{\"obs\": [{STATE},{STATE}]}}\n"),
            vec!["neither seed nor noise"],
        ),
        (request("\"seed\": -1"), vec!["seed: invalid"]),
        (
            request(&format!("\"seed\": 1, \"step_noise\": [{sample}]")),
            vec!["step_noise without noise"],
        ),
        // The shipped policy's passes draw nothing.
        (
            request(&format!("\"noise\": {sample}, \"step_noise\": [{sample}]")),
            vec!["step_noise has 1 samples", "draw 0"],
        ),
        (noise(7, 0.0), vec!["noise", "7 rows", "8"]),
        (noise(8, 1e9), vec!["noise", "1000000000"]),
        (good.replace("222,97", "NaN,97"), vec!["not JSON"]),
        (
            good.replace("222,97", "1e999,97"),
            vec!["not JSON", "number out of range"],
        ),
        (
            good.replace("222,97", "1e30,97"),
            vec!["obs, row 0", "1e30", "beyond 10000"],
        ),
        (
            good.replace("222,97", "222"),
            vec!["obs, row 0", "4 values", "18", "5"],
        ),
        (good.replace("[[", "[[["), vec!["not JSON"]),
    ] {
        let given = answers(&[], good.clone() + &bad + "\n" + &good);
        assert_eq!(given.len(), 3, "{bad}");
        assert_eq!([&given[0], &given[2]], [&expected; 2], "{bad}");
        let error = given[1]["error"].as_str().unwrap();
        assert!(
            !error.contains('\n') && given[1]["action"].is_null(),
            "{error}"
        );
        for word in words {
            assert!(error.contains(word), "no `{word}` in: {error}");
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_answered_by_an_error() {
    let good = request("\"seed\": 1");
    let given = answers(&[], [b"\xff\xfe\n", good.as_bytes()].concat());
    assert!(
        given[0]["error"].as_str().unwrap().contains("UTF-8"),
        "{given:?}"
    );
    assert!(given[1]["action"].is_array(), "{given:?}");
}

#[test]
fn a_plan_is_independent_of_its_batch() {
    let other = "[230,101,223,290,0.6]";
    for engine in ["int", "float"] {
        let args = ["--engine", engine];
        let alone = [
            predicted(&args, &request("\"seed\": 7")),
            predicted(
                &args,
                &format!("{{\"obs\": [{STATE},{other}], \"seed\": 8}}"),
            ),
        ];
        let batch = format!("{{\"obs\": [[{STATE},{STATE}],[{STATE},{other}]], \"seed\": [7, 8]}}");
        assert_eq!(
            answers(&args, batch),
            [json!({ "action": alone })],
            "{engine}"
        );
    }
}

#[test]
fn an_error_in_a_batch_names_the_window() {
    for (fields, words) in [
        ("\"seed\": [1]", "seed has 1 entries for 2 windows"),
        ("\"seed\": 1", "seed: invalid type"),
        (
            "\"noise\": [[[0,0]],[[0,0]]]",
            "window 0: noise: it has 1 rows",
        ),
    ] {
        let line = format!("{{\"obs\": [[{STATE},{STATE}],[{STATE},{STATE}]], {fields}}}");
        let error = answers(&[], line).remove(0)["error"].to_string();
        assert!(error.contains(words), "{error}");
    }
    let line = format!("{{\"obs\": [[{STATE},{STATE}],[{STATE},[1,2]]], \"seed\": [1,2]}}");
    let error = answers(&[], line).remove(0)["error"].to_string();
    assert!(
        error.contains("window 1: obs, row 1: it has 2 values"),
        "{error}"
    );
}

#[test]
fn observations_in_the_policys_own_values_plan_as_the_states_they_show() {
    use pusht_core::pusht::observation::{ObservationKind, observe};
    let state: [f64; 5] = serde_json::from_str(STATE).unwrap();
    let mut vertices = [0.0; 18];
    observe(ObservationKind::Vertices, &state, &mut vertices).unwrap();
    let own = json!({"obs": [vertices, vertices], "seed": 7}).to_string();
    assert_eq!(
        predicted(&[], &own),
        predicted(&[], &request("\"seed\": 7"))
    );
    let far = own.replacen("222.0", "1e7", 1);
    let error = answers(&[], far).remove(0)["error"].to_string();
    assert!(error.contains("far beyond the policy's range"), "{error}");
}

#[test]
fn the_help_names_every_field() {
    let output = pusht(&["predict", "--help"], "");
    let help = String::from_utf8(output.stdout).unwrap();
    for word in [
        "`obs`",
        "`seed`",
        "`noise`",
        "`step_noise`",
        "{\"error\": \"..\"}",
        "batch",
    ] {
        assert!(help.contains(word), "no {word} in {help}");
    }
}

/// What a program planned, and with which noise.
#[derive(serde::Deserialize)]
struct Expected {
    states: Vec<[f64; 5]>,
    noise: Vec<Vec<f64>>,
    #[serde(default)]
    step_noise: Option<Vec<Vec<Vec<f64>>>>,
    actions: Vec<Vec<f64>>,
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/golden")
        .join(name)
}

/// Imports a policy with `pusht import`, compares the actions of `pusht predict` with those of the
/// original program, and returns what `pusht info` says.
fn import_and_predict(policy: &Path, options: &[&str], expected: &str) -> String {
    let json = std::fs::read_to_string(golden(expected)).unwrap();
    let expected: Expected = serde_json::from_str(&json).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.safetensors");
    let (from, to) = (policy.to_str().unwrap(), path.to_str().unwrap());
    let import = [&["import", from, "--out", to], options].concat();
    let imported = pusht(&import, "");
    assert!(imported.status.success(), "{from}: {imported:?}");
    let mut line = json!({"obs": expected.states, "noise": expected.noise});
    if let Some(step_noise) = expected.step_noise {
        line["step_noise"] = json!(step_noise);
    }
    let actions = predicted(&["--policy", to, "--engine", "float"], &line.to_string());
    assert_eq!(actions.len(), expected.actions.len());
    let pairs = actions.concat().into_iter().zip(expected.actions.concat());
    let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(
        worst <= tolerances::IMPORTED_PREDICTED_PX,
        "{from}: off by {worst} px"
    );
    String::from_utf8(pusht(&["info", to], "").stdout).unwrap()
}

#[test]
fn an_imported_checkpoint_predicts_what_the_original_program_does() {
    for (kind, observation) in [
        ("", "state"),
        ("_keypoints", "keypoints"),
        ("_vertices", "vertices"),
        ("_local", "state"),
        ("_inpainting", "state"),
        ("_actions_only", "state"),
    ] {
        let name = format!("import/diffusion_policy{kind}");
        let (path, expected) = (golden(&format!("{name}.ckpt")), format!("{name}.json"));
        // The checkpoint does not name its task.
        let refused = pusht(
            &["import", path.to_str().unwrap(), "--out", "unwritten"],
            b"",
        );
        let refused = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.contains("--observation"), "{name}: {refused}");
        let options = ["--observation", observation];
        let info = import_and_predict(&path, &options, &expected);
        assert!(info.contains("diffusion_policy"), "{info}");
    }
}

/// LeRobot's plan by DDPM, with the noise of all its passes (tests/golden/predict/generate.py).
#[test]
fn a_stochastic_sampler_plans_as_the_original_program_with_the_same_noise() {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(golden("import/lerobot_processors")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let config = folder.path().join("config.json");
    let ddim = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, ddim.replace("\"DDIM\"", "\"DDPM\"")).unwrap();
    let info = import_and_predict(folder.path(), &[], "predict/ddpm.json");
    assert!(info.contains("DDPM"), "{info}");
}
