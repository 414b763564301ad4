//! Images for physical boards: linked and measured.

use crate::budgets::{DISTURBED_FLASH_BYTES, SILICON_BUDGETS};
use pusht_device::{IN_QEMU, SILICON, build, footprint};

#[test]
#[ignore = "needs the boards' targets: cargo verify"]
fn images_for_physical_boards_link_within_their_budget() {
    for board in SILICON.into_iter().chain(IN_QEMU) {
        let budget = SILICON_BUDGETS.iter().find(|b| b.board == board.name);
        let budget = budget.expect("a budget for every board");
        for binary in [
            "selftest",
            "episode",
            "disturbed",
            "realtime",
            "controller",
            "faults",
            "bench",
        ] {
            let size = footprint(&build(binary, &board, None).unwrap()).unwrap();
            println!("{} {binary}: {size:?}", board.name);
            let flash_bytes = match binary {
                "bench" => budget.bench_flash_bytes,
                "disturbed" => budget.flash_bytes + DISTURBED_FLASH_BYTES,
                _ => budget.flash_bytes,
            };
            assert!(size.flash_bytes <= flash_bytes, "{binary}");
            assert!(size.ram_bytes <= budget.ram_bytes, "{binary}");
        }
    }
}
