//! Any start, any parameters, any actions: the environment gives an error and is unharmed, or goes on with finite numbers.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pusht_core::digest::Digest;
use pusht_core::pusht::env::{PushTEnv, PushTParams, StartOrder, StartState, Vec2};
use pusht_fuzz::limit_memory;

#[derive(Arbitrary, Debug)]
struct Input {
    start: [f64; 5],
    angle_first: bool,
    /// Centre of gravity, moment and damping, if not the default.
    params: Option<([f64; 2], f64, f64)>,
    actions: Vec<Action>,
}

#[derive(Arbitrary, Debug)]
enum Action {
    Any([f64; 2]),
    /// From the block's origin, quarter pixels.
    NearBlock([i8; 2]),
    Reset([f64; 5]),
}

fuzz_target!(init: limit_memory(), |input: Input| {
    let order = [StartOrder::Legacy, StartOrder::AngleFirst][usize::from(input.angle_first)];
    let mut params = PushTParams::default();
    if let Some((cog, moment, damping)) = input.params {
        params.block_cog_px = Vec2::from(cog);
        (params.block_moment, params.damping) = (moment, damping);
    }
    let Ok(mut env) = PushTEnv::new(params, StartState::from_state(&input.start), order) else {
        return;
    };
    for action in input.actions.iter().take(64) {
        let (before, mut copy) = (bits(&env), env);
        let outcome = match action {
            Action::Any(target) => env.step(*target).map(|_| ()),
            Action::NearBlock(offset) => {
                let state = env.state();
                let target = |axis: usize| state[2 + axis] + f64::from(offset[axis]) / 0.25;
                let target = [target(0), target(1)];
                let outcome = env.step(target).map(|_| ());
                let _ = copy.step(target);
                assert_eq!(bits(&copy), bits(&env), "a copy goes another way");
                outcome
            }
            Action::Reset(start) => env.reset(StartState::from_state(start), order),
        };
        if outcome.is_err() {
            assert_eq!(bits(&env), before, "an error leaves a trace");
        }
        let (state, now) = (env.state(), env.current());
        assert!(state.iter().all(|value| value.is_finite()), "{state:?}");
        assert!((0.0..=1.0).contains(&now.reward), "{now:?}");
    }
});

/// Every bit that an environment shows.
fn bits(env: &PushTEnv) -> u64 {
    let (mut digest, info) = (Digest::new(), env.info());
    digest.f64s(&env.state());
    digest.f64s(&[
        info.agent_vel.x,
        info.agent_vel.y,
        info.block_angle_rad,
        env.coverage(),
    ]);
    digest.i32s(&[info.n_contact_points as i32]);
    digest.finish()
}
