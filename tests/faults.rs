//! Provoked faults: each is logged with its place and ends in a restart that knows the reason.

use crate::expected_log;
use pusht_device::{BOARDS, build, run};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn every_fault_is_logged_and_known_to_the_next_start() {
    run_everywhere("faults");
}

/// The fault handlers log, and a log message within another one panics: handled once, not again.
#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn a_watchdog_timeout_within_a_log_message_ends_in_a_restart() {
    run_everywhere("fault-in-a-message");
}

/// The expected log lists each fault and its place, in the order of the restarts.
fn run_everywhere(binary: &str) {
    for board in BOARDS {
        let elf = build(binary, &board, None).unwrap();
        let log = run(&board, &elf, LIMIT, |line| {
            println!("{}: {line}", board.name)
        })
        .unwrap();
        assert_eq!(log.exit_code, Some(0), "{}: {:#?}", board.name, log.lines);
        expected_log::compare(binary, board.name, &log);
    }
}
