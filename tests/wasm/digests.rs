//! The digests of [`pusht_core`] as functions of a WebAssembly module: `tests/wasm.rs` calls every export and compares.

use pusht_core::selftest;

/// Digest of the simulator's motion.
#[expect(
    unsafe_code,
    reason = "only an unmangled name can be called from outside"
)]
#[unsafe(no_mangle)]
pub extern "C" fn physics_digest() -> u64 {
    selftest::physics_digest().unwrap_or_default()
}
