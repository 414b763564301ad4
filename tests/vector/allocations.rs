//! Steps of `PushTEnv` and `PushTBatch`, and pictures, do not allocate, in the caller's thread and in the batch's. Built
//! without the test harness, whose thread would allocate at the same time.

use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
use pusht_gym::batch::{BatchOptions, PushTBatch};
use pusht_gym::vector::{AutoresetMode, Seed};
use std::alloc::{GlobalAlloc, Layout, System};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

#[allow(unsafe_code, reason = "the trait demands it")]
// SAFETY: everything is the system's allocator, which is counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn an_environment_does_not_allocate() {
    let start = StartState::from_seed(0, Seeding::Legacy).unwrap();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let mut env = PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy).unwrap();
    for t in 0..500 {
        let snapshot = env;
        let [_, _, x, y, _] = env.state();
        let push = [[0.0, 60.0], [90.0, 20.0], [-70.0, -40.0]][t / 7 % 3];
        env.step([x + push[0], y + push[1]]).unwrap();
        if t % 50 == 0 {
            env = snapshot;
            env.reset(start, StartOrder::AngleFirst).unwrap();
        }
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before);
}

fn main() {
    const NUM_ENVS: usize = 100;
    an_environment_does_not_allocate();
    for threads in [1, 3] {
        for autoreset_mode in [AutoresetMode::NextStep, AutoresetMode::SameStep] {
            let options = BatchOptions {
                params: PushTParams {
                    max_episode_steps: Some(10),
                    ..PushTParams::default()
                },
                autoreset_mode,
                threads: NonZero::new(threads),
                ..BatchOptions::default()
            };
            let mut envs = PushTBatch::new(NUM_ENVS, options).unwrap();
            envs.reset(&Seed::Int(0)).unwrap();
            let actions: Vec<f64> = (0..2 * NUM_ENVS).map(|at| (at * 37 % 512) as f64).collect();
            envs.step(&actions).unwrap();
            let mut pixels = vec![0; NUM_ENVS * 96 * 96 * 3];
            // The first pictures make the renderers.
            envs.pixels(96, 96, &mut pixels).unwrap();
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            assert!(before > 0, "it is counted");
            for _ in 0..50 {
                envs.step(&actions).unwrap();
                envs.pixels(96, 96, &mut pixels).unwrap();
                envs.final_pixels(96, 96, &mut pixels).unwrap();
            }
            let allocated = ALLOCATIONS.load(Ordering::Relaxed) - before;
            assert_eq!(allocated, 0, "{threads} threads, {autoreset_mode:?}");
        }
    }
    println!("a step of a batch and its pictures do not allocate");
}
