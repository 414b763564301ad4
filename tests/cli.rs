//! The command line as a user meets it: results of the commands, and one clear line for bad input.

mod program;

use program::{assert_refused, pusht};
use pusht_core::pusht::env::Seeding;
use pusht_host::engine::{Engine, PolicyArgs};
use pusht_host::evaluate;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

fn shipped_model() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/pusht.ptm")).unwrap()
}

#[test]
fn eval_writes_every_field_of_its_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scores.json");
    let args = [
        "eval",
        "--seeds",
        "5..8",
        "--seeding",
        "pcg64",
        "--json",
        path.to_str().unwrap(),
    ];
    let output = pusht(&args, "");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let scores: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let episodes = scores["episodes"].as_array().unwrap();
    assert_eq!(
        episodes
            .iter()
            .map(|e| e["seed"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [5, 6, 7]
    );
    let mean = |field: &str| {
        episodes
            .iter()
            .map(|e| e[field].as_f64().unwrap())
            .sum::<f64>()
            / 3.0
    };
    assert!((scores["mean_max_reward"].as_f64().unwrap() - mean("max_reward")).abs() < 1e-12);
    assert!((scores["mean_max_coverage"].as_f64().unwrap() - mean("max_coverage")).abs() < 1e-12);
    for episode in episodes {
        let coverage = episode["max_coverage"].as_f64().unwrap();
        assert_eq!(episode["success"].as_bool().unwrap(), coverage > 0.95);
        assert!((1..=300).contains(&episode["steps"].as_u64().unwrap()));
    }
    let [low, high] = [0, 1].map(|side| scores["success_ci95"][side].as_f64().unwrap());
    let rate = scores["success_rate"].as_f64().unwrap();
    assert!(low <= rate && rate <= high && low < high);
}

#[test]
fn eval_prints_the_digests_of_a_single_episode_which_the_device_logs_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scores.json");
    let json = path.to_str().unwrap();
    let output = pusht(&["eval", "--seeds", "100003..100004", "--json", json], "");
    let output = String::from_utf8(output.stdout).unwrap();
    let scores: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();

    let engine = Engine::load(&PolicyArgs::default()).unwrap();
    let env = evaluate::start(100_003, Seeding::Legacy).unwrap();
    let result = evaluate::episode(&engine, env, 100_003).unwrap();
    for (name, field, digest) in [
        ("digest of actions", "action_digest", result.action_digest),
        ("digest of states", "state_digest", result.state_digest),
    ] {
        let digest = format!("{digest:#018x}");
        assert!(
            output.contains(&format!("{name:<20} {digest}\n")),
            "{output}"
        );
        assert_eq!(scores["episodes"][0][field], digest);
    }
}

#[test]
fn a_damaged_model_file_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.ptm");
    let name = path.to_str().unwrap();
    let good = shipped_model();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 0x10;
    for bytes in [
        &flipped[..],
        &good[..good.len() / 2],
        &good[..3],
        b"",
        b"not a model at all",
    ] {
        std::fs::write(&path, bytes).unwrap();
        for args in [
            &["eval", "--policy", name][..],
            &["predict", "--policy", name][..],
        ] {
            assert_refused(&pusht(args, ""), &["damaged.ptm"]);
        }
    }
}

#[test]
fn bad_arguments_are_refused_in_one_line() {
    let missing = "no/such/policy.ptm";
    assert_refused(&pusht(&["eval", "--policy", missing], ""), &[missing]);
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/pusht.ptm");
    let model = model.to_str().unwrap();
    assert_refused(
        &pusht(&["eval", "--policy", model, "--engine", "float"], ""),
        &["pusht.ptm", "--engine float"],
    );
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("no/such/folder/scores.json");
    assert_refused(
        &pusht(
            &["eval", "--seeds", "0..1", "--json", json.to_str().unwrap()],
            "",
        ),
        &["scores.json"],
    );
    assert!(!pusht(&["eval", "--seeds", "5..5"], "").status.success());
}

#[test]
fn render_writes_an_episode_as_gif_or_a_moment_as_png() {
    let folder = tempfile::tempdir().unwrap();
    let render = |file: &str, more: &[&str]| {
        let path = folder.path().join(file);
        let args = ["render", "--seed", "3", "--size", "96", "--out"];
        let out = [path.to_str().unwrap()];
        let output = pusht(&[&args[..], &out, more].concat(), "");
        (output, std::fs::read(&path))
    };
    let (output, file) = render("episode.gif", &[]);
    assert!(output.status.success());
    assert_eq!(&file.unwrap()[..6], b"GIF89a");
    let moments = [&[], ["--tick", "0"].as_slice(), &["--tick", "9"]];
    let moments = moments.map(|tick| render("moment.png", tick).1.unwrap());
    for (index, moment) in moments.iter().enumerate() {
        assert_eq!(&moment[1..4], b"PNG");
        assert!(!moments[..index].contains(moment), "one is like another");
    }
    let exact = ["--style", "gym-pusht", "--tick", "0"];
    let (output, moment) = render("moment.png", &exact);
    assert!(output.status.success());
    assert!(
        !moments.contains(&moment.unwrap()),
        "one style is like another"
    );
    for (file, more, words) in [
        (
            "episode.jpeg",
            [].as_slice(),
            ["episode.jpeg", ".gif or .png"],
        ),
        ("episode.gif", &exact[..2], ["--style gym-pusht", ".png"]),
        (
            "moment.png",
            &["--style", "gym-pusht", "--tick", "299"],
            ["--tick 299", "seed 3"],
        ),
        ("moment.png", &["--tick", "299"], ["--tick 299", "seed 3"]),
        ("episode.gif", &["--tick", "3"], ["--tick", "GIF"]),
    ] {
        assert_refused(&render(file, more).0, &words);
    }
    assert!(!folder.path().join("episode.jpeg").exists());
}

#[test]
fn info_says_what_a_policy_is_of_either_kind() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let (best, small) = ("-140.8527 to 138.8277", "-76.9761 to 76.0416");
    for (file, words) in [
        (
            "pusht.safetensors",
            ["736322", "1558016", best, "32-bit floats"],
        ),
        ("pusht.ptm", ["736322", "1558016", best, "4 of 100 steps"]),
        (
            "pusht-small.safetensors",
            ["106914", "180288", small, "DDIM"],
        ),
        (
            "pusht-small.ptm",
            ["106914", "180288", small, "1 of 100 steps"],
        ),
    ] {
        let all = [
            "pusht/vertices",
            "global, 36 values",
            "clip 1",
            "vertex_7_y 36.5",
            " px from agent_x",
            "pusht train",
        ];
        let words = words.into_iter().chain(all);
        let output = pusht(&["info", models.join(file).to_str().unwrap()], "");
        let text = String::from_utf8(output.stdout).unwrap();
        for word in words {
            assert!(text.contains(word), "{file}: no `{word}` in {text}");
        }
    }
}

#[test]
fn info_says_what_a_float_policy_needs_in_integers() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let path = models.join("pusht.safetensors");
    let output = pusht(&["info", path.to_str().unwrap()], "");
    let text = String::from_utf8(output.stdout).unwrap();
    for words in [
        "a model file of 753368 bytes",
        "scratch of 1516 words",
        "nrf52840-dk (Cortex-M4F): flash 808 of 1024 KiB, RAM 15 of 224 KiB, a plan about 6.5",
        "microbit (Cortex-M0+): flash 794 of 256 KiB, RAM 21 of 16 KiB, does not fit",
    ] {
        assert!(text.contains(words), "no `{words}` in {text}");
    }
    let local = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/golden/import/diffusion_policy_local.ckpt"
    );
    let folder = tempfile::tempdir().unwrap();
    let imported = folder.path().join("local.safetensors");
    let imported = imported.to_str().unwrap();
    assert!(
        pusht(
            &["import", local, "--observation", "state", "--out", imported],
            ""
        )
        .status
        .success()
    );
    let output = pusht(&["info", imported], "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("conditioning: local has no integer path"),
        "{text}"
    );
}

#[test]
fn bench_vector_prints_every_way_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("vector.json");
    let arguments = [
        "bench",
        "vector",
        "--sizes",
        "1,40",
        "--seconds",
        "0.01",
        "--json",
    ];
    let output = pusht(&[&arguments[..], &[json.to_str().unwrap()]].concat(), "");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}");
    assert!(stdout.contains("skipped: gymnasium"), "{stdout}");
    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let figures = report["figures"].as_array().unwrap();
    // Worker processes are there on Unix alone.
    let n_ways = if cfg!(unix) { 5 } else { 4 };
    assert_eq!(figures.len(), 2 * n_ways, "{figures:?}");
    assert!(
        figures
            .iter()
            .all(|figure| figure["steps_per_s"].as_f64() > Some(0.0))
    );
    assert!(report["cores_gains"][1][1].as_f64() > Some(0.0));
    assert!(report["gymnasium_async_gain"].is_null());
    for figure in figures {
        assert!(stdout.contains(figure["name"].as_str().unwrap()));
    }
}

#[test]
fn bench_vector_says_what_is_wrong() {
    let bench = |arguments: &[&str]| pusht(&[&["bench", "vector"], arguments].concat(), "");
    let output = bench(&["--sizes", "1", "--gym-pusht", "/no/such/python"]);
    assert_refused(&output, &["/no/such/python", "can't be started"]);
    assert_refused(
        &bench(&["--sizes", "1", "--gym-pusht", "false"]),
        &["false"],
    );
}

#[test]
fn bench_env_prints_steps_and_shares() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("env.json");
    let json = path.to_str().unwrap();
    let words = [
        "bench",
        "env",
        "--rounds",
        "1",
        "--seconds",
        "0.02",
        "--json",
        json,
    ];
    let output = Command::new(env!("CARGO_BIN_EXE_pusht"))
        .args(words)
        .env_remove("PUSHT_DATASET")
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stdout.matches("skipped:").count(), 2, "{stdout}");
    let figures: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for (figure, name) in figures
        .as_array()
        .unwrap()
        .iter()
        .zip(["chase", "walls", "squeeze"])
    {
        assert_eq!(figure["sequences"], name);
        assert!(figure["steps_per_s"].as_f64().unwrap() > 100.0, "{figure}");
        let share = |phase: &str| figure["shares"][phase].as_f64().unwrap();
        let sum = share("physics") + share("contacts") + share("coverage");
        assert!((sum - 1.0).abs() < 1e-9, "{figure}");
        assert!(
            share("physics") > 0.0 && share("contacts") > 0.0,
            "{figure}"
        );
    }
}

#[test]
fn bench_env_says_what_is_wrong() {
    let output = pusht(&["bench", "env", "--data", "/nowhere/pusht.zip"], "");
    assert_refused(&output, &["/nowhere/pusht.zip"]);
    let output = pusht(
        &[
            "bench",
            "env",
            "--rounds",
            "1",
            "--gym-pusht",
            "/nowhere/python",
        ],
        "",
    );
    assert_refused(&output, &["/nowhere/python"]);
}

/// Names of files (Windows has none with such characters), texts in them, and arguments.
#[cfg(unix)]
#[test]
fn no_text_from_outside_reaches_the_terminal_as_an_escape_sequence() {
    let folder = tempfile::tempdir().unwrap();
    // A model file whose task's name moves the cursor.
    let mut bytes = shipped_model();
    let at = bytes.windows(6).position(|word| word == b"pusht/").unwrap();
    bytes[at..at + 3].copy_from_slice(b"\x1b[A");
    let end = bytes.len() - 4;
    let checksum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&bytes[..end]);
    bytes[end..].copy_from_slice(&checksum.to_le_bytes());
    let path = folder.path().join("\u{1b}[2J\u{9b}1m\u{202e}.ptm");
    std::fs::write(&path, &bytes).unwrap();
    let (path, missing) = (path.to_str().unwrap(), "\u{1b}[2J missing.ptm");
    for args in [
        &["info", path][..],
        &["info", missing],
        &["eval", "--policy", path, "--seeds", "0..1"],
        &["predict", "--policy", missing],
        &["quantize", "--policy", path, "--out", missing],
        &["import", missing, "--out", missing],
        // clap leaves such a sequence out.
        &["render", "--seed", "\u{1b}[2J"],
        &["info", path, missing],
        &[missing],
    ] {
        let output = pusht(args, "");
        let shown = [output.stdout, output.stderr].concat();
        let shown = String::from_utf8(shown).unwrap();
        let obeyed = |c: char| c != '\n' && c.is_control() || c == '\u{202e}';
        assert!(!shown.contains(obeyed), "{args:?}: {shown:?}");
        let is_named = ["\\u001b[", "\\u{1b}["]
            .iter()
            .any(|code| shown.contains(code));
        let is_left_out = shown.contains("For more information");
        assert!(is_named || is_left_out, "{args:?}: {shown:?}");
    }
}
