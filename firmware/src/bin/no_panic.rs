//! Links only if nothing that runs after start-up can panic. The panic handler calls a function
//! that does not exist, and the linker looks for it unless the optimiser has proved the handler
//! unreachable. It is not run: `tests/no_panic.rs` builds it.
//!
//! It contains what the other binaries call once they run: a plan (`plan`), a run of the interrupt
//! at 100 Hz (`turn`), a control step (`step`) and the device side of the link (`link`). To find a
//! panic, use the feature `panic-list`: it links anyway, and `objdump -d` shows the callers of
//! `core::panicking`.
#![no_std]
#![no_main]
// SAFETY of the whole file: it is linked but never run; the declared function does not exist.
#![allow(unsafe_code)]

use core::hint::black_box;
use core::panic::PanicInfo;
use core::ptr::null_mut;
use cortex_m_rt::entry;
use fixed::types::I16F16;
use pusht_core::control::pipeline::{Plan, PlanRequest, Planning};
use pusht_core::link::Device;
use pusht_core::noise::NoiseSource;
use pusht_core::pusht::env::PushTEnv;
use pusht_core::pusht::episode::Record;
use pusht_core::pusht::real_time::RealTimeEpisode;
use pusht_core::quant::{IntPolicy, MAX_CONDITION_LEN, MAX_HORIZON, Model, Scratch};

#[cfg(not(feature = "panic-list"))]
unsafe extern "C" {
    safe fn the_control_loop_can_panic() -> !;
}

#[cfg(feature = "panic-list")]
fn the_control_loop_can_panic() -> ! {
    loop {
        cortex_m::asm::nop();
    }
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    the_control_loop_can_panic()
}

/// The interrupt table that the linker script needs and that otherwise comes with the HAL.
#[cfg(feature = "silicon")]
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [usize; 1] = [0];

/// Inputs of `plan`: any model, memory and observations of any length.
struct PlanInputs {
    model: &'static Model<'static>,
    scratch: &'static mut Scratch,
    observations: [I16F16; MAX_CONDITION_LEN],
    n_observations: usize,
    n_actions: usize,
    seed: u64,
    planning: Planning<IntPolicy<'static>>,
    request: PlanRequest,
}

#[inline(never)]
fn plan(inputs: &mut PlanInputs) {
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
    black_box(inputs.planning.plan(&inputs.request).is_ok());
}

/// Inputs of `turn`: the interrupt of `realtime.rs` without its queues. They take a remainder by
/// their length, a constant that the optimiser does not see through.
struct TurnInputs {
    episode: RealTimeEpisode,
    plan: Option<Plan>,
}

#[inline(never)]
fn turn(inputs: &mut TurnInputs) {
    let TurnInputs { episode, plan } = inputs;
    let begin = |request| {
        black_box(request);
    };
    black_box(episode.turn(|| plan.take(), begin).is_ok());
    black_box((episode.n_ticks(), episode.counts()));
}

/// Inputs of `step`: what `episode.rs` does between plans.
struct StepInputs {
    env: PushTEnv,
    record: Record,
    action: [f64; 2],
}

#[inline(never)]
fn step(inputs: &mut StepInputs) {
    let StepInputs {
        env,
        record,
        action,
    } = inputs;
    let state = env.state();
    if let Ok(outcome) = env.step(*action) {
        record.tick(&state, action, &outcome);
    }
    black_box(record.clone().finish(&env.state()));
}

struct LinkInputs {
    device: Device<IntPolicy<'static>, fn() -> u64>,
    byte: u8,
    lost: u32,
}

#[inline(never)]
fn link(inputs: &mut LinkInputs) {
    let device = &mut inputs.device;
    device.receive(inputs.byte, |frame| {
        black_box(frame);
    });
    device.overrun(inputs.lost);
    device.poll();
    black_box((device.state(), device.counts()));
}

/// A value that the optimiser knows nothing about.
fn anything<T>() -> Option<&'static mut T> {
    let pointer: *mut T = black_box(null_mut());
    // SAFETY: never run.
    unsafe { pointer.as_mut() }
}

#[entry]
fn main() -> ! {
    if let Some(inputs) = anything() {
        plan(inputs);
    }
    if let Some(inputs) = anything() {
        turn(inputs);
    }
    if let Some(inputs) = anything() {
        step(inputs);
    }
    if let Some(inputs) = anything() {
        link(inputs);
    }
    #[cfg(feature = "panic-control")]
    black_box([0_u8; 4][black_box(0_usize)]);
    loop {
        cortex_m::asm::nop();
    }
}
