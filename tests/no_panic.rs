//! The control loop cannot panic: `firmware/src/bin/no_panic.rs` links only if the optimiser has
//! proved that no path leads to the panic handler.

use crate::microbit;
use pusht_device::{BOARDS, IN_QEMU, MICROBIT, SILICON, build_with};
use std::path::Path;

#[test]
#[ignore = "needs the boards' targets: cargo verify"]
fn the_control_loop_cannot_panic() {
    let physical = SILICON.into_iter().chain(IN_QEMU);
    for board in BOARDS.into_iter().chain(physical) {
        build_with("no_panic", &board, &["no-panic"], None).unwrap();
    }
    let small = Some(Path::new(microbit::MODEL));
    build_with("no_panic", &MICROBIT, &["no-panic"], small).unwrap();
}

/// The control of the test above: it can fail.
#[test]
#[ignore = "needs the boards' targets: cargo verify"]
fn a_control_loop_that_can_panic_does_not_link() {
    let built = build_with("no_panic", &BOARDS[0], &["panic-control"], None);
    assert!(built.is_err(), "it links with a panic in it");
}
