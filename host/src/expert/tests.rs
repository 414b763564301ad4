use super::*;
use crate::evaluate::start;
use pusht_core::env::Seeding;
use pusht_core::episode::MAX_EPISODE_STEPS;

/// Steps until the expert has finished the episode of `seed`; none if it has not in time.
fn play(seed: u64, seeding: Seeding) -> Option<(usize, Vec<Action>)> {
    let mut env = start(seed, seeding).unwrap();
    let mut expert = Expert::new(ExpertOptions::default(), seed);
    let mut actions = Vec::new();
    while !expert.has_finished(&env) && actions.len() < MAX_EPISODE_STEPS {
        let action = expert.act(&env);
        env.step(action).unwrap();
        actions.push(action);
    }
    expert
        .has_finished(&env)
        .then_some((actions.len(), actions))
}

#[test]
#[ignore]
fn measure() {
    let begin = std::time::Instant::now();
    let n = 100;
    let mut steps = 0;
    let mut solved = 0;
    for seed in 0..n {
        if let Some((s, _)) = play(1_900_000 + seed, Seeding::Legacy) {
            solved += 1;
            steps += s;
        } else {
            println!("failed {seed}");
        }
    }
    println!(
        "{solved} of {n}, {} steps, {:.3} s an episode",
        steps / solved.max(1),
        begin.elapsed().as_secs_f64() / n as f64
    );
}
