//! Faults on purpose: each ends in a restart that knows why, and in a line of the log that says where.

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
        let mut lines = log.lines.iter();
        for parts in [
            ["start=PowerOrPin", ""],
            ["panicked at", "src/bin/faults.rs"],
            ["start=Panic", ""],
            ["hard fault at pc=0x", "(faults::hard_fault)"],
            ["start=HardFault", ""],
            ["stack overflow: sp=0x", "(faults::overflow)"],
            ["start=StackOverflow", ""],
            ["watchdog: hanging at pc=0x", "(faults::hang)"],
            ["start=Watchdog", ""],
        ] {
            let found = lines.any(|line| parts.iter().all(|part| line.contains(part)));
            assert!(found, "{}: no {parts:?} in {:#?}", board.name, log.lines);
        }
    }
}
