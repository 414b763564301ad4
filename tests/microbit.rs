//! QEMU's micro:bit, a Cortex-M0 with 256 KiB of flash and 16 KiB of RAM.

use crate::budgets::{MICROBIT_CONTROLLER_FLASH_BYTES, MICROBIT_EPISODE, MICROBIT_RAM_BYTES};
use crate::link_qemu::{episode_there, same_here, with_model};
use crate::{
    LIMIT, N_PLANS, assert_all_within, assert_bits, assert_episode, assert_within, expected_log,
};
use anyhow::ensure;
use pusht_core::pusht::selftest::physics_digest;
use pusht_core::quant::{self, Model};
use pusht_device::{MICROBIT, Setup, build, footprint, run_with, stack_len};
use std::path::Path;

/// A tiny model for what does not need a policy that wins.
pub const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/integer/tiny.ptm");
/// The policy of this board.
const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/pusht-small.ptm");

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn a_cortex_m0_computes_what_the_host_computes() {
    let bytes = std::fs::read(MODEL).unwrap();
    let model = Model::parse(&bytes).unwrap();
    let mut scratch = vec![0; model.scratch_len()];
    let plans = quant::selftest(&model, &mut scratch, N_PLANS).unwrap();
    for (binary, digest) in [
        (
            "simulator",
            Some(("physics_digest", physics_digest().unwrap())),
        ),
        ("kernels", None),
        ("plans", Some(("plans_digest", plans))),
    ] {
        let elf = build(binary, &MICROBIT, Some(Path::new(MODEL))).unwrap();
        println!("{binary}: {:?}", footprint(&elf).unwrap());
        let show = |line: &str| println!("{line}");
        let log = run_with(&Setup::COUNTING, &MICROBIT, &elf, LIMIT, show).unwrap();
        assert_eq!(log.exit_code, Some(0), "{binary}: {:#?}", log.lines);
        expected_log::compare(binary, &MICROBIT, &log);
        if let Some((name, digest)) = digest {
            assert_bits(&log, name, digest);
        }
    }
}

/// Simulator, policy and log in one image; an episode that is won.
#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn a_cortex_m0_with_16_kib_of_ram_plays_a_whole_episode() {
    let elf = build("episode", &MICROBIT, Some(Path::new(POLICY))).unwrap();
    let show = |line: &str| println!("{line}");
    let log = run_with(&Setup::COUNTING, &MICROBIT, &elf, LIMIT, show).unwrap();
    assert_eq!(log.exit_code, Some(0), "{:#?}", log.lines);
    expected_log::compare("episode", &MICROBIT, &log);
    let model = include_bytes!("../models/pusht-small.ptm");
    assert_episode(&log, model);
    let size = footprint(&elf).unwrap();
    assert_within(&MICROBIT_EPISODE, size, &log);
    assert_all_within(&[(
        "RAM and stack",
        size.ram_bytes + stack_len(&elf).unwrap(),
        MICROBIT_RAM_BYTES,
    )]);
}

/// A full stack would restart it, and the episode would be lost.
#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn a_cortex_m0_with_16_kib_of_ram_drives_a_host_over_its_link() {
    let model = Path::new(POLICY);
    with_model(model, &MICROBIT, (0.0, 0), |client, engine| {
        let seeds = 100_000..100_003;
        let played: Result<Vec<_>, _> = seeds.map(|seed| episode_there(client, seed)).collect();
        let played = (100_000..).zip(played?);
        ensure!(client.report()?.frames.damaged() == 0);
        same_here(engine, played)
    });
    let elf = build("controller", &MICROBIT, Some(model)).unwrap();
    let size = footprint(&elf).unwrap();
    assert_all_within(&[
        ("flash", size.flash_bytes, MICROBIT_CONTROLLER_FLASH_BYTES),
        (
            "RAM and stack",
            size.ram_bytes + stack_len(&elf).unwrap(),
            MICROBIT_RAM_BYTES,
        ),
    ]);
}
