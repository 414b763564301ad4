//! The integer policy contains no float arithmetic, from the observation to the action. On a core
//! without a floating-point unit every such operation is a call, and the call leaves a symbol.

use object::{Object, ObjectSymbol};
use pusht_device::{Board, build, demangled};
use std::path::Path;

/// A Cortex-M3, which has no floating-point unit.
const BOARD: &str = "mps2-an385";

#[test]
#[ignore = "needs the boards' targets: cargo verify"]
fn the_integer_policy_calls_no_float_arithmetic() {
    let board = Board::named(BOARD).unwrap();
    let found = float_symbols(&build("plans", &board, None).unwrap());
    assert!(found.is_empty(), "{found:#?}");
}

/// The control of the test above: it can fail.
#[test]
#[ignore = "needs the boards' targets: cargo verify"]
fn the_search_finds_the_float_arithmetic_of_the_simulator() {
    let board = Board::named(BOARD).unwrap();
    let found = float_symbols(&build("selftest", &board, None).unwrap());
    assert!(
        found.iter().any(|name| name.contains("aeabi_dadd")),
        "{found:?}"
    );
}

/// The symbols in the ELF file of float routines, by the names of the run-time ABI for the Arm
/// architecture (AAELF, 4.1.2: `__aeabi_d*`, `__aeabi_f*`, conversions to either), of libgcc
/// (`__adddf3`) and of `libm`.
fn float_symbols(elf: &Path) -> Vec<String> {
    let bytes = std::fs::read(elf).unwrap();
    let file = object::File::parse(bytes.as_slice()).unwrap();
    let names = file
        .symbols()
        .filter_map(|symbol| symbol.name().ok().map(demangled));
    names.filter(|name| is_float(name)).collect()
}

fn is_float(name: &str) -> bool {
    let aeabi = name.strip_prefix("__aeabi_").is_some_and(|operation| {
        let converts_to_float = operation.ends_with("2d") || operation.ends_with("2f");
        operation.starts_with(['d', 'f'])
            || operation.starts_with("cd")
            || operation.starts_with("cf")
            || converts_to_float
    });
    let libgcc = ["df2", "sf2", "df3", "sf3"]
        .iter()
        .any(|end| name.ends_with(end));
    aeabi || libgcc || name.starts_with("libm::")
}

/// The hash of a mangled name may end in `df2` or the like.
#[test]
fn a_hash_in_a_symbol_does_not_count_as_float_arithmetic() {
    let parser = "_ZN10pusht_core5quant5parse6Reader7section17h4059a65fd3f0df25E";
    assert!(!is_float(&demangled(parser)));
    let float = "_ZN17compiler_builtins5float3add8__adddf317h0123456789abcdefE";
    assert!(is_float(&demangled(float)));
    assert!(is_float(&demangled("__aeabi_dadd")));
    assert!(is_float(&demangled(
        "_ZN4libm4math3sin3sin17h0123456789abcdefE"
    )));
}
