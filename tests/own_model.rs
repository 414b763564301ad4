//! The firmware with a model file that `cargo firmware --model` names: any policy builds, and a
//! binary that cannot play its episode says why in one line.

use crate::{LIMIT, N_PLANS, assert_bits, microbit};
use pusht_core::quant::{self, Model};
use pusht_device::{BOARDS, Board, Log, MICROBIT, Setup, build, run_with};
use std::path::{Path, PathBuf};

const INPAINTING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/integer/inpainting.ptm");
const SMALL: &[u8] = include_bytes!("../models/pusht-small.ptm");

fn run_model(binary: &str, board: &Board, model: &Path) -> Log {
    let elf = build(binary, board, Some(model)).unwrap();
    let show = |line: &str| println!("{binary} on {}: {line}", board.name);
    run_with(
        &Setup::of(binary, board, 0).unwrap(),
        board,
        &elf,
        LIMIT,
        show,
    )
    .unwrap()
}

/// The only line of the log of a run that failed.
fn reason(log: &Log) -> &str {
    assert_eq!(log.exit_code, Some(1), "{log:?}");
    let [line] = log.lines.as_slice() else {
        panic!("not one line: {:#?}", log.lines);
    };
    line
}

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn inpainting_has_the_hosts_bits() {
    let bytes = std::fs::read(INPAINTING).unwrap();
    let model = Model::parse(&bytes).unwrap();
    let mut scratch = vec![0; model.scratch_len()];
    let expected = quant::selftest(&model, &mut scratch, N_PLANS).unwrap();
    for board in [BOARDS[0], MICROBIT] {
        let log = run_model("plans", &board, Path::new(INPAINTING));
        assert_eq!(log.exit_code, Some(0), "{log:?}");
        assert_bits(&log, "plans_digest", expected);
    }
}

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn a_policy_that_wins_no_episode_runs_everything_but_the_episodes() {
    let model = Path::new(microbit::MODEL);
    for binary in ["plans", "selftest", "bench"] {
        let log = run_model(binary, &BOARDS[0], model);
        assert_eq!(log.exit_code, Some(0), "{binary}: {log:?}");
    }
    build("controller", &BOARDS[0], Some(model)).unwrap();
    for binary in ["episode", "disturbed", "realtime"] {
        let log = run_model(binary, &BOARDS[0], model);
        assert!(reason(&log).contains("the policy wins none"), "{log:?}");
    }
}

/// All actions of a plan but the one of the older observation.
#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn a_policy_without_room_for_the_delay_runs_everything_but_real_time() {
    let folder = tempfile::tempdir().unwrap();
    let model = with_action_steps(3, folder.path());
    let log = run_model("episode", &BOARDS[0], &model);
    assert_eq!(log.exit_code, Some(0), "{log:?}");
    let log = run_model("realtime", &BOARDS[0], &model);
    assert!(reason(&log).contains("smaller --n-action-steps"), "{log:?}");
}

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn a_model_that_a_board_has_no_room_for_does_not_build() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/pusht.ptm");
    assert!(build("plans", &MICROBIT, Some(&model)).is_err());
}

/// The small model, executing `n` actions per plan.
fn with_action_steps(n: u32, folder: &Path) -> PathBuf {
    const AT: usize = 40;
    let mut bytes = SMALL.to_vec();
    bytes[AT..AT + 4].copy_from_slice(&n.to_le_bytes());
    let end = bytes.len() - 4;
    let checksum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&bytes[..end]);
    bytes[end..].copy_from_slice(&checksum.to_le_bytes());
    let path = folder.join("small.ptm");
    std::fs::write(&path, &bytes).unwrap();
    path
}
