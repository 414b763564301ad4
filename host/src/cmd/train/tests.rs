use super::*;
use clap::Parser;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

/// Writes three episodes of twelve steps as an uncompressed Zarr v2 folder.
fn dataset(folder: &Path) -> PathBuf {
    let path = folder.join("circles.zarr");
    let wave = |n: usize| (0..n).map(|i| 256.0 + 100.0 * (i as f32).sin());
    let f32s = |n: usize| wave(n).flat_map(f32::to_le_bytes).collect::<Vec<u8>>();
    let ends = [12_i64, 24, 36]
        .iter()
        .flat_map(|e| e.to_le_bytes())
        .collect();
    let arrays: [(&str, &str, &[usize], Vec<u8>); 3] = [
        ("data/state", "<f4", &[36, 5], f32s(180)),
        ("data/action", "<f4", &[36, 2], f32s(72)),
        ("meta/episode_ends", "<i8", &[3], ends),
    ];
    for (name, dtype, shape, bytes) in arrays {
        let array = path.join(name);
        fs::create_dir_all(&array).unwrap();
        let metadata = serde_json::json!({
            "zarr_format": 2, "shape": shape, "chunks": shape, "dtype": dtype, "compressor": null,
            "fill_value": 0, "order": "C", "filters": null,
        });
        fs::write(array.join(".zarray"), metadata.to_string()).unwrap();
        fs::write(array.join(vec!["0"; shape.len()].join(".")), bytes).unwrap();
    }
    path
}

/// Runs the command on the dataset with a small network and further options.
fn train(folder: &Path, out: &Path, options: &[&str]) -> Result<()> {
    let data = dataset(folder);
    let small = [
        "--steps",
        "8",
        "--batch",
        "8",
        "--warmup-steps",
        "2",
        "--down-dims",
        "8,16",
        "--log-every",
        "2",
        "--checkpoint-every",
        "4",
        "--validation-episodes",
        "1",
    ];
    let paths = [
        "train",
        "--data",
        data.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ];
    let all = paths.iter().chain(&small).chain(options);
    // A later option overrides an earlier one.
    let command = <Cli as clap::CommandFactory>::command().args_override_self(true);
    let matches = command.try_get_matches_from(all)?;
    run(&<Cli as clap::FromArgMatches>::from_arg_matches(&matches)?.args)
}

fn error_of(folder: &Path, out: &Path, options: &[&str]) -> String {
    let error = train(folder, out, options).unwrap_err();
    let message = format!("{error:#}");
    if error.is::<clap::Error>() {
        return message;
    }
    assert!(
        !message.trim_end().contains('\n'),
        "more than one line: {message}"
    );
    message
}

#[test]
fn a_killed_run_ends_with_the_files_of_a_run_in_one_go() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    train(folder.path(), &out, &[]).unwrap();
    let last = out.join("checkpoint-00000008.safetensors");
    let (policy, log) = (out.join("policy.safetensors"), out.join("log.csv"));
    let (_, state) = checkpoint::load_newest(&out).unwrap().unwrap();
    let (log_before, policy_before) =
        (fs::read(&log).unwrap(), policy_file::load(&policy).unwrap());

    // Simulates a kill after the last row of the log, before any other write.
    fs::remove_file(&last).unwrap();
    fs::remove_file(&policy).unwrap();
    train(folder.path(), &out, &["--resume"]).unwrap();
    let (_, resumed) = checkpoint::load_newest(&out).unwrap().unwrap();
    assert!(resumed == state);
    assert_eq!(fs::read(&log).unwrap(), log_before);
    assert_eq!(policy_file::load(&policy).unwrap().1, policy_before.1);
}

#[test]
fn the_policy_file_says_how_it_was_made_and_names_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    train(folder.path(), &out, &["--seed", "5"]).unwrap();
    let (config, tensors) = policy_file::load(&out.join("policy.safetensors")).unwrap();
    assert_eq!(config.provenance["seed"], "5");
    assert!(config.provenance["command"].contains("--data circles.zarr --out DIR --steps 8"));
    for value in config.provenance.values() {
        assert!(!value.contains(folder.path().to_str().unwrap()), "{value}");
    }
    assert_eq!(tensors["normalizer.params_dict.obs.scale"].data.len(), 18);
    assert_eq!(
        tensors["normalizer.params_dict.action.offset"].data.len(),
        2
    );
}

#[test]
fn recordings_of_other_programs_are_trained_on() {
    let recorded = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/golden/demonstrations/recorded/"
    );
    let folder = tempfile::tempdir().unwrap();
    let mut losses = Vec::new();
    for name in ["lerobot", "zarr3"] {
        let (data, out) = (format!("{recorded}{name}"), folder.path().join(name));
        let options = ["--data", &data, "--horizon", "8", "--n-action-steps", "7"];
        train(folder.path(), &out, &options).unwrap();
        let (config, _) = policy_file::load(&out.join("policy.safetensors")).unwrap();
        let provenance = &config.provenance["data"];
        assert!(provenance.contains("3 episodes, 29 steps"), "{provenance}");
        let log = fs::read_to_string(out.join("log.csv")).unwrap();
        let last = log.lines().last().unwrap().split(',').nth(2).unwrap();
        losses.push(last.parse::<f64>().unwrap());
    }
    // The same episodes, in single and in double precision.
    assert!((losses[0] - losses[1]).abs() < 1e-3, "{losses:?}");
}

#[test]
fn an_existing_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    train(folder.path(), &out, &[]).unwrap();
    assert!(error_of(folder.path(), &out, &[]).contains("--resume"));
}

#[test]
fn resuming_with_other_settings_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    train(folder.path(), &out, &[]).unwrap();
    let message = error_of(folder.path(), &out, &["--resume", "--seed", "9"]);
    assert!(message.contains("seed 0, now 9"), "{message}");
}

#[test]
fn a_run_goes_on_from_the_newest_whole_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    train(folder.path(), &out, &[]).unwrap();
    let (older, last) = (
        out.join("checkpoint-00000004.safetensors"),
        out.join("checkpoint-00000008.safetensors"),
    );
    let (whole, log) = (
        fs::read(&last).unwrap(),
        fs::read(out.join("log.csv")).unwrap(),
    );
    let not_finite = {
        let mut bytes = whole.clone();
        bytes.splice(whole.len() - 4.., f32::NAN.to_le_bytes());
        bytes
    };
    for damaged in [&[][..], &whole[..whole.len() / 2], &whole[..8], &not_finite] {
        fs::write(&last, damaged).unwrap();
        fs::remove_file(out.join("policy.safetensors")).unwrap();
        train(folder.path(), &out, &["--resume"]).unwrap();
        assert!(fs::read(&last).unwrap() == whole);
        assert!(fs::read(out.join("log.csv")).unwrap() == log);
        policy_file::load(&out.join("policy.safetensors")).unwrap();
    }
    for path in [older, last] {
        fs::write(path, "").unwrap();
    }
    assert!(error_of(folder.path(), &out, &["--resume"]).contains("checkpoint-00000008"));
    // Without --resume it is still a run that nothing overwrites.
    assert!(error_of(folder.path(), &out, &[]).contains("--resume"));
}

#[test]
fn a_run_without_finite_losses_writes_no_policy() {
    let folder = tempfile::tempdir().unwrap();
    for (name, steps) in [("one", "1"), ("some", "8")] {
        let out = folder.path().join(name);
        for episodes in ["0", "1"] {
            let options = [
                "--learning-rate",
                "1e6",
                "--steps",
                steps,
                "--warmup-steps",
                "0",
                "--validation-episodes",
                episodes,
            ];
            let out = out.join(episodes);
            error_of(folder.path(), &out, &options);
            assert!(
                !out.join("policy.safetensors").exists(),
                "{name} {episodes}"
            );
        }
    }
}

#[test]
fn bad_options_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    for options in [
        ["--warmup-steps", "8"],
        ["--learning-rate", "NaN"],
        ["--learning-rate", "0"],
        ["--kernel-size", "4"],
        ["--down-dims", "8,12"],
        ["--down-dims", "8,8,8,8,8"],
        ["--checkpoint-every", "3"],
        ["--validation-episodes", "3"],
        ["--shares", "1,1"],
        ["--shares", "0"],
        ["--horizon", "9"],
        ["--n-action-steps", "16"],
        ["--n-action-steps", "18446744073709551615"],
        ["--down-dims", "4096,4096,4096,4096"],
        ["--warmup-steps", "18446744073709551615"],
        ["--validation-episodes", "18446744073709551615"],
        ["--eval-seeds", "0..18446744073709551615"],
        ["--shares", "nan"],
        ["--eval-action-steps", "16"],
        ["--eval-every", "3"],
        ["--init", "/no/such/policy.safetensors"],
        ["--data", "/no/such/file.zip"],
        ["--relabel-goal", "-1"],
        // The circles never bring the block to the goal.
        ["--relabel-goal", "1"],
    ] {
        let message = error_of(folder.path(), &out, &options);
        assert!(!out.exists(), "{options:?} left files: {message}");
    }
}

#[test]
fn a_run_goes_on_from_another_runs_policy_and_plays_it() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    train(folder.path(), &first, &[]).unwrap();
    let init = first.join("policy.safetensors");
    let more = [
        "--init",
        init.to_str().unwrap(),
        "--learning-rate",
        "1e-9",
        "--eval-every",
        "4",
        "--eval-seeds",
        "200000..200002",
    ];
    train(folder.path(), &second, &more).unwrap();
    let tensors = |path: &Path| {
        policy_file::load(&path.join("policy.safetensors"))
            .unwrap()
            .1
    };
    let (before, after) = (tensors(&first), tensors(&second));
    assert_ne!(before, after);
    for (name, tensor) in &before {
        let differences = tensor.data.iter().zip(&after[name].data);
        assert!(
            differences.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) < 1e-5,
            "{name}"
        );
    }
    let log = fs::read_to_string(second.join("log.csv")).unwrap();
    let scored = log
        .lines()
        .skip(1)
        .filter(|row| !row.ends_with(",,,"))
        .count();
    assert_eq!(scored, 2, "{log}");
    assert!(
        fs::read_to_string(second.join("log.svg"))
            .unwrap()
            .contains("success rate")
    );
    assert!(
        error_of(
            folder.path(),
            &folder.path().join("third"),
            &["--init", init.to_str().unwrap(), "--action-frame", "agent"]
        )
        .contains("--init")
    );
}
