//! Images of physical boards start in QEMU, with a stand-in for the part's peripherals
//! (`device/stand_in.rs`): a fault before the main loop would show.

use pusht_device::{Board, Part, Run, SILICON, build, run_until_sleep};

/// What the first sleep of `controller` comes after.
const IDLE: &str = "info  idle: waiting for a host";

fn boot(board: &Board, presets: &[(u32, u32)]) -> Run {
    let elf = build("controller", board, None).unwrap();
    let part = Part::of(board).expect("a stand-in for every physical board");
    let run = run_until_sleep(part, &elf, presets);
    run.unwrap_or_else(|error| panic!("{}: {error:#}", board.name))
}

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn every_physical_boards_controller_starts_and_waits_for_a_host() {
    for board in SILICON {
        let run = boot(&board, &[]);
        let start = format!("info  board={} start=PowerOrPin", board.name);
        assert_eq!(run.log, [start.as_str(), IDLE]);
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
        let run = boot(&Board::named(name).unwrap(), &[reason]);
        let start = format!("info  board={name} start=Watchdog");
        assert_eq!(run.log, [start.as_str(), IDLE]);
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
