//! The doors of the command line: arguments, input files, output files and standard output.
#![cfg(unix)]

mod program;

use program::{assert_bad_argument, assert_refused, pusht};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const STATE: &str = "222,97,222,300,0.5";
const ACTIONS: &str = "action_x,action_y\n300,250\n310,260\n";

fn model(name: &str) -> String {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    models.join(name).to_str().unwrap().to_owned()
}

/// Standard output that nobody reads.
fn broken() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn full() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

/// Runs `pusht` with this standard output, and one observation as its input.
fn pusht_to(stdout: Stdio, args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input");
    fs::write(
        &input,
        format!("{{\"obs\": [[{STATE}],[{STATE}]], \"seed\": 7}}\n"),
    )
    .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pusht"));
    command
        .args(args)
        .stdin(File::open(input).unwrap())
        .stdout(stdout);
    command
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap()
}

/// Runs a line of the shell, in which `$0` is `pusht`, in a folder.
fn shell(folder: &Path, line: &str) -> Output {
    let mut command = Command::new("sh");
    command
        .args(["-c", line, env!("CARGO_BIN_EXE_pusht")])
        .current_dir(folder);
    command.output().unwrap()
}

fn printing() -> [Vec<String>; 5] {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect();
    [
        vec!["info".into(), model("pusht-small.ptm")],
        words("predict"),
        words("bench vector --sizes 1 --seconds 0.001"),
        words("--help"),
        words("eval --help"),
    ]
}

#[test]
fn a_broken_standard_output_ends_the_program_quietly() {
    for args in printing() {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = pusht_to(broken(), &args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), stderr.as_ref()),
            (Some(141), ""),
            "{args:?}"
        );
    }
}

#[test]
fn a_full_standard_output_is_told_in_one_line() {
    for args in printing() {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = pusht_to(full(), &args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert_refused(&output, &["error: can't write to standard output"]);
    }
}

#[test]
fn promised_files_are_written_though_standard_output_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("figures.json");
    let json = path.to_str().unwrap();
    let bench = |what: &'static str, more: &[&'static str]| {
        [&["bench", what, "--seconds", "0.001"], more].concat()
    };
    for command in [
        bench("vector", &["--sizes", "1"]),
        bench("env", &["--rounds", "1"]),
        bench("pixels", &["--rounds", "1"]),
        vec!["eval", "--seeds", "5..6"],
    ] {
        for stdout in [broken(), full()] {
            let args = [&command[..], &["--json", json]].concat();
            let output = pusht_to(stdout, &args);
            assert!(!output.status.success(), "{command:?}");
            let figures: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            assert!(!figures.is_null(), "{command:?}");
            fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
fn an_error_that_cannot_be_told_is_still_an_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pusht"));
    command.args(["info", "no-such-file"]).stderr(full());
    assert_eq!(command.status().unwrap().code(), Some(1));
}

#[test]
fn a_file_gets_the_umask_and_an_old_one_keeps_its_mode() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.csv"), ACTIONS).unwrap();
    let line = "umask 027; \"$0\" rollout --seed 3 --actions in.csv --out out.csv";
    let mode = || {
        let metadata = fs::metadata(folder.path().join("out.csv")).unwrap();
        metadata.permissions().mode() & 0o7777
    };
    assert!(shell(folder.path(), line).status.success());
    assert_eq!(mode(), 0o640);
    let open = fs::Permissions::from_mode(0o606);
    fs::set_permissions(folder.path().join("out.csv"), open).unwrap();
    assert!(shell(folder.path(), line).status.success());
    assert_eq!(mode(), 0o606);
}

/// The shell lets no file grow beyond a block; the signal for it is ignored, as on a full disk.
#[test]
fn a_full_disk_leaves_the_old_file_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let actions = ACTIONS.to_owned() + &"300,250\n".repeat(40);
    fs::write(folder.path().join("in.csv"), actions).unwrap();
    fs::write(folder.path().join("out.csv"), "old").unwrap();
    let line = "trap '' XFSZ; ulimit -f 1; \
                exec \"$0\" rollout --seed 3 --actions in.csv --out out.csv";
    assert_refused(&shell(folder.path(), line), &["out.csv: can't write"]);
    assert_eq!(fs::read(folder.path().join("out.csv")).unwrap(), b"old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

/// What else is wrong with these commands would be found later.
#[test]
fn an_output_that_cannot_be_written_is_refused_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let below = folder.path().join("file/out.png");
    let below = below.to_str().unwrap();
    for command in [
        vec![
            "eval",
            "--seeds",
            "0..1000000",
            "--policy",
            "missing",
            "--json",
        ],
        vec!["rollout", "--seed", "3", "--actions", "missing", "--out"],
        vec!["render", "--seed", "3", "--policy", "missing", "--out"],
        vec!["quantize", "--policy", "missing", "--out"],
        vec!["import", "missing", "--out"],
        vec![
            "collect",
            "--attempts",
            "1000000000",
            "--seeding",
            "pcg64",
            "--out",
        ],
        vec!["bench", "env", "--gym-pusht", "missing", "--json"],
        vec!["bench", "pixels", "--gym-pusht", "missing", "--json"],
        vec!["bench", "vector", "--gym-pusht", "missing", "--json"],
        vec!["bench", "plan", "--board", "missing", "--json"],
    ] {
        let output = pusht(&[&command[..], &[below]].concat(), "");
        assert_refused(&output, &[below, "can't write"]);
    }
}

#[test]
fn a_result_can_go_to_the_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.csv"), ACTIONS).unwrap();
    let rollout = "\"$0\" rollout --seed 3 --actions in.csv --out";
    let to_file = shell(folder.path(), &format!("{rollout} out.csv && cat out.csv"));
    for line in [
        format!("{rollout} /dev/stdout"),
        format!("{rollout} /dev/stdout | cat"),
        format!("{rollout} /dev/fd/3 3>other.csv && cat other.csv"),
        format!("echo before > all; {rollout} /dev/stdout >> all; tail -n +2 all"),
        format!("{rollout} /dev/stderr 2>&1"),
    ] {
        let output = shell(folder.path(), &line);
        assert!(output.status.success(), "{line}: {output:?}");
        assert!(output.stdout == to_file.stdout, "{line}");
    }
}

/// Paths of what may never end: a link to a device, and a FIFO.
fn endless(folder: &Path, ending: &str) -> [PathBuf; 2] {
    let [link, fifo] = ["link", "fifo"].map(|name| folder.join(format!("{name}{ending}")));
    symlink("/dev/zero", &link).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    [link, fifo]
}

/// Runs the command, but neither for ever nor with all memory.
fn bounded(folder: &Path, args: &[&str]) -> Output {
    let line = "ulimit -v 16000000; exec timeout 60 \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", line, env!("CARGO_BIN_EXE_pusht")])
        .args(args);
    command.current_dir(folder).output().unwrap()
}

#[test]
fn an_input_that_may_never_end_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let endless: Vec<PathBuf> = ["", ".npy", ".safetensors", ".zip"]
        .iter()
        .flat_map(|ending| endless(folder.path(), ending))
        .collect();
    let policy = model("pusht-small.safetensors");
    let quantize = [
        "quantize", "--policy", &policy, "--out", "out.ptm", "--data",
    ];
    for path in &endless {
        let path = path.to_str().unwrap();
        for command in [
            &["info"][..],
            &["eval", "--policy"],
            &["predict", "--policy"],
            &["render", "--seed", "3", "--out", "out.gif", "--policy"],
            &["collect", "--attempts", "1", "--out", "out", "--policy"],
            &["quantize", "--out", "out.ptm", "--policy"],
            &["import", "--out", "out.safetensors"],
            &["import", "nothing", "--out", "out.safetensors", "--task"],
            &["rollout", "--seed", "3", "--out", "out.csv", "--actions"],
            &quantize,
        ] {
            // The ending alone says that a file is one of windows, or no checkpoint.
            let is_read = match command.last() {
                Some(&"--data") => path.ends_with(".npy") || path.ends_with(".safetensors"),
                Some(&"out.safetensors") => !path.ends_with(".safetensors"),
                _ => true,
            };
            if is_read {
                let output = bounded(folder.path(), &[command, &[path]].concat());
                assert_refused(&output, &[path, "not a regular file"]);
            }
        }
        #[cfg(feature = "demonstrations")]
        for command in [&["replay"][..], &["bench", "env", "--data"]] {
            let output = bounded(folder.path(), &[command, &[path]].concat());
            assert_refused(&output, &[path, "not a regular file"]);
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), endless.len());
}

#[test]
fn a_folder_with_a_file_that_may_never_end_is_refused_by_its_name() {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let folder = tempfile::tempdir().unwrap();
    let check = |golden: &str, file: &str, args: &[&str]| {
        for kind in [0, 1] {
            let copy = folder.path().join("copy");
            let copied = Command::new("cp")
                .arg("-r")
                .args([&recorded.join(golden), &copy])
                .status();
            assert!(copied.unwrap().success());
            fs::remove_file(copy.join(file)).unwrap();
            let endless = &endless(folder.path(), "")[kind];
            fs::rename(endless, copy.join(file)).unwrap();
            let output = bounded(folder.path(), &[args, &["copy"]].concat());
            assert_refused(&output, &[file, "not a regular file"]);
            fs::remove_dir_all(&copy).unwrap();
            for name in ["link", "fifo"] {
                let _ = fs::remove_file(folder.path().join(name));
            }
        }
    };
    let import = ["import", "--out", "out.safetensors"];
    for file in ["config.json", "model.safetensors"] {
        check("import/lerobot_processors", file, &import);
    }
    if cfg!(feature = "demonstrations") {
        let recorded = "demonstrations/recorded";
        check(
            &format!("{recorded}/zarr3"),
            "data/state/zarr.json",
            &["replay"],
        );
        check(
            &format!("{recorded}/lerobot"),
            "meta/info.json",
            &["replay"],
        );
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_number_out_of_bounds_is_refused_with_the_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let huge = u64::MAX.to_string();
    let all_seeds = format!("0..{huge}");
    let quantize = ["quantize", "--policy", "missing", "--out", "out.ptm"];
    let collect = ["collect", "--out", "out", "--attempts", "1"];
    let render = ["render", "--seed", "3", "--out", "out.png"];
    for (command, option, values, bounds) in [
        (
            &["eval"][..],
            "--seeds",
            [&all_seeds, "0..1000001"],
            "1 to 1000000",
        ),
        (&["eval"], "--passes", ["0", &huge], "from 1 to 1000"),
        (
            &["eval"],
            "--n-action-steps",
            ["0", &huge],
            "from 1 to 16384",
        ),
        (
            &["predict"],
            "--n-action-steps",
            ["0", &huge],
            "from 1 to 16384",
        ),
        (
            &quantize,
            "--n-action-steps",
            ["0", &huge],
            "from 1 to 16384",
        ),
        (&quantize, "--compare", ["0", &huge], "from 1 to 1000000"),
        (&quantize, "--passes", ["0", &huge], "from 1 to 1000"),
        (
            &quantize,
            "--seeds",
            [&all_seeds, "0..1000001"],
            "1 to 1000000",
        ),
        (
            &quantize,
            "--seeds",
            ["4294967295..4294967297", "4294967296..4294967297"],
            "4294967295",
        ),
        (&collect, "--samples", ["0", &huge], "from 8 to 10000"),
        (&collect, "--corrections", ["0", &huge], "from 1 to 1000"),
        (
            &collect,
            "--correction-steps",
            ["0", &huge],
            "from 1 to 300",
        ),
        (&collect, "--noise-share", ["nan", "1.1"], "from 0 to 1"),
        (&collect, "--near-goal-share", ["nan", "inf"], "from 0 to 1"),
        (&collect, "--near-miss-share", ["nan", "2"], "from 0 to 1"),
        (&collect, "--noise-px", ["nan", "1e308"], "from 0 to 100"),
        (&collect, "--speed-limit", ["nan", "0"], "from 1 to 100"),
        (
            &collect,
            "--stop-coverage",
            ["nan", "1"],
            "from 0.01 to 0.99",
        ),
        (
            &["collect", "--out", "out"],
            "--attempts",
            ["0", &huge],
            "from 1 to 1000000000",
        ),
        (&render, "--tick", ["300", &huge], "from 0 to 299"),
        (&render, "--size", ["0", &huge], "from 16 to 2048"),
        (
            &collect,
            "--seed",
            ["-1", "18446744073709551616"],
            "from 0 to 18446744073709551615",
        ),
        (
            &["replay", "missing"],
            "--tolerance-px",
            ["nan", "inf"],
            "from 0 to 1000000",
        ),
        (
            &["replay", "missing"],
            "--tolerance-rad",
            ["nan", "1e308"],
            "from 0 to 10",
        ),
        (
            &["link", "--tcp", "localhost:1"],
            "--timeout-ms",
            ["0", &huge],
            "from 1 to 600000",
        ),
        (
            &["link", "--tcp", "localhost:1"],
            "--noise",
            ["nan", "101"],
            "from 0 to 100",
        ),
        (
            &["link", "--tcp", "localhost:1"],
            "--baud",
            ["0", &huge],
            "from 50 to 12000000",
        ),
        (
            &["link", "--tcp", "localhost:1"],
            "--seeds",
            [&all_seeds, "0..1000001"],
            "1 to 1000000",
        ),
        (
            &["bench", "vector"],
            "--sizes",
            ["0", &huge],
            "from 1 to 65536",
        ),
        (
            &["bench", "vector"],
            "--seconds",
            ["nan", "1e308"],
            "from 0.001 to 3600",
        ),
        (
            &["bench", "env"],
            "--seconds",
            ["0", "inf"],
            "from 0.001 to 3600",
        ),
        (
            &["bench", "env"],
            "--rounds",
            ["0", &huge],
            "from 1 to 1000",
        ),
        (
            &["bench", "pixels"],
            "--seconds",
            ["nan", "-1"],
            "from 0.001 to 3600",
        ),
        (
            &["bench", "pixels"],
            "--rounds",
            ["0", &huge],
            "from 1 to 1000",
        ),
    ] {
        for value in values {
            let argument = format!("{option}={value}");
            let output = bounded(folder.path(), &[command, &[&argument]].concat());
            assert_bad_argument(&output, &[option, value, bounds]);
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn seeds_that_the_seeding_does_not_take_are_refused_before_the_first_episode() {
    let seeds = ["eval", "--seeds", "4294967290..4294967297"];
    assert_refused(
        &pusht(&seeds, ""),
        &["4294967296", "legacy seeds end at 4294967295"],
    );
    let folder = tempfile::tempdir().unwrap();
    let policy = model("pusht-small.safetensors");
    let out = folder.path().join("out.ptm");
    let args = [
        "--seeds",
        "4294967200..4294967296",
        "--out",
        out.to_str().unwrap(),
    ];
    let output = pusht(
        &[&["quantize", "--policy", &policy][..], &args].concat(),
        "",
    );
    assert_refused(&output, &["--seeds", "the comparison"]);
    let last = ["--seeds", "18446744073709551614..18446744073709551615"];
    let output = pusht(&[&["eval", "--seeding", "pcg64"][..], &last].concat(), "");
    assert!(output.status.success(), "{output:?}");
    assert!(!out.exists());
}

#[test]
fn positions_that_nothing_can_have_are_refused_by_both_engines() {
    for engine in ["int", "float"] {
        for value in ["1e308", "-1e308", "1e300", "1e39"] {
            let mut state = json!([222.0, 97.0, 222.0, 300.0, 0.5]);
            for at in 0..5 {
                state[at] = json!(value.parse::<f64>().unwrap());
                let line = json!({"obs": [state, state], "seed": 7}).to_string();
                let output = pusht(&["predict", "--engine", engine], line);
                let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
                let error = answer["error"].as_str().unwrap();
                assert!(error.contains("beyond"), "{engine} {value}: {error}");
            }
        }
    }
}
