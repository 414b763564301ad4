//! Links only if a plan with a parsed model cannot panic: the panic handler calls a function that does not exist, and the linker
//! asks for it unless the optimiser has proved every way to the handler dead. Nothing to run: `tests/no_panic.rs` builds it.
#![no_std]
#![no_main]
// SAFETY of the whole file: it is linked and never run; the declared function is never there to be called.
#![allow(unsafe_code)]

use core::hint::black_box;
use core::panic::PanicInfo;
use core::ptr::null_mut;
use cortex_m_rt::entry;
use fixed::types::I16F16;
use pusht_core::noise::NoiseSource;
use pusht_core::quant::{IntPolicy, MAX_CONDITION_LEN, MAX_HORIZON, Model, Scratch};

unsafe extern "C" {
    safe fn a_plan_can_panic() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    a_plan_can_panic()
}

/// A model and memory from somewhere, observations of any length.
struct Inputs {
    model: &'static Model<'static>,
    scratch: &'static mut Scratch,
    observations: [I16F16; MAX_CONDITION_LEN],
    n_observations: usize,
    n_actions: usize,
    seed: u64,
}

#[entry]
fn main() -> ! {
    let inputs: *mut Inputs = black_box(null_mut());
    // SAFETY: never run.
    if let Some(inputs) = unsafe { inputs.as_mut() } {
        let mut chunk = [[I16F16::ZERO; 2]; MAX_HORIZON];
        if let (Some(observations), Some(chunk)) = (
            inputs.observations.get(..inputs.n_observations),
            chunk.get_mut(..inputs.n_actions),
        ) {
            let mut noise = NoiseSource::new(inputs.seed);
            let mut policy = IntPolicy::new(inputs.model, inputs.scratch);
            let planned = policy.plan_fixed(observations, &mut noise, chunk);
            black_box((planned.is_ok(), chunk));
        }
    }
    #[cfg(feature = "panic-control")]
    black_box([0_u8; 4][black_box(0_usize)]);
    loop {
        cortex_m::asm::nop();
    }
}
