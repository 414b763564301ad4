//! QEMU's micro:bit, a Cortex-M0 with 256 KiB of flash and 16 KiB of RAM.

use crate::{LIMIT, N_PLANS, assert_bits, expected_log};
use pusht_core::pusht::selftest::physics_digest;
use pusht_core::quant::{self, Model};
use pusht_device::{MICROBIT, Setup, build, footprint, run_with};
use std::path::Path;

/// A tiny model: the shipped ones fit into neither memory.
pub const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/integer/tiny.ptm");

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
