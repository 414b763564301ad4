//! The tests that run on the device (`firmware/tests/on_target.rs`), in QEMU.

use crate::boards;
use pusht_device::{B_L475E_IOT01A, BOARDS, build_tests, run_all, tests_in};

/// On every kind of kernel, and the image that `cargo test` hands to probe-rs. A runner that calls
/// a failure a success would do so here, too, and one that loses the log would not say why.
#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn the_tests_on_the_device_pass_and_the_wrong_one_fails() {
    let chosen = [
        "mps2-an386",
        "mps2-an385-v6m",
        "mps3-an547",
        B_L475E_IOT01A.name,
    ];
    let there = boards();
    for board in there.iter().filter(|board| chosen.contains(&board.name)) {
        let elf = build_tests(board).unwrap();
        let print = |line: &str| println!("{}: {line}", board.name);
        run_all(board, &elf, "", false, print).unwrap();
        let tests = tests_in(&elf).unwrap();
        let wrong = tests.iter().find(|test| test.is_ignored).unwrap();
        let mut log = Vec::new();
        let error = wrong.run(board, &elf, |line| log.push(line.to_owned()));
        let error = error.unwrap_err().to_string();
        assert_eq!(error, "exit code 1", "{}", wrong.name);
        let says_why = |line: &String| line.contains("assertion") && line.contains("on_target.rs");
        assert!(log.iter().any(says_why), "{}: {log:#?}", board.name);
    }
}

/// Programs are not taken for tests.
#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn a_program_has_no_tests() {
    let elf = pusht_device::build("plans", &BOARDS[0], None).unwrap();
    assert_eq!(tests_in(&elf).unwrap(), []);
}
