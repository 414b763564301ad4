use super::*;
use crate::env::{Env, EnvError, Step};
use crate::space::Space;
use crate::value::{Array, Dict, Value, dict};

/// Counts its steps; the reward is the action; it ends at `last`.
pub(super) struct Counter {
    count: i64,
    last: i64,
}

impl Env for Counter {
    fn observation_space(&self) -> Space {
        Space::dict([
            ("count", Space::uniform_box(0_i64, 100, &[1])),
            ("odd", Space::discrete(2)),
        ])
    }
    fn action_space(&self) -> Space {
        Space::uniform_box(-9.0, 9.0, &[1])
    }
    fn reset(&mut self, _: Option<u64>, _: &Dict) -> Result<(Value, Dict), EnvError> {
        self.count = 0;
        Ok((self.observation(), dict([("start", true.into())])))
    }
    fn step(&mut self, action: &Value) -> Result<Step, EnvError> {
        self.count += 1;
        Ok(Step {
            observation: self.observation(),
            reward: action.as_slice::<f64>().unwrap()[0],
            terminated: self.count == self.last,
            truncated: false,
            info: dict([
                ("count", self.count.into()),
                ("pos", [self.count as f64, 0.5].into()),
            ]),
        })
    }
}

impl Counter {
    pub(super) fn new(last: i64) -> Self {
        Self { count: 0, last }
    }
    fn observation(&self) -> Value {
        dict([
            ("count", [self.count].into()),
            ("odd", (self.count % 2).into()),
        ])
        .into()
    }
}

fn column(values: &[f64]) -> Value {
    Array::new(&[values.len(), 1], values.to_vec())
        .unwrap()
        .into()
}

fn counts(observation: &Value) -> Vec<i64> {
    let counts = &observation.as_dict().unwrap()["count"];
    counts.as_slice::<i64>().unwrap().to_vec()
}

fn multi_step(
    last: i64,
    reward_agg_method: RewardAggregation,
    most: Option<usize>,
) -> MultiStep<Counter> {
    let options = MultiStepOptions {
        n_obs_steps: 3,
        n_action_steps: 2,
        max_episode_steps: most,
        reward_agg_method,
    };
    MultiStep::new(Counter::new(last), options).unwrap()
}

#[test]
fn multi_step_stacks_observations_and_pads_with_the_oldest() {
    let mut env = multi_step(100, RewardAggregation::Max, None);
    let (observation, info) = env.reset(None, &Dict::new()).unwrap();
    assert!(env.observation_space().contains(&observation));
    assert_eq!(counts(&observation), [0, 0, 0]);
    assert_eq!(info, dict([("start", true.into())]));
    assert!(env.action_space().contains(&column(&[1.0, 2.0])));
    let step = env.step(&column(&[5.0, 2.0])).unwrap();
    assert_eq!(counts(&step.observation), [0, 1, 2]);
    assert_eq!(
        step.observation.as_dict().unwrap()["odd"],
        [0_i64, 1, 0].into()
    );
    assert_eq!(
        step.info["count"],
        [1_i64, 2].into(),
        "infos are not padded"
    );
    assert_eq!(step.info["pos"].as_array().unwrap().shape(), [2, 2]);
    let step = env.step(&column(&[1.0, 1.0])).unwrap();
    assert_eq!(counts(&step.observation), [2, 3, 4]);
    assert_eq!(step.info["count"], [2_i64, 3, 4].into());
    assert_eq!(step.reward, 5.0, "of the whole episode, as upstream");
    let (observation, _) = env.reset(None, &Dict::new()).unwrap();
    assert_eq!(counts(&observation), [0, 0, 0]);
    assert_eq!(env.step(&column(&[1.0, 0.5])).unwrap().reward, 1.0);
}

#[test]
fn multi_step_leaves_out_the_actions_after_the_end() {
    let mut env = multi_step(3, RewardAggregation::Sum, None);
    env.reset(None, &Dict::new()).unwrap();
    assert!(!env.step(&column(&[1.0, 1.0])).unwrap().is_last());
    let step = env.step(&column(&[1.0, 1.0])).unwrap();
    assert_eq!(
        (step.terminated, step.truncated, step.reward),
        (true, false, 3.0)
    );
    assert_eq!(counts(&step.observation), [1, 2, 3]);
    let again = env.step(&column(&[1.0, 1.0])).unwrap();
    assert_eq!(again, step, "nothing happens until the reset");
    assert_eq!(
        env.call("get_rewards", &[]).unwrap(),
        [1.0, 1.0, 1.0].into()
    );
}

#[test]
fn multi_step_cuts_off_and_aggregates() {
    for (method, reward) in [
        (RewardAggregation::Max, 4.0),
        (RewardAggregation::Min, -1.0),
        (RewardAggregation::Mean, 2.0),
        (RewardAggregation::Sum, 6.0),
    ] {
        let mut env = multi_step(100, method, Some(3));
        env.reset(None, &Dict::new()).unwrap();
        env.step(&column(&[3.0, -1.0])).unwrap();
        let step = env.step(&column(&[4.0, 8.0])).unwrap();
        assert_eq!((step.terminated, step.truncated), (false, true));
        assert_eq!(step.reward, reward);
    }
    let mut env = multi_step(100, RewardAggregation::Max, None);
    assert_eq!(
        env.step(&column(&[0.0, 0.0])).unwrap_err().kind,
        "ResetNeeded"
    );
    env.reset(None, &Dict::new()).unwrap();
    assert_eq!(env.step(&column(&[0.0])).unwrap_err().kind, "ValueError");
    assert!(
        env.step(&column(&[0.0, f64::NAN])).is_ok(),
        "the environment's business"
    );
}

#[test]
fn time_limit_truncates_and_starts_anew() {
    let mut env = TimeLimit::new(Counter::new(100), 2).unwrap();
    for _ in 0..2 {
        env.reset(None, &Dict::new()).unwrap();
        assert!(!env.step(&[0.0].into()).unwrap().truncated);
        let step = env.step(&[0.0].into()).unwrap();
        assert_eq!((step.terminated, step.truncated), (false, true));
    }
}

#[test]
fn a_time_limit_of_no_step_is_refused() {
    let zero = TimeLimit::new(Counter::new(9), 0).err().unwrap();
    assert_eq!(
        zero.to_string(),
        "ValueError: max_episode_steps: at least 1 needed"
    );
    let options = MultiStepOptions {
        n_obs_steps: 1,
        n_action_steps: 1,
        max_episode_steps: Some(0),
        reward_agg_method: RewardAggregation::Max,
    };
    assert_eq!(MultiStep::new(Counter::new(9), options).err(), Some(zero));
}

#[test]
fn an_environment_with_an_episode_of_its_own_has_no_statistics() {
    let inner = RecordEpisodeStatistics::new(Counter::new(1));
    let mut env = RecordEpisodeStatistics::new(inner);
    env.reset(None, &Dict::new()).unwrap();
    let error = env.step(&[1.0].into()).unwrap_err().to_string();
    assert!(error.contains("`episode` of its own"), "{error}");
}

#[test]
fn statistics_are_in_the_last_info() {
    let mut env = RecordEpisodeStatistics::new(Counter::new(3));
    for _ in 0..101 {
        env.reset(None, &Dict::new()).unwrap();
        for reward in [1.0, 2.0] {
            let step = env.step(&[reward].into()).unwrap();
            assert!(!step.info.contains_key("episode"));
        }
        let step = env.step(&[-0.5].into()).unwrap();
        let episode = step.info["episode"].as_dict().unwrap();
        assert_eq!(
            (&episode["r"], &episode["l"]),
            (&Value::Float(2.5), &Value::Int(3))
        );
        assert!(episode["t"].as_float().unwrap() >= 0.0);
    }
    assert_eq!(env.get_attr("episode_count").unwrap(), Value::Int(101));
    assert_eq!(env.get_attr("return_queue").unwrap(), vec![2.5; 100].into());
    assert_eq!(
        env.get_attr("length_queue").unwrap(),
        vec![3_i64; 100].into()
    );
    assert!(env.get_attr("nothing").is_err());
}
