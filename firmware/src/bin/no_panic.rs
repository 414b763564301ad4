//! Links only if nothing that runs after start-up can panic. The panic handler calls a function
//! that does not exist, and the linker looks for it unless the optimiser has proved the handler
//! unreachable. It is not run: `tests/no_panic.rs` builds it.
//!
//! It contains what the other binaries call once they run: a plan (`plan`), a run of the interrupt
//! at 100 Hz (`turn`), a rollout (`rollout`) and the device side of the link (`link`). To find a
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
use pusht_core::control::RecedingHorizon;
use pusht_core::control::pipeline::{Pipeline, Plan, PlanRequest, Planning};
use pusht_core::link::Device;
use pusht_core::noise::NoiseSource;
use pusht_core::pusht::rollout::Rollout;
use pusht_core::quant::IntPolicy;

// As many values as the shipped policies have.
const WINDOW_LEN: usize = 36;
const CHUNK_LEN: usize = 8;
const REALTIME_CHUNK_LEN: usize = 12;

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

/// The interrupt table that the linker script needs and that otherwise comes with the HAL, where
/// cortex-m-rt leaves it to that.
#[cfg(any(feature = "embassy", feature = "stm32"))]
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [usize; 1] = [0];

/// A policy from somewhere, a window of any length.
struct PlanInputs {
    policy: IntPolicy<'static>,
    window: [i32; WINDOW_LEN],
    window_len: usize,
    n_values: usize,
    seed: u64,
    planning: Planning<IntPolicy<'static>>,
    request: PlanRequest<WINDOW_LEN>,
}

#[inline(never)]
fn plan(inputs: &mut PlanInputs) {
    let mut chunk = [0; CHUNK_LEN];
    if let (Some(window), Some(chunk)) = (
        inputs.window.get(..inputs.window_len),
        chunk.get_mut(..inputs.n_values),
    ) {
        let mut noise = NoiseSource::new(inputs.seed);
        let planned = inputs.policy.plan_fixed(window, &mut noise, chunk);
        black_box((planned.is_ok(), chunk));
    }
    let plan: Result<Plan<REALTIME_CHUNK_LEN>, _> = inputs.planning.plan(&inputs.request);
    black_box(plan.is_ok());
}

/// What `realtime.rs` runs in the interrupt, but for its queues: they take a remainder by their
/// length, which is a constant that the optimiser does not see.
struct TurnInputs {
    rollout: Rollout<Pipeline<WINDOW_LEN, REALTIME_CHUNK_LEN>>,
    plan: Option<Plan<REALTIME_CHUNK_LEN>>,
}

#[inline(never)]
fn turn(inputs: &mut TurnInputs) {
    let TurnInputs { rollout, plan } = inputs;
    let begin = |request| {
        black_box(request);
    };
    black_box(rollout.turn(|| plan.take(), begin).is_ok());
    black_box((rollout.episode().steps(), rollout.execution().counts()));
}

/// What `episode.rs` runs: a rollout and its planner.
struct RolloutInputs {
    rollout: Rollout<RecedingHorizon<WINDOW_LEN, CHUNK_LEN>>,
    policy: IntPolicy<'static>,
}

#[inline(never)]
fn rollout(inputs: &mut RolloutInputs) {
    let RolloutInputs { rollout, policy } = inputs;
    let result = rollout.run(policy, |tick, _| {
        black_box(tick);
    });
    black_box(result.is_ok());
}

struct LinkInputs {
    device: Device<'static, IntPolicy<'static>, fn() -> u64, WINDOW_LEN, CHUNK_LEN>,
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
    black_box((device.state(), device.action(), device.counts()));
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
        rollout(inputs);
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
