//! The firmware in QEMU against the host.

use pusht_core::selftest::physics_digest;
use pusht_device::{BOARDS, build, run};
use std::time::Duration;

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn a_board_computes_something_else_than_the_host() {
    let physics_digest = format!("{:#018x}", physics_digest().unwrap());
    for board in BOARDS {
        let elf = build("selftest", &board).unwrap();
        let log = run(&board, &elf, Duration::from_secs(120), |_| ()).unwrap();
        assert_eq!(log.value("board").unwrap(), board.name);
        assert_eq!(
            log.value("physics_digest").unwrap(),
            physics_digest,
            "{}",
            board.name
        );
        assert_eq!(log.exit_code, Some(0), "{}: {:#?}", board.name, log.lines);
    }
}
