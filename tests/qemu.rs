//! The firmware in QEMU against the host.

use pusht_device::{BOARDS, build, run};
use std::time::Duration;

#[test]
#[ignore = "needs QEMU and the board's target: cargo verify"]
fn selftest_of_the_device_fails() {
    for board in BOARDS {
        let elf = build("selftest", &board).unwrap();
        let log = run(&board, &elf, Duration::from_secs(120), |_| ()).unwrap();
        assert_eq!(log.exit_code, Some(0), "{}: {:#?}", board.name, log.lines);
        assert_eq!(log.value("board").unwrap(), board.name);
    }
}
