//! The digests of [`pusht_core`] as exports of a WebAssembly module: `tests/wasm.rs` calls each of
//! them and compares.

use pusht_core::pusht::selftest;
use pusht_core::quant::{self, Model, Scratch};

const MODEL: &[u8] = include_bytes!("../../models/pusht-small.ptm");
/// Plans of the digest, as in `tests/wasm.rs`.
const N_PLANS: u32 = 1;
const N_STEPS: usize = 4;

/// Digest of the simulator's motion.
#[expect(
    unsafe_code,
    reason = "only an unmangled name can be called from outside"
)]
#[unsafe(no_mangle)]
pub extern "C" fn physics_digest() -> u64 {
    selftest::physics_digest().unwrap_or_default()
}

/// Digest of plans of the small integer policy.
#[expect(
    unsafe_code,
    reason = "only an unmangled name can be called from outside"
)]
#[unsafe(no_mangle)]
pub extern "C" fn plans_digest() -> u64 {
    Model::parse(MODEL).map_or(0, |model| {
        quant::selftest(&model, &mut Scratch::new(), N_PLANS)
    })
}

/// Digest of the small policy's closed loop with the simulator.
#[expect(
    unsafe_code,
    reason = "only an unmangled name can be called from outside"
)]
#[unsafe(no_mangle)]
pub extern "C" fn closed_loop_digest() -> u64 {
    Model::parse(MODEL).map_or(0, |model| {
        let digest = selftest::closed_loop_digest(&model, &mut Scratch::new(), N_STEPS);
        digest.unwrap_or_default()
    })
}
