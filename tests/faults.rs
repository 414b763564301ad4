//! Faults on purpose: each ends in a restart that knows why, and in a line of the log that says where.

use crate::expected_log;
use pusht_device::{BOARDS, build, run};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn a_fault_is_not_logged_or_not_followed_by_a_start_that_knows_it() {
    for board in BOARDS {
        let elf = build("faults", &board, None).unwrap();
        let log = run(&board, &elf, LIMIT, |line| {
            println!("{}: {line}", board.name)
        })
        .unwrap();
        assert_eq!(log.exit_code, Some(0), "{}: {:#?}", board.name, log.lines);
        // Each fault and where it was, in the order of the starts.
        expected_log::compare("faults", board.name, &log);
    }
}
