//! `cargo firmware` on a physical board: what it hands to probe-rs, its report, and what it says
//! without one. A script stands in for probe-rs; no board is needed.

use crate::{N_CLOSED_LOOP_STEPS, N_PLANS, boards};
use pusht_core::pusht::rollout::{MAX_CHUNK_LEN, MAX_WINDOW_LEN};
use pusht_core::pusht::selftest::{closed_loop_digest, physics_digest};
use pusht_core::quant::{self, Model};
use pusht_device::report::{self, Bench, Report};
use pusht_device::{B_L475E_IOT01A, build, silicon_page};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

const BOARD: &str = B_L475E_IOT01A.name;
/// Answers as probe-rs does with one probe, keeps the image and the options, and ends as a board.
const PROBE_RS: &str = r#"#!/bin/sh
case "$1" in
    --version) echo "probe-rs 0.0.0" ;;
    list) echo "[0]: a probe -- 0000:0000:0 (test)" ;;
    run)
        folder=${0%/*}
        echo "$@" >"$folder/options"
        for image; do :; done
        /bin/cp "$image" "$folder/image"
        echo "0.000000 info  board=b-l475e-iot01a"
        echo "0.012345       exit_code=0"
        ;;
esac
"#;

/// Runs `cargo firmware` with the programs of `folder` only.
fn firmware(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_firmware"))
        .args(words)
        .args(["--board", BOARD])
        .env("PATH", folder)
        .output()
        .unwrap()
}

fn write_probe_rs(folder: &Path, script: &str) {
    let path = folder.join("probe-rs");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn without_probe_rs_or_a_probe_the_reason_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let none = "#!/bin/sh\necho No debug probes were found.\n";
    for (script, reason) in [
        (None, "error: probe-rs cannot be started; install it with"),
        (Some(none), "error: no debug probe is attached"),
    ] {
        if let Some(script) = script {
            write_probe_rs(folder.path(), script);
        }
        for binary in ["faults", "report"] {
            let output = firmware(folder.path(), &[binary]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                !output.status.success() && said.starts_with(reason),
                "{said}"
            );
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
}

#[test]
#[ignore = "needs the boards' targets: cargo verify"]
fn the_image_that_is_flashed_is_the_one_that_qemu_runs() {
    let folder = tempfile::tempdir().unwrap();
    write_probe_rs(folder.path(), PROBE_RS);
    // Before the tool, whose folder has no compiler: it builds nothing anew.
    let in_qemu = std::fs::read(build("controller", &B_L475E_IOT01A, None).unwrap()).unwrap();
    let paths = format!(
        "{}:{}",
        folder.path().display(),
        std::env::var("PATH").unwrap()
    );
    let output = firmware(Path::new(&paths), &["controller"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let flashed = std::fs::read(folder.path().join("image")).unwrap();
    assert!(flashed == in_qemu, "another image");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("\n   0.000000 info  board="), "{shown}");
    let options = std::fs::read_to_string(folder.path().join("options")).unwrap();
    // A fault and a restart are the firmware's affair.
    for option in [
        "--chip STM32L475VG",
        "--no-catch-hardfault",
        "--no-catch-reset",
    ] {
        assert!(options.contains(option), "{options}");
    }
}

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn a_report_has_the_hosts_digests_a_thousand_plans_and_ten_episodes() {
    if !boards().contains(&B_L475E_IOT01A) {
        return;
    }
    let report = report::report(&B_L475E_IOT01A, &Bench::Qemu, |line| println!("{line}")).unwrap();
    let model = Model::parse(crate::MODEL).unwrap();
    let mut scratch = vec![0; model.scratch_len()];
    let plans = quant::selftest(&model, &mut scratch, N_PLANS).unwrap();
    let closed_loop = closed_loop_digest::<MAX_WINDOW_LEN, MAX_CHUNK_LEN>(
        &model,
        &mut scratch,
        N_CLOSED_LOOP_STEPS,
    );
    let hex = |digest: u64| format!("{digest:#018x}");
    assert_eq!(report.digests.physics, hex(physics_digest().unwrap()));
    assert_eq!(report.digests.plans, hex(plans));
    assert_eq!(report.digests.closed_loop, hex(closed_loop.unwrap()));
    for plans in &report.plans {
        assert_eq!(plans.n, 1000);
        assert!(0 < plans.min && plans.min <= plans.median && plans.median <= plans.max);
    }
    assert_eq!(report.controller, "10 of 10 episodes, bit for bit");
    assert_eq!(report.counter, "timer");
    assert!(report.emulator.is_some() && report.probe.is_none());

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    report::write(&report, &path).unwrap();
    let read: Report = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(read, report);
    let refused = silicon_page::table_of(folder.path())
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("an emulated board has no place"),
        "{refused}"
    );
    let of_a_board = Report {
        emulator: None,
        ..report
    };
    report::write(&of_a_board, &path).unwrap();
    let table = silicon_page::table_of(folder.path()).unwrap();
    assert!(
        table.contains(BOARD) && table.contains("10 of 10"),
        "{table}"
    );
}

#[test]
fn the_page_of_measured_boards_is_what_their_reports_give() {
    let page = std::fs::read_to_string(silicon_page::path()).unwrap();
    assert!(
        page == silicon_page::page().unwrap(),
        "cargo firmware silicon-table"
    );
}
