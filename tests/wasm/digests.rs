//! The digests of [`pusht_core`] as exports of a WebAssembly module: `tests/wasm.rs` calls each of
//! them and compares.

use pusht_core::pusht::rollout::{MAX_CHUNK_LEN, MAX_WINDOW_LEN};
use pusht_core::pusht::selftest;
use pusht_core::quant::{self, Model};

const MODEL: &[u8] = include_bytes!("../../models/pusht-small.ptm");
/// A policy of another task.
const FETCH: &[u8] = include_bytes!("../../models/fetch.ptm");
/// Plans of a digest, as in `tests/wasm.rs`.
const N_PLANS: u32 = 1;
const N_STEPS: usize = 4;
/// Working memory, more than a model needs.
const SCRATCH_LEN: usize = 2048;

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
    digest_of(MODEL)
}

/// Digest of plans of the policy of another task.
#[expect(
    unsafe_code,
    reason = "only an unmangled name can be called from outside"
)]
#[unsafe(no_mangle)]
pub extern "C" fn fetch_digest() -> u64 {
    digest_of(FETCH)
}

fn digest_of(model: &[u8]) -> u64 {
    Model::parse(model).map_or(0, |model| {
        quant::selftest(&model, &mut [0; SCRATCH_LEN], N_PLANS).unwrap_or_default()
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
        let digest = selftest::closed_loop_digest::<MAX_WINDOW_LEN, MAX_CHUNK_LEN>(
            &model,
            &mut [0; SCRATCH_LEN],
            N_STEPS,
        );
        digest.unwrap_or_default()
    })
}
