//! Resets that fail, options of resets, and names of infos.

use crate::envs::spec;
use crate::{ALL, ASYNC, Vectoriser};
use pusht_gym::env::{Env, EnvError, EnvSpec, Step};
use pusht_gym::pusht::PUSHT_ID;
use pusht_gym::space::Space;
use pusht_gym::value::{Array, Dict, Value, dict};
use pusht_gym::vector::{AutoresetMode, Cause, Fault, Seed, VectorError, VectorOptions};

/// An environment whose reset after the first episode goes wrong as `how` says. Its second step
/// ends the episode; its observations count its steps, its rewards are their tenfold.
pub struct Stumbles {
    how: String,
    steps: i64,
    resets: i64,
}

impl Stumbles {
    pub fn new(kwargs: &Dict) -> Self {
        let how = kwargs.get("how").and_then(Value::as_text);
        Self {
            how: how.unwrap_or("").to_owned(),
            steps: 0,
            resets: 0,
        }
    }
}

impl Env for Stumbles {
    fn observation_space(&self) -> Space {
        Space::uniform_box(i64::MIN, i64::MAX, &[1])
    }

    fn action_space(&self) -> Space {
        Space::discrete(2)
    }

    fn reset(&mut self, _: Option<u64>, _: &Dict) -> Result<(Value, Dict), EnvError> {
        self.resets += 1;
        self.steps = 0;
        let mut info = dict([("resets", self.resets.into())]);
        let how = if self.resets == 2 {
            self.how.as_str()
        } else {
            ""
        };
        match how {
            "error" => return Err(EnvError::new("ValueError", "no second episode")),
            "shape" => return Ok(([0_i64, 0].into(), info)),
            "panic" => panic!("no second episode"),
            "name" => {
                info.insert("final_info".into(), "mine".into());
            }
            _ => (),
        }
        Ok(([0_i64].into(), info))
    }

    fn step(&mut self, _: &Value) -> Result<Step, EnvError> {
        self.steps += 1;
        let info = match self.how.as_str() {
            "underscore" => dict([("_x", 7.into()), ("y", 1.into())]),
            "nested" => dict([("d", dict([("x", 1.into()), ("_x", 2.into())]).into())]),
            _ => dict([("x", self.steps.into())]),
        };
        Ok(Step {
            observation: [self.steps].into(),
            reward: 10.0 * self.steps as f64,
            terminated: self.steps == 2,
            truncated: false,
            info,
        })
    }
}

/// Three environments, of which the second is of this kind.
fn specs(how: &str) -> [EnvSpec; 3] {
    ["", how, ""].map(|how| spec("Stumbles").with("how", how))
}

fn options(autoreset_mode: AutoresetMode) -> VectorOptions {
    VectorOptions {
        autoreset_mode,
        ..VectorOptions::default()
    }
}

fn column(values: [i64; 3]) -> Value {
    Array::new(&[3, 1], values.to_vec()).unwrap().into()
}

/// Reward and flag were lost, and the observation was that of the step before.
#[test]
fn the_last_step_of_an_episode_is_kept_when_the_reset_within_it_fails() {
    for vectoriser in ALL {
        for (how, is_fatal) in [
            ("error", false),
            ("shape", false),
            ("panic", true),
            ("name", false),
        ] {
            if is_fatal && vectoriser == Vectoriser::Sync {
                // There, a panic is the caller's.
                continue;
            }
            let mut envs = vectoriser
                .make(&specs(how), options(AutoresetMode::SameStep))
                .unwrap();
            envs.reset(Seed::None, &Dict::new()).unwrap();
            let actions = Value::from([0_i64; 3]);
            envs.step(&actions).unwrap();
            let error = envs.step(&actions).unwrap_err();
            let VectorError::Environments { faults, rest } = error else {
                panic!("{vectoriser:?}, {how}: {error}")
            };
            let expected = match how {
                "error" => Cause::Error(EnvError::new("ValueError", "no second episode")),
                "shape" => Cause::ObservationShape("i64 of shape [2]".into()),
                "panic" => Cause::Panicked("no second episode".into()),
                _ => Cause::InfoName("final_info".into()),
            };
            assert_eq!(faults.len(), 1, "{vectoriser:?}, {how}: {faults:?}");
            assert_eq!((faults[0].index, &faults[0].cause), (1, &expected));
            let rest = rest.unwrap();
            assert_eq!(rest.rewards, [20.0; 3], "{vectoriser:?}, {how}");
            assert_eq!(rest.terminations, [true; 3]);
            assert_eq!(rest.truncations, [false; 3]);
            let first_of_next = if how == "name" { 0 } else { 2 };
            assert_eq!(*rest.observations, column([0, first_of_next, 0]));
            let last: Value = [2_i64].into();
            assert_eq!(rest.infos["final_obs"], vec![last; 3].into());
            assert_eq!(rest.infos["_final_obs"], [true; 3].into());
            let infos = rest.infos["final_info"].as_dict().unwrap();
            assert_eq!(infos["x"], [2_i64; 3].into());
            match is_fatal {
                true => assert!(envs.step(&actions).is_err(), "its worker is gone"),
                false => {
                    let step = envs.step(&actions).unwrap();
                    // The next step resets it, unless that was the reset.
                    let reward = if how == "name" { 10.0 } else { 0.0 };
                    assert_eq!(step.rewards, [10.0, reward, 10.0], "{vectoriser:?}, {how}");
                }
            }
        }
    }
}

#[test]
fn after_a_failed_reset_the_results_of_the_others_are_in_rest() {
    for vectoriser in ALL {
        let mut envs = vectoriser
            .make(&specs("error"), VectorOptions::default())
            .unwrap();
        envs.reset(Seed::None, &Dict::new()).unwrap();
        envs.step(&[0_i64; 3].into()).unwrap();
        let error = envs.reset(Seed::None, &Dict::new()).unwrap_err();
        let VectorError::Environments { faults, rest } = error else {
            panic!("{vectoriser:?}: {error}")
        };
        assert_eq!((faults.len(), faults[0].index), (1, 1));
        let rest = rest.unwrap();
        assert_eq!(*rest.observations, column([0, 1, 0]), "{vectoriser:?}");
        assert_eq!(rest.rewards, [0.0; 3]);
        assert_eq!(rest.infos["resets"], [2_i64, 0, 2].into());
        assert_eq!(rest.infos["_resets"], [true, false, true].into());
    }
}

/// In Gymnasium, one of an environment's `_x` and the mask of `x` overwrites the other.
#[test]
fn an_info_with_the_name_of_a_mask_is_a_fault_of_its_environment() {
    for vectoriser in ALL {
        for (how, name) in [("underscore", "_x"), ("nested", "d._x")] {
            let mut envs = vectoriser
                .make(&specs(how), VectorOptions::default())
                .unwrap();
            envs.reset(Seed::None, &Dict::new()).unwrap();
            let error = envs.step(&[0_i64; 3].into()).unwrap_err();
            let VectorError::Environments { faults, rest } = error else {
                panic!("{vectoriser:?}: {error}")
            };
            let cause = Cause::InfoName(name.into());
            assert_eq!(faults, [Fault { index: 1, cause }], "{vectoriser:?}");
            let rest = rest.unwrap();
            assert_eq!(rest.rewards, [10.0; 3], "the step took effect");
            assert_eq!(*rest.observations, column([1; 3]));
            assert_eq!(rest.infos["x"], [1_i64, 0, 1].into());
            assert_eq!(rest.infos["_x"], [true, false, true].into());
            let nested = rest.infos.get("d").and_then(Value::as_dict);
            assert_eq!(nested.is_some(), how == "nested");
            if let Some(nested) = nested {
                assert_eq!(nested["_x"], [false, true, false].into());
            }
        }
    }
}

#[test]
fn seeds_are_read_back_as_they_were_given_and_never_wrap() {
    for vectoriser in ALL {
        let mut envs = vectoriser
            .make(&vec![spec(PUSHT_ID); 2], VectorOptions::default())
            .unwrap();
        envs.reset(Seed::Int(u64::MAX - 1), &Dict::new()).unwrap();
        let seeds = [u64::MAX - 1, u64::MAX].map(Value::from);
        assert_eq!(envs.get_attr("np_random_seed").unwrap(), seeds);
        let error = envs.reset(Seed::Int(u64::MAX), &Dict::new()).unwrap_err();
        let first = u64::MAX;
        assert_eq!(error, VectorError::SeedTooLarge { first, index: 1 });
        assert_eq!(
            envs.get_attr("np_random_seed").unwrap(),
            seeds,
            "nothing was reset"
        );
    }
}

#[test]
fn an_unknown_option_of_a_reset_is_refused_and_named() {
    for vectoriser in ASYNC {
        let mut envs = vectoriser
            .make(&[spec(PUSHT_ID)], VectorOptions::default())
            .unwrap();
        let unknown = dict([("reset_to_sate", [1.0; 5].into())]);
        let error = envs.reset(Seed::None, &unknown).unwrap_err().to_string();
        assert!(error.contains("\"reset_to_sate\""), "{error}");
        assert!(error.contains("reset_to_state, start_order"), "{error}");
    }
}
