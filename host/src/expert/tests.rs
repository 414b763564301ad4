use super::*;
use crate::evaluate::start;
use pusht_core::pusht::env::Seeding;
use pusht_core::pusht::env::Vec2;
use pusht_core::pusht::episode::MAX_EPISODE_STEPS;
use rayon::prelude::*;

/// Actions of the expert in the episode of `seed`, and whether it finishes.
fn play(seed: u64, seeding: Seeding) -> (Vec<Action>, bool) {
    let mut env = start(seed, seeding).unwrap();
    let mut expert = Expert::new(ExpertOptions::default(), seed);
    let mut actions = Vec::new();
    while !ExpertOptions::default().has_finished(&env) && actions.len() < MAX_EPISODE_STEPS {
        let action = expert.act(&env);
        env.step(action).unwrap();
        actions.push(action);
    }
    (actions, ExpertOptions::default().has_finished(&env))
}

#[test]
fn nearly_every_start_is_solved() {
    for seeding in [Seeding::Legacy, Seeding::Pcg64] {
        let solved = (1_990_000..1_990_050_u64)
            .into_par_iter()
            .filter(|&seed| play(seed, seeding).1);
        let solved = solved.count();
        assert!(solved >= 49, "{solved} of 50, {seeding:?}");
    }
}

#[test]
fn an_episode_is_a_function_of_its_seed() {
    let (actions, _) = play(1_990_001, Seeding::Legacy);
    assert_eq!(actions, play(1_990_001, Seeding::Legacy).0);
    assert_ne!(actions, play(1_990_002, Seeding::Legacy).0);
}

#[test]
fn the_target_keeps_the_speed_limit() {
    let (actions, _) = play(1_990_003, Seeding::Legacy);
    for pair in actions.windows(2) {
        let step = (pair[1][0] - pair[0][0]).hypot(pair[1][1] - pair[0][1]);
        assert!(
            step <= ExpertOptions::default().speed_limit_px + 1e-3,
            "{step}"
        );
    }
}

#[test]
fn the_expert_takes_over_from_any_state() {
    let mut env = start(1_990_004, Seeding::Legacy).unwrap();
    // Pushes the block into a corner.
    for step in 0..40 {
        env.step([256.0 + 6.0 * f64::from(step), 256.0]).unwrap();
    }
    let mut expert = Expert::taking_over(ExpertOptions::default(), 0, [490.0, 256.0]);
    let mut n_steps = 0;
    while !ExpertOptions::default().has_finished(&env) && n_steps < MAX_EPISODE_STEPS {
        let action = expert.act(&env);
        env.step(action).unwrap();
        n_steps += 1;
    }
    assert!(
        ExpertOptions::default().has_finished(&env),
        "{}",
        env.coverage()
    );
}

#[test]
fn the_outline_is_closed_and_its_normals_point_outward() {
    for step in 0..480 {
        let (point, normal) = outline::at(f64::from(step) + 0.5);
        let inside = |p: Vec2| {
            let bar = p.x.abs() < 60.0 && p.y > 0.0 && p.y < 30.0;
            let stem = p.x.abs() < 15.0 && p.y > 0.0 && p.y < 120.0;
            bar || stem
        };
        assert!(
            inside(point - normal * 0.1) && !inside(point + normal * 0.1),
            "{point}"
        );
    }
    assert_eq!(outline::at(480.5), outline::at(0.5));
}

#[test]
fn ways_round_the_block_keep_off_it_and_are_no_detour() {
    let far = |p: Vec2| p.norm() > 0.0 && !route::is_near(p);
    for (from, to) in [
        ([0.0, -60.0], [0.0, 160.0]),
        ([-90.0, 60.0], [90.0, 60.0]),
        ([40.0, 80.0], [-40.0, 80.0]),
        ([0.0, 15.0], [0.0, 160.0]),
    ] {
        let (from, to) = (Vec2::from(from), Vec2::from(to));
        let way = route::way(from, to).unwrap();
        assert_eq!(*way.last().unwrap(), to);
        let mut at = from;
        let mut length = 0.0;
        for point in way {
            for part in 1..50 {
                let between = at + (point - at) * (f64::from(part) / 50.0);
                assert!(
                    far(between) || route::is_near(from) && at == from,
                    "{between}"
                );
            }
            length += (point - at).norm();
            at = point;
        }
        assert!(length < 3.0 * ((to - from).norm() + 120.0), "{length}");
    }
    assert!(route::way(Vec2::new(200.0, 0.0), Vec2::new(0.0, 10.0)).is_none());
}
