//! A custom environment, eight copies of it in worker processes.
//!
//! ```sh
//! cargo run --release -p pusht-gym --example own_env
//! ```

use pusht_gym::env::{Env, EnvError, EnvSpec, Registry, Step};
use pusht_gym::space::{Space, seeded};
use pusht_gym::value::{Dict, Value};
use pusht_gym::vector::{
    AsyncOptions, AsyncVectorEnv, Seed, VectorEnv, WorkerProgram, run_if_worker,
};

/// A walk on the integers: a step up or down until the position is `goal` or `-goal`.
struct Walk {
    position: i64,
    goal: i64,
}

impl Env for Walk {
    fn observation_space(&self) -> Space {
        Space::uniform_box(-self.goal as f64, self.goal as f64, &[1])
    }

    fn action_space(&self) -> Space {
        Space::discrete(2)
    }

    fn reset(&mut self, seed: Option<u64>, _options: &Dict) -> Result<(Value, Dict), EnvError> {
        // The environment is deterministic; its seed selects the start.
        self.position = (seed.unwrap_or(0) % 3) as i64;
        Ok(([self.position as f64].into(), Dict::new()))
    }

    fn step(&mut self, action: &Value) -> Result<Step, EnvError> {
        let up = action.as_int() == Some(1);
        self.position += if up { 1 } else { -1 };
        let terminated = self.position.abs() >= self.goal;
        Ok(Step {
            observation: [self.position as f64].into(),
            reward: if terminated { 1.0 } else { 0.0 },
            terminated,
            truncated: false,
            info: Dict::new(),
        })
    }
}

/// The environments that a worker process can make.
fn registry() -> Registry {
    Registry::default().register(EnvSpec::new("Walk").with("goal", 10), |kwargs| {
        let mut goal = 0;
        for (name, value) in kwargs {
            goal = match (name.as_str(), value.as_int()) {
                ("goal", Some(goal)) if goal > 0 => goal,
                ("goal", _) => {
                    return Err(EnvError::wrong_value(name, "an integer above 0", value));
                }
                _ => return Err(EnvError::unknown_argument("Walk", name, &["goal"])),
            };
        }
        Ok(Box::new(Walk { position: 0, goal }))
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    run_if_worker(&registry());

    let specs = vec![EnvSpec::new("Walk").with("goal", 5); 8];
    let mut envs =
        AsyncVectorEnv::processes(&specs, WorkerProgram::default(), AsyncOptions::default())?;
    let (first, _infos) = envs.reset(Seed::Int(0), &Dict::new())?;
    println!("from {:?}", first.as_slice::<f64>().unwrap_or_default());
    let mut random = seeded(1);
    let mut episodes = 0;
    for _ in 0..200 {
        let actions = envs.spaces().action_space.sample(&mut random);
        let step = envs.step(&actions)?;
        episodes += step.terminations.iter().filter(|done| **done).count();
    }
    println!("{episodes} episodes in 1600 steps");
    envs.close();
    Ok(())
}
