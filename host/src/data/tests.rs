use super::*;
use pusht_core::pusht::env::{PushTEnv, PushTParams, StartOrder, StartState};

#[test]
fn a_mirrored_episode_moves_as_the_mirror_shows() {
    let push = |index: u32| {
        [
            200.0 + 2.0 * f64::from(index),
            130.0 + 3.0 * f64::from(index),
        ]
    };
    let recorded = replay(&Episode {
        states: vec![[190.0, 120.0, 240.0, 190.0, 0.3]],
        actions: (0..40).map(push).collect(),
        ..Episode::default()
    });
    let moved = recorded.states[0][2..]
        .iter()
        .zip(&recorded.states[40][2..])
        .any(|(a, b)| (a - b).abs() > 20.0);
    assert!(moved, "nothing was pushed");

    let mirrored = recorded.mirrored();
    let replayed = replay(&Episode {
        states: mirrored.states[..1].to_vec(),
        actions: mirrored.actions.clone(),
        ..Episode::default()
    });
    for (shown, moved) in mirrored.states.iter().zip(&replayed.states) {
        for (index, (a, b)) in shown.iter().zip(moved).enumerate() {
            let difference = match index {
                4 => (a - b).sin(),
                _ => a - b,
            };
            assert!(difference.abs() < 1e-6, "{shown:?} is not {moved:?}");
        }
    }
}

/// Simulates an episode's actions from its first state.
fn replay(episode: &Episode) -> Episode {
    let start = StartState::from_state(&episode.states[0]);
    let mut env = PushTEnv::new(PushTParams::default(), start, StartOrder::AngleFirst).unwrap();
    let mut states = vec![env.state()];
    for action in &episode.actions {
        env.step(*action).unwrap();
        states.push(env.state());
    }
    Episode {
        states,
        actions: episode.actions.clone(),
        ..Episode::default()
    }
}
