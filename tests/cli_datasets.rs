//! Datasets as a user of the command line meets them: `pusht collect`, `replay`, `quantize --data`.

mod program;

use program::{assert_refused, pusht};
use std::path::Path;
use std::process::Output;

fn stdout(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn collect(out: &Path, options: &[&str]) -> Output {
    let out = out.to_str().unwrap();
    let fixed = ["collect", "--out", out, "--samples", "24"];
    pusht(&[&fixed, options].concat(), "")
}

#[test]
fn a_folder_is_not_collected_into_twice() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("some.zarr");
    stdout(&collect(&out, &["--attempts", "1"]));
    let again = collect(&out, &["--attempts", "1"]);
    assert_refused(&again, &["some.zarr", "--resume"]);
}

#[test]
#[cfg(not(feature = "demonstrations"))]
fn a_build_without_demonstrations_writes_no_lerobot_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dataset");
    let output = collect(&out, &["--attempts", "1", "--format", "lerobot"]);
    assert_refused(&output, &["--format lerobot", "--features demonstrations"]);
    assert!(!out.exists());
}

#[cfg(feature = "demonstrations")]
mod with_demonstrations {
    use super::*;
    use std::path::PathBuf;

    fn recorded(name: &str) -> PathBuf {
        let recorded = "../tests/golden/demonstrations/recorded";
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(recorded)
            .join(name)
    }

    #[test]
    fn recordings_of_other_programs_replay_within_the_tolerance() {
        for name in ["lerobot", "zarr2_zstd", "zarr3"] {
            let text = stdout(&pusht(&["replay", recorded(name).to_str().unwrap()], ""));
            assert!(text.contains("3 episodes, 29 steps"), "{name}: {text}");
        }
    }

    #[test]
    fn a_lerobot_dataset_is_continued_and_replays() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("dataset");
        let path = out.to_str().unwrap();
        stdout(&collect(&out, &["--attempts", "1", "--format", "lerobot"]));
        assert!(stdout(&pusht(&["replay", path], "")).contains("1 episodes"));
        let more = ["--attempts", "2", "--format", "lerobot", "--resume"];
        stdout(&collect(&out, &more));
        let text = stdout(&pusht(&["replay", path], ""));
        assert!(
            text.contains("2 episodes") && text.contains("seed 1000001"),
            "{text}"
        );
    }

    #[test]
    fn a_run_goes_on_in_the_format_that_it_began_in() {
        let folder = tempfile::tempdir().unwrap();
        let (dataset, zarr) = (folder.path().join("dataset"), folder.path().join("zarr"));
        stdout(&collect(
            &dataset,
            &["--attempts", "1", "--format", "lerobot"],
        ));
        stdout(&collect(&zarr, &["--attempts", "1"]));
        let output = collect(&dataset, &["--attempts", "2", "--resume"]);
        assert_refused(&output, &["dataset", "begun with --format lerobot"]);
        let output = collect(
            &zarr,
            &["--attempts", "2", "--resume", "--format", "lerobot"],
        );
        assert_refused(&output, &["zarr", "no recording.zarr to go on with"]);
        let output = collect(&dataset, &["--attempts", "2", "--format", "lerobot"]);
        assert_refused(&output, &["dataset", "already there", "--resume"]);
    }

    #[test]
    fn a_policy_is_quantised_on_a_lerobot_dataset() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("policy.ptm");
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
        let policy = models.join("pusht-small.safetensors");
        let output = pusht(
            &[
                "quantize",
                "--policy",
                policy.to_str().unwrap(),
                "--data",
                recorded("lerobot").to_str().unwrap(),
                "--out",
                out.to_str().unwrap(),
                "--compare",
                "20",
            ],
            "",
        );
        assert!(stdout(&output).contains("actions of 20 plans"));
        let info = stdout(&pusht(&["info", out.to_str().unwrap()], ""));
        assert!(
            info.contains("calibrated on") && info.contains("lerobot"),
            "{info}"
        );
    }
}
