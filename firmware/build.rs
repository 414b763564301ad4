//! Hands the memory map of the board chosen by feature to the linker.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let boards: Vec<String> = env::vars()
        .filter_map(|(name, _)| Some(name.strip_prefix("CARGO_FEATURE_BOARD_")?.to_lowercase()))
        .map(|name| name.replace('_', "-"))
        .collect();
    let [board] = boards.as_slice() else {
        panic!("exactly one feature board-... is needed, got {boards:?}");
    };
    let map = format!("boards/{board}/memory.x");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::copy(&map, out.join("memory.x")).unwrap_or_else(|error| panic!("{map}: {error}"));
    println!("cargo::rerun-if-changed={map}");
    println!("cargo::rustc-link-search={}", out.display());
    for argument in ["-Tlink.x", "--nmagic", "-Tdefmt.x"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
