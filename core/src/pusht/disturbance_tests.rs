use super::*;
use crate::pusht::env::{Seeding, StartOrder, StartState};
use crate::pusht::geometry::length;

extern crate std;
use std::vec::Vec;

/// States seen and actions executed in 40 ticks of a fixed motion.
fn play(disturbances: &Disturbances, seed: u64) -> Vec<([f64; STATE_DIM], Action)> {
    let start = StartState::from_seed(3, Seeding::Legacy).unwrap();
    let params = disturbances.params(seed).unwrap();
    let mut env = PushTEnv::new(params, start, StartOrder::Legacy).unwrap();
    let mut world = DisturbedWorld::new(disturbances, seed);
    (0..40)
        .map(|tick| {
            let seen = world.observe(tick, &mut env).unwrap();
            let issued = [tick as f64, 300.0];
            let executed = world.act(tick, &env, issued);
            env.step(executed).unwrap();
            (seen, executed)
        })
        .collect()
}

fn latency(least: usize, most: usize, varies: bool) -> Latency {
    Latency {
        least,
        most,
        varies,
    }
}

#[test]
fn equal_seeds_are_disturbed_alike_and_others_are_not() {
    let disturbances = Disturbances {
        observation_noise: PoseAmount { px: 4.0, rad: 0.04 },
        action_noise_px: 5.0,
        ..Disturbances::default()
    };
    assert_eq!(play(&disturbances, 1), play(&disturbances, 1));
    assert_ne!(play(&disturbances, 1), play(&disturbances, 2));
}

#[test]
fn noise_has_its_strength() {
    let noise = PoseAmount { px: 4.0, rad: 0.04 };
    let disturbances = Disturbances {
        observation_noise: noise,
        ..Disturbances::default()
    };
    let world = DisturbedWorld::new(&disturbances, 5);
    let n = 20_000;
    let mut squares = [0.0; STATE_DIM];
    for tick in 0..n {
        for (sum, value) in squares
            .iter_mut()
            .zip(world.measure(tick, [0.0; STATE_DIM]))
        {
            *sum += value * value / n as f64;
        }
    }
    for (square, deviation) in squares.iter().zip([4.0, 4.0, 4.0, 4.0, 0.04]) {
        // Five standard errors of a variance: 5 sqrt(2 / n).
        let relative = square / (deviation * deviation) - 1.0;
        assert!(relative.abs() < 0.05, "{square} is not {deviation}^2");
    }
}

#[test]
fn actions_arrive_in_order_after_their_latency() {
    let fixed = Disturbances {
        action_latency: latency(2, 2, false),
        ..Disturbances::default()
    };
    let actions: Vec<f64> = play(&fixed, 9).iter().map(|(_, [x, _])| *x).collect();
    // Until the first arrives, the agent holds its start.
    assert_eq!(actions[..2], [actions[0]; 2]);
    assert_eq!(actions[2..5], [0.0, 1.0, 2.0]);
    let varying = Disturbances {
        action_latency: latency(0, 3, true),
        ..Disturbances::default()
    };
    let actions = play(&varying, 9);
    let lags: Vec<f64> = (actions.iter().enumerate().skip(4))
        .map(|(tick, (_, [x, _]))| tick as f64 - x)
        .collect();
    assert!(lags.iter().all(|lag| (0.0..=3.0).contains(lag)), "{lags:?}");
    assert!(lags.iter().any(|lag| *lag != lags[0]));
    assert!(
        actions[4..]
            .windows(2)
            .all(|two| two[0].1[0] <= two[1].1[0])
    );
}

#[test]
fn latency_of_an_episode_takes_every_value_of_its_range() {
    let range = latency(0, 3, false);
    let mut seen = [0; 4];
    for seed in 0..400 {
        let drawn = range.of(seed, Stream::ActionLatency, 0);
        assert_eq!(drawn, range.of(seed, Stream::ActionLatency, 17));
        seen[drawn] += 1;
    }
    assert!(seen.iter().all(|n| (60..140).contains(n)), "{seen:?}");
}

#[test]
fn observations_are_late_or_repeated_but_never_older_than_before() {
    let clean = play(&Disturbances::default(), 4);
    let late = Disturbances {
        observation_latency: latency(3, 3, false),
        ..Disturbances::default()
    };
    let seen = play(&late, 4);
    assert_eq!(seen[10].0, clean[7].0);
    assert_eq!(seen[2].0, clean[0].0);
    let lossy = Disturbances {
        observation_loss: 0.3,
        ..Disturbances::default()
    };
    let seen = play(&lossy, 4);
    let lost = (1..40).filter(|tick| seen[*tick].0 == seen[tick - 1].0);
    assert!((4..22).contains(&lost.count()));
    for (tick, (state, _)) in seen.iter().enumerate() {
        let sent = clean.iter().position(|(clean, _)| clean == state).unwrap();
        assert!(sent <= tick);
    }
}

#[test]
fn shoves_and_offsets_have_their_size() {
    let start = StartState::from_state(&[60.0, 60.0, 256.0, 256.0, 0.3]);
    let mut env = PushTEnv::new(PushTParams::default(), start, StartOrder::AngleFirst).unwrap();
    let by = PoseAmount {
        px: 15.0,
        rad: 0.15,
    };
    let disturbances = Disturbances {
        shoves: Shoves { by, share: 1.0 },
        observation_offset: PoseAmount { px: 3.0, rad: 0.02 },
        ..Disturbances::default()
    };
    let world = DisturbedWorld::new(&disturbances, 11);
    let before = env.state();
    world.shove(1, &mut env).unwrap();
    let after = env.state();
    let moved = length(Vec2::new(after[2] - before[2], after[3] - before[3]));
    assert!((moved - 15.0).abs() < 1e-9, "{moved}");
    assert!(((after[4] - before[4]).abs() - 0.15).abs() < 1e-9);
    let [first, second] = [4, 5].map(|tick| world.measure(tick, after));
    assert_eq!(first, second, "the error is constant");
    let offset = length(Vec2::new(first[0] - after[0], first[1] - after[1]));
    assert!((offset - 3.0).abs() < 1e-9, "{offset}");
}

#[test]
fn a_drawn_goal_leaves_room_to_the_walls() {
    let disturbances = Disturbances {
        goal: Goal::Anywhere(60.0),
        ..Disturbances::default()
    };
    let mut least = f64::INFINITY;
    for seed in 0..500 {
        let params = disturbances.params(seed).unwrap();
        let pose = Pose::new(params.goal_px, params.goal_angle_rad);
        for [x, y] in BLOCK_VERTICES_PX {
            least = least.min(distance_from_walls(pose.transform(Vec2::new(x, y))));
        }
    }
    assert!((60.0..62.0).contains(&least), "{least}");
}

#[test]
fn a_dead_zone_keeps_the_agent_where_it_is() {
    let disturbances = Disturbances {
        dead_zone_px: 1e5,
        ..Disturbances::default()
    };
    let played = play(&disturbances, 3);
    let [x, y] = [played[0].0[0], played[0].0[1]];
    assert!(played.iter().all(|(_, action)| *action == [x, y]));
}

#[test]
fn values_out_of_range_are_refused() {
    let none = Disturbances::default();
    for (what, bad) in [
        (
            "observation_noise",
            Disturbances {
                observation_noise: PoseAmount {
                    px: f64::NAN,
                    rad: 0.0,
                },
                ..none
            },
        ),
        (
            "action_latency",
            Disturbances {
                action_latency: latency(0, MAX_LATENCY + 1, false),
                ..none
            },
        ),
        (
            "observation_loss",
            Disturbances {
                observation_loss: 1.5,
                ..none
            },
        ),
        (
            "goal",
            Disturbances {
                goal: Goal::Anywhere(200.0),
                ..none
            },
        ),
        (
            "block_scale",
            Disturbances {
                block_size: Some(9.0),
                ..none
            },
        ),
    ] {
        assert_eq!(bad.params(0), Err(Error::InvalidParameter { what }));
    }
}
