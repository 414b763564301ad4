//! `pusht rollout` and `pusht replay` as a user meets them.

use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
use std::path::PathBuf;
use std::process::{Command, Output};

const ACTIONS: &str = "action_x,action_y\n300,250\n310.5,-20\n1e2,0.1\n";

fn pusht(args: &[&str]) -> Output {
    let pusht = env!("CARGO_BIN_EXE_pusht");
    Command::new(pusht).args(args).output().unwrap()
}

/// A folder with a file of actions, the path of that file, and the path for the trajectory.
fn folder(actions: &str) -> (tempfile::TempDir, String, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (actions_path, out) = (
        folder.path().join("actions.csv"),
        folder.path().join("out.csv"),
    );
    std::fs::write(&actions_path, actions).unwrap();
    (folder, actions_path.to_str().unwrap().to_owned(), out)
}

/// Fails unless `rollout` refuses the actions with one line that holds `words`, and writes nothing.
#[track_caller]
fn assert_refused(actions: &str, start: &[&str], words: &[&str]) {
    let (_folder, actions, out) = folder(actions);
    let files = ["--actions", &actions, "--out", out.to_str().unwrap()];
    let output = pusht(&[&["rollout"], start, &files].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "accepted");
    for word in words {
        assert!(stderr.contains(word), "no `{word}` in: {stderr}");
    }
    assert!(!out.exists(), "wrote a file all the same");
}

#[test]
fn written_numbers_read_back_bit_for_bit() {
    let (_folder, actions, out) = folder(ACTIONS);
    let files = ["--actions", &actions, "--out", out.to_str().unwrap()];
    let output = pusht(
        &[
            &["rollout", "--seed", "3", "--seeding", "pcg64"][..],
            &files,
        ]
        .concat(),
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let start = StartState::from_seed(3, Seeding::Pcg64).unwrap();
    let mut env = PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy).unwrap();
    let text = std::fs::read_to_string(out).unwrap();
    let mut lines = text.lines();
    let header = "t,agent_x,agent_y,agent_vx,agent_vy,block_x,block_y,block_angle,coverage,reward,terminated,contacts";
    assert_eq!(lines.next(), Some(header));
    for (t, line) in lines.by_ref().take(4).enumerate() {
        if t > 0 {
            env.step([[300.0, 250.0], [310.5, -20.0], [100.0, 0.1]][t - 1])
                .unwrap();
        }
        let (info, now) = (env.info(), env.current());
        let expected = [
            info.agent_pos_px.x,
            info.agent_pos_px.y,
            info.agent_vel.x,
            info.agent_vel.y,
            info.block_pos_px.x,
            info.block_pos_px.y,
            info.block_angle_rad,
            now.coverage,
            now.reward,
        ];
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields[0], t.to_string());
        for (field, expected) in fields[1..10].iter().zip(expected) {
            let value: f64 = field.parse().unwrap();
            assert_eq!(
                value.to_bits(),
                expected.to_bits(),
                "row {t}: {field} is not {expected}"
            );
        }
        assert_eq!(
            fields[10..],
            [now.terminated.to_string(), info.n_contacts.to_string()]
        );
    }
    assert_eq!(lines.next(), None);
}

/// Setting the angle moves the origin of the block, so the two orders start in different poses.
#[test]
fn the_order_of_a_start_state_is_obeyed() {
    let state = ["--state", "100,100,256,300,0.5"];
    let start_row = |order: &str| {
        let (_folder, actions, out) = folder("action_x,action_y\n");
        let files = [
            "--order",
            order,
            "--actions",
            &actions,
            "--out",
            out.to_str().unwrap(),
        ];
        let output = pusht(&[&["rollout"], &state[..], &files].concat());
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        std::fs::read_to_string(out)
            .unwrap()
            .lines()
            .nth(1)
            .unwrap()
            .to_owned()
    };
    assert!(start_row("angle-first").contains(",256,300,0.5,"));
    assert!(!start_row("legacy").contains(",256,300,0.5,"));
}

#[test]
fn a_bad_action_is_refused_with_its_place() {
    let seed = ["--seed", "0"];
    assert_refused(
        "action_x,action_y\n1,2\nNaN,2\n",
        &seed,
        &["actions.csv", "line 3", "action_x", "NaN"],
    );
    assert_refused(
        "action_x,action_y\n1,inf\n",
        &seed,
        &["line 2", "action_y", "inf"],
    );
    assert_refused(
        "action_x,action_y\n1,east\n",
        &seed,
        &["line 2", "action_y", "east"],
    );
    assert_refused(
        "action_x,action_y\n1\n",
        &seed,
        &["line 2", "2 values needed, 1 given"],
    );
    assert_refused(
        "action_x,action_y\n1e200,1\n1e308,1\n",
        &seed,
        &["too large"],
    );
    assert_refused("x,y\n1,2\n", &seed, &["line 1", "header"]);
    assert_refused("", &seed, &["line 1", "header"]);
}

#[test]
fn a_bad_start_is_refused() {
    assert_refused(
        ACTIONS,
        &["--state", "1,2,3,4"],
        &["5 numbers needed, 4 given"],
    );
    assert_refused(ACTIONS, &["--state", "1,2,3,4,east"], &["east"]);
    for value in ["NaN", "inf", "1e308", "-1000001"] {
        let state = format!("1,2,3,4,{value}");
        let words = [value, "not a number from -1000000 to 1000000"];
        assert_refused(ACTIONS, &["--state", &state], &words);
    }
    assert_refused(ACTIONS, &["--seed", "4294967296"], &["--seed 4294967296"]);
    assert_refused(
        ACTIONS,
        &["--seed", "1", "--state", "1,2,3,4,5"],
        &["cannot be used with"],
    );
    assert_refused(ACTIONS, &[], &["required"]);
}

#[test]
#[cfg(feature = "demonstrations")]
fn demonstrations_replay_within_the_tolerance_of_their_record() {
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let dataset = std::env::var_os("PUSHT_DATASET").map_or_else(
        || repository.join("../shared/data/pusht.zip"),
        PathBuf::from,
    );
    if !dataset.exists() {
        println!(
            "skipped: no demonstrations at {}; set PUSHT_DATASET",
            dataset.display()
        );
        return;
    }
    let dataset = dataset.to_str().unwrap();
    let output = pusht(&["replay", dataset]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let strict = pusht(&["replay", dataset, "--tolerance-px", "1e-9"]);
    assert!(
        !strict.status.success(),
        "a record in single precision can't be met to 1e-9 px"
    );
    assert!(String::from_utf8_lossy(&strict.stderr).contains("206 of 206 episodes are beyond"));
}

#[test]
fn a_missing_dataset_is_refused_by_name() {
    let output = pusht(&["replay", "no-such.zip"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-such.zip"));
}

#[test]
#[cfg(not(feature = "demonstrations"))]
fn a_build_without_demonstrations_names_the_missing_feature() {
    let output = pusht(&["replay", "pusht.zip"]);
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("pusht.zip"), "{message}");
    assert!(message.contains("--features demonstrations"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}
