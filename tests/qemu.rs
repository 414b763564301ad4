//! The firmware in QEMU against the host, and against its budgets.
//!
//! The host's values are computed in a debug build; the firmware is a release build.

mod boots;
mod budgets;
mod expected_log;
mod faults;
mod link_qemu;
mod load_qemu;
mod microbit;
mod minimal;
mod no_float;
mod no_panic;
mod on_target;
mod own_model;
#[cfg(unix)]
mod probe;
#[path = "integer/random_model.rs"]
#[allow(dead_code, reason = "of the tests of integer arithmetic")]
mod random_model;
mod reproducible;
mod silicon;

use budgets::{
    Budget, CODE_BYTES, L475_REALTIME_TURN_US, LOG_RAM_BYTES, MPS2_AN386, MPS2_AN386_DISTURBED,
    PLAN_RAM_BYTES, PLANS, PlanBudget, REALTIME_LATENCY_US, REALTIME_TURN_US,
};
use pusht_core::pusht::env::Seeding;
use pusht_core::pusht::episode::EpisodeResult;
use pusht_core::pusht::rollout::{MAX_CHUNK_LEN, MAX_WINDOW_LEN};
use pusht_core::pusht::selftest::{closed_loop_digest, physics_digest};
use pusht_core::quant::{self, Model};
use pusht_device::{
    B_L475E_IOT01A, BOARDS, Board, Footprint, IN_QEMU, Log, MICROBIT, NETDUINOPLUS2, Setup, WANTED,
    build, footprint, qemu_version, run_with,
};
use pusht_host::engine::Engine;
use pusht_host::evaluate;
use pusht_host::model_file::ModelFile;
use std::time::Duration;

const MODEL: &[u8] = include_bytes!("../models/pusht.ptm");
/// Plans of the firmware's self-test.
const N_PLANS: u32 = 2;
/// Control steps of its closed loop.
const N_CLOSED_LOOP_STEPS: usize = 12;
/// Delay of a plan in the firmware, in control ticks.
const DELAY_TICKS: u64 = 2;
/// An episode takes about ten seconds of one core.
const LIMIT: Duration = Duration::from_secs(300);

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn every_board_computes_what_the_host_computes() {
    let model = Model::parse(MODEL).unwrap();
    let mut scratch = vec![0; model.scratch_len()];
    let plans_digest = quant::selftest(&model, &mut scratch, N_PLANS).unwrap();
    let closed_loop_digest = closed_loop_digest::<MAX_WINDOW_LEN, MAX_CHUNK_LEN>(
        &model,
        &mut scratch,
        N_CLOSED_LOOP_STEPS,
    )
    .unwrap();
    for board in boards() {
        let (_, log) = run_to_success("selftest", &board);
        assert_eq!(log.value("board").unwrap(), board.name);
        assert_bits(&log, "physics_digest", physics_digest().unwrap());
        assert_bits(&log, "plans_digest", plans_digest);
        assert_bits(&log, "closed_loop_digest", closed_loop_digest);
    }
}

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn the_closed_loop_on_the_device_equals_the_hosts_within_its_budget() {
    let board = Board::named(MPS2_AN386.board).unwrap();
    let (size, log) = run_to_success("episode", &board);
    assert_episode(&log, MODEL);
    assert_within(&MPS2_AN386, size, &log);
    if boards().contains(&NETDUINOPLUS2) {
        let (_, log) = run_to_success("episode", &NETDUINOPLUS2);
        assert_episode(&log, MODEL);
    }
}

/// Compares with the same episode of `model` on the host, which is won.
fn assert_episode(log: &Log, model: &'static [u8]) {
    let host = episode_on_the_host(model, number(log, "episode_seed"));
    assert!(host.success && log.value("success").unwrap() == "true");
    assert_eq!(number(log, "steps"), host.steps as u64);
    assert_bits(log, "action_digest", host.action_digest);
    assert_bits(log, "state_digest", host.state_digest);
}

/// The build script's expectation is the host's.
#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn an_estimated_episode_under_disturbances_equals_the_hosts_within_its_budget() {
    let board = Board::named(MPS2_AN386_DISTURBED.board).unwrap();
    let (size, log) = run_to_success("disturbed", &board);
    assert_eq!(log.value("success").unwrap(), "true");
    assert_within(&MPS2_AN386_DISTURBED, size, &log);
}

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn real_time_meets_its_deadlines_and_equals_the_hosts_simulation() {
    real_time(&BOARDS[0], REALTIME_TURN_US);
    if boards().contains(&B_L475E_IOT01A) {
        real_time(&B_L475E_IOT01A, L475_REALTIME_TURN_US);
        real_time(&NETDUINOPLUS2, REALTIME_TURN_US);
    }
}

fn real_time(board: &Board, most_turn_us: u64) {
    for (binary, is_late) in [("realtime", false), ("realtime-late", true)] {
        // Exit code 0 says that the digests and counts (plans, misses, held ticks) equal the
        // host's.
        let (_, log) = run_to_success(binary, board);
        assert_eq!(number(&log, "overruns"), 0);
        assert_eq!(number(&log, "plans_missed") > 0, is_late);
        // On time, ticks are held only until the first plan arrives.
        assert_eq!(number(&log, "ticks_held") > DELAY_TICKS, is_late);
        let turn_us = number(&log, "turn_us_max");
        assert!(turn_us <= most_turn_us, "{turn_us} us of 10,000");
        let latency_us = number(&log, "latency_us_max");
        assert!(latency_us <= REALTIME_LATENCY_US, "{latency_us} us");
    }
}

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn a_plan_stays_within_every_boards_budget() {
    let of_all = PLANS.map(|budget| budget.board);
    assert!(
        boards().iter().all(|board| of_all.contains(&board.name)),
        "a board without a budget"
    );
    let there = boards();
    let is_there = |budget: &&PlanBudget| there.iter().any(|board| board.name == budget.board);
    for budget in PLANS.iter().filter(is_there) {
        let board = Board::named(budget.board).unwrap();
        let (size, plans) = run_to_success("plans", &board);
        let (image, bench) = run_to_success("bench", &board);
        // The sizes that the image reports equal those of the ELF file, except for gaps between
        // sections.
        let gaps = |whole: &str, parts: u64| number(&bench, whole).abs_diff(parts);
        assert!(gaps("flash_bytes", image.flash_bytes) < 64);
        assert!(gaps("ram_bytes", image.ram_bytes) < 64);
        let instructions =
            |what: &str| instructions(&bench, &board, &format!("{what}_instructions"));
        assert_all_within(&[
            (
                "code_bytes",
                size.flash_bytes - MODEL.len() as u64,
                CODE_BYTES,
            ),
            (
                "plan_ram_bytes",
                size.ram_bytes + number(&plans, "stack_bytes"),
                PLAN_RAM_BYTES + board.chip.map_or(0, |_| LOG_RAM_BYTES),
            ),
            (
                "conv_milli_instructions",
                1000 * instructions("layer_8") / number(&bench, "layer_8_multiplications"),
                budget.conv_milli_instructions,
            ),
            (
                "best_plan_instructions",
                instructions("best_plan"),
                budget.best_plan_instructions,
            ),
            (
                "small_plan_instructions",
                instructions("small_plan"),
                budget.small_plan_instructions,
            ),
        ]);
    }
}

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn every_boards_kernels_equal_the_reference() {
    for board in boards() {
        run_to_success("kernels", &board);
    }
}

/// Every board that runs the whole firmware in this machine's QEMU.
fn boards() -> Vec<Board> {
    let mut boards = BOARDS.to_vec();
    match qemu_version() >= Some(WANTED) {
        true => boards.extend(IN_QEMU),
        false => println!(
            "skipped: {} need QEMU {}.{}",
            IN_QEMU.map(|board| board.name).join(" and "),
            WANTED.0,
            WANTED.1
        ),
    }
    boards
}

/// Instructions by their name in the log. A physical board logs cycles, and in QEMU counts them by its
/// timer: its clock's periods in 64 ns per instruction.
fn instructions(log: &Log, board: &Board, name: &str) -> u64 {
    let mhz = match *board {
        Board { chip: None, .. } => return number(log, name),
        B_L475E_IOT01A => 80,
        MICROBIT => 16,
        _ => 168,
    };
    number(log, &name.replace("instructions", "cycles")) * 1000 / (mhz * 64)
}

fn run_to_success(binary: &str, board: &Board) -> (Footprint, Log) {
    let elf = build(binary, board, None).unwrap();
    let setup = Setup::of(binary, board, 0).unwrap();
    let log = run_with(&setup, board, &elf, LIMIT, |line| {
        println!("{}: {line}", board.name)
    })
    .unwrap();
    assert_eq!(log.exit_code, Some(0), "{}: {:#?}", board.name, log.lines);
    expected_log::compare(binary, board, &log);
    (footprint(&elf).unwrap(), log)
}

fn episode_on_the_host(model: &'static [u8], seed: u64) -> EpisodeResult {
    let engine = Engine::Int(Box::new(ModelFile::parse(model).unwrap()));
    let env = evaluate::start(seed, Seeding::Legacy).unwrap();
    evaluate::episode(&engine, env, seed).unwrap()
}

fn number(log: &Log, name: &str) -> u64 {
    log.value(name).unwrap().parse().unwrap()
}

fn assert_bits(log: &Log, name: &str, expected: u64) {
    let expected = format!("{expected:#018x}");
    assert_eq!(log.value(name).unwrap(), expected, "{name}");
}

fn assert_within(budget: &Budget, size: Footprint, log: &Log) {
    let board = Board::named(budget.board).unwrap();
    let instructions = |name: &str| instructions(log, &board, name);
    assert_all_within(&[
        ("flash_bytes", size.flash_bytes, budget.flash_bytes),
        ("ram_bytes", size.ram_bytes, budget.ram_bytes),
        (
            "stack_bytes",
            number(log, "stack_bytes"),
            budget.stack_bytes,
        ),
        (
            "plan_instructions",
            instructions("plan_instructions_max"),
            budget.plan_instructions,
        ),
        (
            "step_instructions",
            instructions("step_instructions"),
            budget.step_instructions,
        ),
        (
            "border_instructions",
            instructions("border_instructions_max"),
            budget.border_instructions,
        ),
    ]);
}

/// Prints each (name, figure, upper bound) and panics where the figure exceeds the bound.
fn assert_all_within(figures: &[(&str, u64, u64)]) {
    for (name, figure, bound) in figures {
        println!("{name} {figure} of {bound}");
        assert!(figure <= bound, "{name}: {figure} is more than {bound}");
    }
}
