//! Images of physical boards start in QEMU, with a stand-in for the part's peripherals
//! (`device/stand_in.rs`): a fault before the main loop would show.

use pusht_device::{Board, Part, Run, SILICON, build, run_until_sleep};

/// What the first sleep of `controller` comes after.
const IDLE: &str = "info  idle: waiting for a host";
/// What every core but the Cortex-M0+, which has no cycle counter, says in QEMU, which has none.
const ABSENT: &str = "warn  absent: DWT; the timer counts cycles";

fn boot(board: &Board, presets: &[(u32, u32)]) -> Run {
    let elf = build("controller", board, None).unwrap();
    let part = Part::of(board).expect("a stand-in for every physical board");
    let run = run_until_sleep(part, &elf, presets);
    run.unwrap_or_else(|error| panic!("{}: {error:#}", board.name))
}

/// Compares the log with that of a start for `reason`.
fn assert_start(run: &Run, board: &Board, reason: &str) {
    let start = format!("info  board={} start={reason}", board.name);
    let mut expected = vec![start.as_str(), ABSENT, IDLE];
    if board.target.starts_with("thumbv6m") {
        expected.remove(1);
    }
    assert_eq!(run.log, expected);
}

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn every_physical_boards_controller_starts_and_waits_for_a_host() {
    for board in SILICON {
        assert_start(&boot(&board, &[]), &board, "PowerOrPin");
    }
}

/// The register and the flags that each part sets when its watchdog resets it.
#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn every_physical_board_knows_a_reset_by_its_watchdog() {
    for (name, reason) in [
        ("nrf52840-dk", (0x4000_0400, 1 << 1)),
        ("nucleo-h743zi2", (0x5802_44d0, 1 << 26)),
        ("pico2", (0x400d_8008, 1)),
        ("pico", (0x4005_8008, 1)),
    ] {
        let board = Board::named(name).unwrap();
        assert_start(&boot(&board, &[reason]), &board, "Watchdog");
    }
}

/// The cache of the flash, the crystal, the converter, and a timer that runs while the core sleeps.
#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn the_nrf52840_runs_from_its_cache_and_its_timer_wakes_it() {
    let run = boot(&Board::named("nrf52840-dk").unwrap(), &[]);
    for (what, register, value) in [
        ("NVMC.ICACHECNF", 0x4001_e540, 1),
        ("CLOCK.TASKS_HFCLKSTART", 0x4000_0000, 1),
        ("POWER.DCDCEN", 0x4000_0578, 1),
        ("TIMER1.TASKS_START", 0x4000_9000, 1),
        ("TIMER1.INTENSET", 0x4000_9304, 1 << 16),
    ] {
        assert_eq!(run.registers.get(&register), Some(&value), "{what}");
    }
}
