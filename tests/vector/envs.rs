//! Small environments for these tests.

use crate::resets::Stumbles;
use pusht_gym::env::{Env, EnvError, EnvSpec, Registry, Step};
use pusht_gym::space::{Pcg64, Space, seeded};
use pusht_gym::value::{Array, Dict, Value, dict};
use std::time::Duration;

/// The environments of these tests and of the library.
pub fn registry() -> Registry {
    pusht_gym::pusht::registry()
        .register("CartPole", |kwargs| Ok(Box::new(CartPole::new(kwargs))))
        .register("Count", |_| Ok(Box::new(Count::default())))
        .register("Sampled", |kwargs| Ok(Box::new(Sampled::new(kwargs)?)))
        .register("Slow", |kwargs| Ok(Box::new(Slow::new(kwargs))))
        .register("Words", |_| Ok(Box::new(Words)))
        .register("Final", |_| Ok(Box::new(Final)))
        .register("Infos", |kwargs| Ok(Box::new(Infos(kwargs.clone()))))
        .register("Faulty", |_| Ok(Box::new(Faulty::default())))
        .register("Stumbles", |kwargs| Ok(Box::new(Stumbles::new(kwargs))))
        .register("Broken", |_| {
            Err(EnvError::new("ValueError", "broken from the start"))
        })
}

fn step(observation: impl Into<Value>, reward: f64, terminated: bool) -> Step {
    Step {
        observation: observation.into(),
        reward,
        terminated,
        truncated: false,
        info: Dict::new(),
    }
}

fn whole(action: &Value) -> Result<i64, EnvError> {
    let wrong = || EnvError::wrong_value("action", "an integer", action);
    action.as_int().ok_or_else(wrong)
}

/// A pole on a cart (Barto, Sutton and Anderson 1983), as Gymnasium's `CartPole-v1` without its
/// time limit.
pub struct CartPole {
    random: Pcg64,
    seed: u64,
    /// Position, velocity, angle, angular velocity.
    state: [f64; 4],
    gravity: f64,
    render_mode: Option<String>,
}

impl CartPole {
    fn new(kwargs: &Dict) -> Self {
        let seed = kwargs.get("seed").and_then(Value::as_int).unwrap_or(0) as u64;
        let render_mode = kwargs.get("render_mode").and_then(Value::as_text);
        Self {
            random: seeded(seed),
            seed,
            state: [0.0; 4],
            gravity: 9.8,
            render_mode: render_mode.map(str::to_owned),
        }
    }

    fn observation(&self) -> Value {
        self.state.map(|value| value as f32).into()
    }
}

impl Env for CartPole {
    fn observation_space(&self) -> Space {
        let high = [4.8, f32::INFINITY, 0.42, f32::INFINITY];
        Space::vector_box(high.map(|high| -high).to_vec(), high.to_vec())
    }

    fn action_space(&self) -> Space {
        Space::discrete(2)
    }

    fn metadata(&self) -> Dict {
        dict([("render_fps", Value::Int(50))])
    }

    fn render_mode(&self) -> Option<&str> {
        self.render_mode.as_deref()
    }

    fn reset(&mut self, seed: Option<u64>, _: &Dict) -> Result<(Value, Dict), EnvError> {
        if let Some(seed) = seed {
            (self.random, self.seed) = (seeded(seed), seed);
        }
        let start = Space::uniform_box(-0.05, 0.05, &[4]).sample(&mut self.random);
        self.state = start
            .as_slice()
            .and_then(|state| state.try_into().ok())
            .unwrap_or_default();
        Ok((self.observation(), Dict::new()))
    }

    fn step(&mut self, action: &Value) -> Result<Step, EnvError> {
        // kg, kg, m, N, s
        let (cart, pole, half_length, force, dt_s) = (1.0, 0.1, 0.5, 10.0, 0.02);
        let [x, x_dot, theta, theta_dot] = self.state;
        let force = if whole(action)? == 1 { force } else { -force };
        let (sin, cos) = theta.sin_cos();
        let push = (force + pole * half_length * theta_dot * theta_dot * sin) / (cart + pole);
        let theta_acc = (self.gravity * sin - cos * push)
            / (half_length * (4.0 / 3.0 - pole * cos * cos / (cart + pole)));
        let x_acc = push - pole * half_length * theta_acc * cos / (cart + pole);
        self.state = [
            x + dt_s * x_dot,
            x_dot + dt_s * x_acc,
            theta + dt_s * theta_dot,
            theta_dot + dt_s * theta_acc,
        ];
        let is_lost = self.state[0].abs() > 2.4 || self.state[2].abs() > 12_f64.to_radians();
        Ok(step(self.observation(), 1.0, is_lost))
    }

    fn render(&mut self) -> Result<Value, EnvError> {
        let column = ((self.state[0] + 4.8) / 9.6 * 8.0).clamp(0.0, 7.0) as usize;
        let mut picture = vec![255_u8; 8 * 8 * 3];
        picture[3 * (7 * 8 + column)..][..3].fill(0);
        Ok(Array::new(&[8, 8, 3], picture).map_or(Value::None, Value::Array))
    }

    fn get_attr(&self, name: &str) -> Result<Value, EnvError> {
        match name {
            "gravity" => Ok(self.gravity.into()),
            "np_random_seed" => Ok(self.seed.into()),
            _ => Err(EnvError::no_attribute(name)),
        }
    }

    fn set_attr(&mut self, name: &str, value: Value) -> Result<(), EnvError> {
        match (name, value.as_float()) {
            ("gravity", Some(gravity)) => {
                self.gravity = gravity;
                Ok(())
            }
            ("gravity", None) => Err(EnvError::wrong_value(name, "a float", &value)),
            _ => Err(EnvError::no_attribute(name)),
        }
    }
}

/// Counts its steps, from the seed up to `max_count`; the action is the reward. The episode is
/// truncated at `truncate_at`.
#[derive(Default)]
struct Count {
    count: i64,
    max_count: i64,
    truncate_at: i64,
    /// Whether its infos report the calls.
    informs: bool,
}

impl Env for Count {
    fn observation_space(&self) -> Space {
        Space::discrete(5)
    }

    fn action_space(&self) -> Space {
        Space::discrete(5)
    }

    fn reset(&mut self, seed: Option<u64>, options: &Dict) -> Result<(Value, Dict), EnvError> {
        if options.contains_key("reset_mask") {
            return Err(EnvError::new("ValueError", "the mask was handed on"));
        }
        self.count = seed.unwrap_or(0) as i64;
        let info = match self.informs {
            true => dict([("reset", true.into())]),
            false => Dict::new(),
        };
        Ok((self.count.into(), info))
    }

    fn step(&mut self, action: &Value) -> Result<Step, EnvError> {
        let action = whole(action)?;
        self.count += 1;
        let mut step = step(self.count, action as f64, self.count == self.max_count);
        step.truncated = self.count == self.truncate_at;
        if self.informs {
            step.info = dict([
                ("count", self.count.into()),
                ("half", (self.count as f64 / 2.0).into()),
            ]);
            if self.count % 2 == 1 {
                step.info.insert("odd".into(), [self.count, action].into());
            }
        }
        Ok(step)
    }

    fn call(&mut self, name: &str, arguments: &[Value]) -> Result<Value, EnvError> {
        match (name, arguments) {
            ("add", [Value::Int(a), Value::Int(b)]) => Ok((a + b + i128::from(self.count)).into()),
            _ => self.get_attr(name),
        }
    }

    fn get_attr(&self, name: &str) -> Result<Value, EnvError> {
        match name {
            "count" => Ok(self.count.into()),
            _ => Err(EnvError::no_attribute(name)),
        }
    }

    fn set_attr(&mut self, name: &str, value: Value) -> Result<(), EnvError> {
        match (name, value) {
            ("max_count", Value::Int(value)) => self.max_count = value as i64,
            ("truncate_at", Value::Int(value)) => self.truncate_at = value as i64,
            ("informs", Value::Bool(value)) => self.informs = value,
            _ => return Err(EnvError::no_attribute(name)),
        }
        Ok(())
    }
}

/// Spaces of every kind and type, by the number with which [`Sampled`] is made.
pub fn testing_spaces() -> Vec<Space> {
    let inf = f64::INFINITY;
    vec![
        Space::discrete(3),
        Space::Discrete { n: 3, start: -1 },
        Space::uniform_box(0.0_f32, 1.0, &[1]),
        Space::uniform_box(0.0, inf, &[2, 2]),
        Space::vector_box(vec![-10.0, 0.0], vec![10.0, 10.0]),
        Space::uniform_box(-inf, 0.0, &[2, 1]),
        Space::uniform_box(half(-1.0), half(1.0), &[3]),
        Space::uniform_box(0_u8, 255, &[2, 2, 3]),
        Space::vector_box(vec![false, false, true], vec![true, false, true]),
        Space::vector_box(vec![i32::MIN, 0, -10], vec![0, i32::MAX, 10]),
        Space::uniform_box(-7_i64, 7, &[]),
        Space::dict([
            ("position", Space::discrete(5)),
            (
                "velocity",
                Space::vector_box(vec![0.0, 0.0], vec![1.0, 5.0]),
            ),
        ]),
        Space::dict([
            ("a", Space::uniform_box(0.0_f32, 1.0, &[3, 3])),
            (
                "b",
                Space::dict([("b_1", Space::uniform_box(-100_i32, 100, &[2]))]),
            ),
            ("c", Space::discrete(4)),
        ]),
        Space::Tuple(vec![Space::discrete(5), Space::uniform_box(0.0, 1.0, &[2])]),
    ]
}

/// A 16-bit float.
pub fn half(value: f32) -> half::f16 {
    half::f16::from_f32(value)
}

/// Actions in, observations out of the same space: the one with the number `space`, or a box of the
/// length `len` from 0 to `high`. It ends after `max_count` steps.
struct Sampled {
    space: Space,
    action_space: Space,
    random: Pcg64,
    count: i64,
    max_count: i64,
}

impl Sampled {
    fn new(kwargs: &Dict) -> Result<Self, EnvError> {
        let int = |name| kwargs.get(name).and_then(Value::as_int);
        let space = match int("space") {
            Some(index) => testing_spaces()[index as usize].clone(),
            None => Space::uniform_box(
                0.0,
                int("high").unwrap_or(1) as f64,
                &[int("len").unwrap_or(5) as usize],
            ),
        };
        let action_space = match int("space") {
            Some(_) => space.clone(),
            None => Space::discrete(2),
        };
        Ok(Self {
            space,
            action_space,
            random: seeded(0),
            count: 0,
            max_count: 0,
        })
    }
}

impl Env for Sampled {
    fn observation_space(&self) -> Space {
        self.space.clone()
    }

    fn action_space(&self) -> Space {
        self.action_space.clone()
    }

    fn reset(&mut self, seed: Option<u64>, _: &Dict) -> Result<(Value, Dict), EnvError> {
        if let Some(seed) = seed {
            self.random = seeded(seed);
        }
        self.count = 0;
        Ok((self.space.sample(&mut self.random), Dict::new()))
    }

    fn step(&mut self, action: &Value) -> Result<Step, EnvError> {
        if !self.action_space.contains(action) {
            return Err(EnvError::new(
                "ValueError",
                format!("{action:?} is not of the space"),
            ));
        }
        self.count += 1;
        let observation = self.space.sample(&mut self.random);
        Ok(step(observation, 0.0, self.count == self.max_count))
    }

    fn set_attr(&mut self, name: &str, value: Value) -> Result<(), EnvError> {
        match (name, value) {
            ("max_count", Value::Int(value)) => self.max_count = value as i64,
            _ => return Err(EnvError::no_attribute(name)),
        }
        Ok(())
    }
}

/// Takes `made_after_s` seconds to make, `slow_reset` seconds to reset, and to step as many seconds
/// as the action. Its observation is the number of steps.
struct Slow {
    slow_reset: f64,
    steps: u8,
}

impl Slow {
    fn new(kwargs: &Dict) -> Self {
        let seconds = |name| kwargs.get(name).and_then(Value::as_float).unwrap_or(0.0);
        std::thread::sleep(Duration::from_secs_f64(seconds("made_after_s")));
        Self {
            slow_reset: seconds("slow_reset"),
            steps: 0,
        }
    }

    fn observation(&self) -> Value {
        Value::Array(Array::filled(&[64, 64, 3], self.steps))
    }
}

impl Env for Slow {
    fn observation_space(&self) -> Space {
        Space::uniform_box(0_u8, 255, &[64, 64, 3])
    }

    fn action_space(&self) -> Space {
        Space::uniform_box(0.0_f32, 1.0, &[])
    }

    fn reset(&mut self, _: Option<u64>, _: &Dict) -> Result<(Value, Dict), EnvError> {
        std::thread::sleep(Duration::from_secs_f64(self.slow_reset));
        self.steps = 0;
        Ok((self.observation(), Dict::new()))
    }

    fn step(&mut self, action: &Value) -> Result<Step, EnvError> {
        let seconds = action.as_slice::<f32>().map_or(0.0, |seconds| seconds[0]);
        std::thread::sleep(Duration::from_secs_f32(seconds));
        self.steps += 1;
        Ok(step(self.observation(), f64::from(self.steps), false))
    }
}

/// Strings as actions and observations.
struct Words;

impl Env for Words {
    fn observation_space(&self) -> Space {
        Space::Custom("words".into())
    }

    fn action_space(&self) -> Space {
        Space::Custom("words".into())
    }

    fn reset(&mut self, _: Option<u64>, _: &Dict) -> Result<(Value, Dict), EnvError> {
        Ok(("reset".into(), Dict::new()))
    }

    fn step(&mut self, action: &Value) -> Result<Step, EnvError> {
        let word = action.as_text().unwrap_or_default();
        Ok(step(format!("step({word})").as_str(), 0.0, false))
    }
}

/// Ends with the action 3, and reports its calls in its infos.
struct Final;

impl Env for Final {
    fn observation_space(&self) -> Space {
        Space::discrete(4)
    }

    fn action_space(&self) -> Space {
        Space::discrete(4)
    }

    fn reset(&mut self, _: Option<u64>, _: &Dict) -> Result<(Value, Dict), EnvError> {
        Ok((Value::Int(0), dict([("reset", true.into())])))
    }

    fn step(&mut self, action: &Value) -> Result<Step, EnvError> {
        let action = whole(action)?;
        let mut step = step(if action < 3 { action } else { 0 }, 0.0, action >= 3);
        step.info = dict([("action", action.into())]);
        Ok(step)
    }
}

/// Returns the infos that it was made with, `reset` and `step`.
struct Infos(Dict);

impl Env for Infos {
    fn observation_space(&self) -> Space {
        Space::uniform_box(0.0, 1.0, &[1])
    }

    fn action_space(&self) -> Space {
        Space::uniform_box(0.0, 1.0, &[1])
    }

    fn reset(&mut self, _: Option<u64>, _: &Dict) -> Result<(Value, Dict), EnvError> {
        let info = self.0.get("reset").and_then(Value::as_dict);
        Ok(([0.5].into(), info.cloned().unwrap_or_default()))
    }

    fn step(&mut self, _: &Value) -> Result<Step, EnvError> {
        let info = self.0.get("step").and_then(Value::as_dict);
        let mut step = step([0.5], 0.0, true);
        step.info = info.cloned().unwrap_or_default();
        Ok(step)
    }
}

/// Fails as the action says: returns an error, panics, exits, hangs or returns a wrong observation.
#[derive(Default)]
struct Faulty {
    steps: i64,
}

/// The actions of the environment `Faulty`.
pub mod faulty {
    pub const STEP: i64 = 0;
    pub const ERROR: i64 = 1;
    pub const PANIC: i64 = 2;
    pub const EXIT: i64 = 3;
    pub const HANG: i64 = 4;
    pub const WRONG_SHAPE: i64 = 5;
}

impl Env for Faulty {
    fn observation_space(&self) -> Space {
        Space::uniform_box(i64::MIN, i64::MAX, &[2])
    }

    fn action_space(&self) -> Space {
        Space::discrete(6)
    }

    fn reset(&mut self, seed: Option<u64>, _: &Dict) -> Result<(Value, Dict), EnvError> {
        if seed == Some(1) {
            return Err(EnvError::new("ValueError", "Error in reset"));
        }
        self.steps = 0;
        Ok(([0_i64, 100].into(), Dict::new()))
    }

    fn step(&mut self, action: &Value) -> Result<Step, EnvError> {
        match whole(action)? {
            faulty::ERROR => return Err(EnvError::new("ValueError", "Error in step")),
            faulty::PANIC => panic!("this environment panics"),
            faulty::EXIT => std::process::exit(7),
            faulty::HANG => loop {
                std::thread::sleep(Duration::from_secs(3600));
            },
            faulty::WRONG_SHAPE => return Ok(step([1_i64], 0.0, false)),
            _ => (),
        }
        self.steps += 1;
        Ok(step([self.steps, 100], self.steps as f64, false))
    }

    fn get_attr(&self, name: &str) -> Result<Value, EnvError> {
        match name {
            "pid" => Ok(std::process::id().into()),
            _ => Err(EnvError::no_attribute(name)),
        }
    }
}

/// The specification of an environment of these tests.
pub fn spec(id: &str) -> EnvSpec {
    EnvSpec::new(id)
}
