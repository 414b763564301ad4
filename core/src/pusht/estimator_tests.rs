use super::*;
use crate::pusht::border::{Border, Disturbed};
use crate::pusht::disturbance::{Disturbances, Latency, PoseAmount};

extern crate std;
use std::vec::Vec;

/// A tick of a disturbed episode: the true state, that of the border without, and with the
/// estimator.
struct Seen {
    state: [f64; STATE_DIM],
    raw: [f64; STATE_DIM],
    estimated: [f64; STATE_DIM],
}

/// 60 ticks in which the agent goes around and then pushes the block, and the delay found.
fn play(disturbances: &Disturbances) -> (Vec<Seen>, usize) {
    let start = StartState::from_state(&[100.0, 120.0, 260.0, 200.0, 0.4]);
    let params = disturbances.params(6).unwrap();
    let mut env = PushTEnv::new(params, start, StartOrder::AngleFirst).unwrap();
    let mut border = Disturbed::new(disturbances, 6, &params);
    let mut estimator = Estimator::new();
    let seen = (0..60).map(|tick| {
        let raw = border.observe(tick, &mut env).unwrap();
        let estimated = estimator.estimate(&raw).unwrap();
        let state = env.state();
        let along = tick as f64;
        let issued = estimator.act([100.0 + 4.0 * along, 120.0 + 3.0 * along]);
        let executed = border.act(tick, &env, issued);
        env.step(executed).unwrap();
        Seen {
            state,
            raw,
            estimated,
        }
    });
    let seen = seen.collect();
    (seen, estimator.delay())
}

fn error(a: &[f64; STATE_DIM], b: &[f64; STATE_DIM]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
    libm::sqrt(squares.sum())
}

fn fixed(ticks: usize) -> Latency {
    Latency {
        least: ticks,
        most: ticks,
        varies: false,
    }
}

#[test]
fn late_observations_are_predicted_to_the_present() {
    for ticks in 1..=4 {
        let (seen, delay) = play(&Disturbances {
            observation_latency: fixed(ticks),
            ..Disturbances::default()
        });
        assert_eq!(delay, ticks);
        for of in &seen[10..] {
            assert!(error(&of.estimated, &of.state) < 0.5, "{ticks} ticks");
        }
        assert!(error(&seen[30].raw, &seen[30].state) > 3.0);
    }
}

#[test]
fn late_actions_are_planned_for_the_scene_that_they_will_meet() {
    let (seen, delay) = play(&Disturbances {
        action_latency: fixed(3),
        ..Disturbances::default()
    });
    assert_eq!(delay, 3);
    for (now, later) in seen[10..].iter().zip(&seen[13..]) {
        assert!(error(&now.estimated, &later.state) < 0.5);
    }
}

#[test]
fn noise_is_averaged_over() {
    let (seen, delay) = play(&Disturbances {
        observation_noise: PoseAmount { px: 4.0, rad: 0.04 },
        ..Disturbances::default()
    });
    assert_eq!(delay, 0);
    let mean = |of: fn(&Seen) -> f64| seen[10..].iter().map(of).sum::<f64>() / 50.0;
    let raw = mean(|of| error(&of.raw, &of.state));
    let estimated = mean(|of| error(&of.estimated, &of.state));
    assert!(raw > 6.0 && estimated < 3.5, "{raw} {estimated}");
}

#[test]
fn lost_observations_are_predicted() {
    let (seen, _) = play(&Disturbances {
        observation_loss: 0.4,
        ..Disturbances::default()
    });
    let worst = |of: fn(&Seen) -> f64| seen.iter().map(of).fold(0.0, f64::max);
    let raw = worst(|of| error(&of.raw, &of.state));
    let estimated = worst(|of| error(&of.estimated, &of.state));
    assert!(raw > 4.0 && estimated < 0.5, "{raw} {estimated}");
}
