//! Properties of the environment for every start and action: errors leave it unchanged, a copy
//! continues with the same bits, nothing panics.

mod tolerances;

use proptest::array::uniform2;
use proptest::prelude::*;
use pusht_core::Error;
use pusht_core::digest::Digest;
use pusht_core::pusht::env::{
    PushTEnv, PushTParams, Seeding, StartOrder, StartState, step_side_by_side,
};
use pusht_host::cmd::bench::sequences::{chase, squeeze, walls};

/// Values that have broken simulators: zeros, edges of the window, huge and tiny values.
const NASTY: [f64; 14] = [
    0.0,
    -0.0,
    5.0,
    256.0,
    506.0,
    512.0,
    -1e3,
    1e6,
    -1e7,
    1e15,
    -1e150,
    1e300,
    f64::MAX,
    5e-324,
];

fn env(start: StartState, order: StartOrder) -> Result<PushTEnv, Error> {
    PushTEnv::new(PushTParams::default(), start, order)
}

fn seeded(seed: u64) -> PushTEnv {
    let start = StartState::from_seed(seed, Seeding::Pcg64).unwrap();
    env(start, StartOrder::Legacy).unwrap()
}

/// Digest of all bits that an environment exposes.
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

/// The next value of a pseudo-random sequence of nasty values.
fn nasty(random: &mut u64) -> f64 {
    *random = random
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    NASTY[(*random >> 33) as usize % NASTY.len()]
}

/// Target position from which the agent pushes the block around.
fn push(env: &PushTEnv, t: usize) -> [f64; 2] {
    let [_, _, x, y, _] = env.state();
    let [dx, dy] = [[0.0, 60.0], [90.0, 20.0], [-70.0, -40.0]][t / 7 % 3];
    [x + dx, y + dy]
}

/// The feared bug: state that decides the future is not part of the value.
#[test]
fn a_snapshot_continues_with_the_same_bits() {
    for seed in 0..10 {
        let mut original = seeded(seed);
        for t in 0..60 {
            original.step(push(&original, t)).unwrap();
            // Continues from a copy after the original has diverged.
            let mut copy = original;
            for t in 0..5 {
                original.step(push(&original, t + 3)).unwrap();
            }
            let expected = bits(&original);
            let mut again = copy;
            for t in 0..5 {
                again.step(push(&again, t + 3)).unwrap();
            }
            assert_eq!(bits(&again), expected, "seed {seed}, step {t}");
            std::mem::swap(&mut original, &mut copy);
        }
    }
}

/// Covers pushes, walls, corners and squeezes, environments without an action, an action that
/// leaves the range, and one that is not finite.
#[test]
fn batched_steps_equal_single_steps() {
    let sequences = [chase(11), walls(17), squeeze(13)].map(Result::unwrap);
    let sequences = sequences.concat();
    let begin = || -> Vec<_> { sequences.iter().map(|s| s.begin().unwrap()).collect() };
    let (mut single, mut batched) = (begin(), begin());
    let left_out = Err(Error::LegacySeedTooLarge);
    let (mut n_contact_points, mut n_refused) = (0, 0);
    for t in 0..200 {
        let action = |index: usize| match (index, t % 50) {
            (3, 7) => Some([f64::NAN, 0.0]),
            (20, 9) => Some([f64::MAX, 0.0]),
            (index, _) if index % 5 == 4 && t % 3 == 0 => None,
            _ => Some(sequences[index].actions[t]),
        };
        let actions: Vec<_> = (0..sequences.len()).map(action).collect();
        let mut outcomes = vec![left_out; sequences.len()];
        step_side_by_side(&mut batched, &actions, &mut outcomes);
        for (index, action) in actions.into_iter().enumerate() {
            let env = &mut single[index];
            let expected = action.map_or(left_out, |action| env.step(action));
            assert_eq!(outcomes[index], expected, "{index}, step {t}");
            assert_eq!(bits(&batched[index]), bits(env), "{index}, step {t}");
            n_contact_points += env.info().n_contact_points;
            n_refused += usize::from(expected.is_err() && expected != left_out);
        }
    }
    assert!(n_contact_points > 20_000, "{n_contact_points}");
    assert_eq!(n_refused, 8);
}

#[test]
fn a_refused_action_changes_nothing() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let (mut env, mut other) = (seeded(1), seeded(1));
        for t in 0..30 {
            assert_eq!(env.step([bad, 0.0]), Err(Error::NonFiniteAction));
            assert_eq!(env.step([0.0, bad]), Err(Error::NonFiniteAction));
            assert_eq!(env.step([f64::MAX, 0.0]), Err(Error::OutOfRange));
            let action = push(&env, t);
            assert_eq!(env.step(action), other.step(action));
            assert_eq!(bits(&env), bits(&other), "step {t}");
        }
    }
}

#[test]
fn a_refused_start_changes_nothing() {
    let mut env = seeded(2);
    let before = bits(&env);
    for place in 0..5 {
        for (value, error) in [
            (f64::NAN, Error::NonFiniteState),
            (f64::INFINITY, Error::NonFiniteState),
        ] {
            let mut state = [256.0; 5];
            state[place] = value;
            let refused = env.reset(StartState::from_state(&state), StartOrder::Legacy);
            assert_eq!(refused, Err(error));
            assert_eq!(bits(&env), before);
        }
    }
}

/// The feared bug: such a parameter leads to a NaN in the motion.
#[test]
fn parameters_out_of_range_are_refused() {
    let with = |change: fn(&mut PushTParams)| {
        let mut params = PushTParams::default();
        change(&mut params);
        let start = StartState::from_seed(3, Seeding::Pcg64).unwrap();
        PushTEnv::new(params, start, StartOrder::Legacy).map(|_| ())
    };
    let refused = |what| Err(Error::InvalidParameter { what });
    assert_eq!(with(|p| p.block_moment = 2e-317), refused("block_moment"));
    assert_eq!(with(|p| p.block_moment = -3000.0), refused("block_moment"));
    assert_eq!(with(|p| p.block_moment = f64::NAN), refused("block_moment"));
    assert_eq!(with(|p| p.damping = 5e303), refused("damping"));
    assert_eq!(with(|p| p.damping = f64::NAN), refused("damping"));
    assert_eq!(
        with(|p| p.block_cog_px.y = f64::INFINITY),
        refused("block_cog_px")
    );
    assert_eq!(with(|p| p.block_cog_px.x = 1.0), Ok(()));
}

/// The feared bugs: a panic, a NaN in the state, a changed environment after an error.
#[test]
fn nasty_finite_values_keep_the_state_finite() {
    let mut random = 1;
    for round in 0..20_000 {
        let state = std::array::from_fn(|_| nasty(&mut random));
        let order = [StartOrder::Legacy, StartOrder::AngleFirst][round % 2];
        let Ok(mut env) = env(StartState::from_state(&state), order) else {
            continue;
        };
        for _ in 0..4 {
            let action = [nasty(&mut random), nasty(&mut random)];
            let before = bits(&env);
            match env.step(action) {
                Ok(step) => {
                    assert!(
                        (0.0..=1.0).contains(&step.reward),
                        "{state:?} {action:?} {step:?}"
                    );
                    assert!(env.state().iter().all(|value| value.is_finite()));
                }
                Err(error) => {
                    assert_eq!(error, Error::OutOfRange);
                    assert_eq!(bits(&env), before, "{state:?} {action:?}");
                }
            }
        }
    }
}

#[test]
fn coinciding_bodies_move_as_in_pymunk() {
    // The agent in the middle of the bar, where the stem keeps the block; all bodies in one corner.
    let cases = [
        ([256.0, 271.0, 256.0, 256.0, 0.0], [256.0, 256.0]),
        (
            [5.0, 5.0, 5.0, 5.0, 0.0],
            [-9.698_180_977_529_852, 19.159_529_437_789_21],
        ),
    ];
    for (state, expected) in cases {
        let mut env = env(StartState::from_state(&state), StartOrder::AngleFirst).unwrap();
        for _ in 0..20 {
            env.step([state[0], state[1]]).unwrap();
        }
        let [agent_x, agent_y, x, y, _] = env.state();
        assert_eq!([agent_x, agent_y], state[..2], "nothing moves the agent");
        let distance = (x - expected[0]).hypot(y - expected[1]);
        assert!(distance <= tolerances::PHYSICS_PX, "{x}, {y}");
    }
}

/// The feared bugs: truncation a step off, or an environment that stops at the time limit.
#[test]
fn the_time_limit_only_sets_truncated() {
    let mut env = seeded(4);
    for t in 1..=302 {
        let step = env.step([100.0, 100.0]).unwrap();
        assert_eq!(step.truncated, t >= 300, "step {t}");
    }
}

#[test]
fn the_corrected_parameters_are_those_of_the_shape() {
    let params = PushTParams::corrected();
    // By hand: (3600 x 15 + 2700 x 75) / 6300, and the two boxes' moments about that point.
    assert!((params.block_cog_px.y - 285.0 / 7.0).abs() < 1e-12);
    assert!(
        (params.block_moment - 94_650.0 / 49.0).abs() < 1e-9,
        "{}",
        params.block_moment
    );
}

/// Any `f64`, or, more often, a coordinate in or near the window, or an angle.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        1 => proptest::num::f64::ANY,
        8 => -100.0..620.0,
        4 => (-8i32..520).prop_map(f64::from),
        2 => -7.0..7.0,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// The feared bugs: a panic, a NaN in the state, a changed environment after an error.
    #[test]
    fn any_values_are_simulated_or_refused(
        state in [number(), number(), number(), number(), number()],
        angle_first: bool,
        actions in proptest::collection::vec(uniform2(number()), 0..20),
    ) {
        let order = [StartOrder::Legacy, StartOrder::AngleFirst][usize::from(angle_first)];
        let made = env(StartState::from_state(&state), order);
        let all_finite = state.iter().all(|value| value.is_finite());
        prop_assert_eq!(all_finite, made.as_ref().err() != Some(&Error::NonFiniteState));
        if let Ok(mut env) = made {
            for action in actions {
                let (before, mut copy) = (bits(&env), env);
                match env.step(action) {
                    Ok(step) => {
                        prop_assert!((0.0..=1.0).contains(&step.reward));
                        prop_assert_eq!(copy.step(action), Ok(step));
                        prop_assert_eq!(bits(&copy), bits(&env));
                    }
                    Err(error) => {
                        let finite = action.iter().all(|value| value.is_finite());
                        let expected = if finite { Error::OutOfRange } else { Error::NonFiniteAction };
                        prop_assert_eq!(error, expected);
                        prop_assert_eq!(bits(&env), before);
                    }
                }
                prop_assert!(env.state().iter().all(|value| value.is_finite()));
            }
        }
    }
}
