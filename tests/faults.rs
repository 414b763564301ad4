//! Provoked faults: each is logged with its place and ends in a restart that knows the reason.

use crate::{boards, expected_log};
use pusht_device::{B_L475E_IOT01A, BOARDS, Board, Log, NETDUINOPLUS2, build, run};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn every_fault_is_logged_and_known_to_the_next_start() {
    for board in boards() {
        run_to_the_end("faults", &board);
    }
}

/// What QEMU does not model of the part is done without, and said: nothing else is.
#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn a_physical_boards_image_logs_what_qemu_lacks() {
    for (board, absent) in [
        (B_L475E_IOT01A, ["PWR", "FLASH.ACR", "IWDG", "DWT"]),
        (NETDUINOPLUS2, ["FLASH.ACR", "PLL", "IWDG", "DWT"]),
    ] {
        if boards().contains(&board) {
            let log = run_to_the_end("faults", &board);
            assert_eq!(expected_log::absent(&log), absent, "{}", board.name);
        }
    }
}

/// The fault handlers log, and a log message within another one panics: handled once, not again.
/// The stand-in for the watchdog of boards in QEMU that exist is an interrupt, which a message masks.
#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn a_watchdog_timeout_within_a_log_message_ends_in_a_restart() {
    for board in BOARDS {
        run_to_the_end("fault-in-a-message", &board);
    }
}

/// The expected log lists each fault and its place, in the order of the restarts.
fn run_to_the_end(binary: &str, board: &Board) -> Log {
    let elf = build(binary, board, None).unwrap();
    let log = run(board, &elf, LIMIT, |line| {
        println!("{}: {line}", board.name)
    })
    .unwrap();
    assert_eq!(log.exit_code, Some(0), "{}: {:#?}", board.name, log.lines);
    expected_log::compare(binary, board, &log);
    log
}
