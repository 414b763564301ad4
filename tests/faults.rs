//! Faults on purpose: each ends in a restart that knows why, and in a line of the log that says where.

use crate::expected_log;
use pusht_device::{BOARDS, build, run};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn a_fault_is_not_logged_or_not_followed_by_a_start_that_knows_it() {
    run_everywhere("faults");
}

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn the_watchdog_within_a_message_of_the_log_leads_to_a_panic_in_the_panic_handler() {
    run_everywhere("fault-in-a-message");
}

/// The log beside the binary has each fault and where it was, in the order of the starts.
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
