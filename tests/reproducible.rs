//! What is flashed is the same bytes wherever it is built. Beside it, an ELF file has names with a
//! hash of their crate's place. Where two statics had the same name but for that hash, it would
//! decide their order: `singleton!` is given names.

use pusht_device::{Board, build, build_in, copy_folder, firmware_dir, image};
use std::fs;

/// A board in QEMU and a physical one with the same target, and the binary that is built for each.
const IMAGES: [(&str, &str); 2] = [("mps2-an386", "selftest"), ("nrf52840-dk", "controller")];

#[test]
#[ignore = "needs the boards' targets: cargo verify"]
fn an_image_is_the_same_from_any_folder() {
    let here = firmware_dir().with_file_name("");
    let elsewhere = tempfile::tempdir().unwrap();
    let there = elsewhere.path().join("a folder with another name");
    for folder in ["core", "firmware", "models"] {
        copy_folder(&here.join(folder), &there.join(folder)).unwrap();
    }
    // The workspace of `core`, and the compiler.
    for file in ["Cargo.toml", "rust-toolchain.toml"] {
        fs::copy(here.join(file), there.join(file)).unwrap();
    }
    let home = std::env::home_dir().unwrap_or_else(|| here.clone());
    for (board, binary) in IMAGES {
        let board = Board::named(board).unwrap();
        let first = image(&build(binary, &board, None).unwrap()).unwrap();
        let second = image(&build_in(&there, binary, &board).unwrap()).unwrap();
        for place in [&here, &there, &home] {
            let place = place.to_str().unwrap().trim_end_matches('/').as_bytes();
            let is_in = |bytes: &[u8]| bytes.windows(place.len().max(1)).any(|w| w == place);
            let mut segments = first.iter().chain(&second);
            let leaks = segments.any(|(_, bytes)| is_in(bytes));
            assert!(
                !leaks,
                "{binary} for {} has a path of its build",
                board.name
            );
        }
        assert!(first == second, "{binary} for {} differs", board.name);
    }
}
