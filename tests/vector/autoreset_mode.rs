//! Gymnasium's `test_autoreset_mode.py`.

use crate::envs::{spec, testing_spaces};
use crate::{ALL, Vectoriser, ints, program, registry};
use pusht_gym::space::seeded;
use pusht_gym::value::{Dict, Value, dict};
use pusht_gym::vector::{
    AutoresetMode, Seed, VectorEnv, VectorError, VectorOptions, VectorStep, VectorizeMode, make_vec,
};

fn counting(vectoriser: Vectoriser, autoreset_mode: AutoresetMode) -> Box<dyn VectorEnv> {
    let options = VectorOptions {
        autoreset_mode,
        ..VectorOptions::default()
    };
    let mut envs = vectoriser.make(&vec![spec("Count"); 3], options).unwrap();
    assert_eq!(
        envs.metadata()["autoreset_mode"],
        autoreset_mode.name().into()
    );
    envs.set_attr("max_count", &[2, 3, 3].map(Value::Int).to_vec().into())
        .unwrap();
    let (observations, infos) = envs.reset(Seed::None, &Dict::new()).unwrap();
    assert_eq!((&*observations, infos), (&ints([0; 3]), Dict::new()));
    envs
}

fn check(step: &VectorStep, observations: [i64; 3], rewards: [f64; 3], terminations: [bool; 3]) {
    assert_eq!(*step.observations, ints(observations));
    assert_eq!(step.rewards, rewards);
    assert_eq!(step.terminations, terminations);
    assert_eq!(step.truncations, [false; 3]);
}

const ACTIONS: [i64; 3] = [1, 2, 3];
const REWARDS: [f64; 3] = [1.0, 2.0, 3.0];
const NONE: [bool; 3] = [false; 3];

#[test]
fn test_autoreset_next_step() {
    for vectoriser in ALL {
        let mut envs = counting(vectoriser, AutoresetMode::NextStep);
        for (observations, rewards, terminations) in [
            ([1, 1, 1], REWARDS, NONE),
            ([2, 2, 2], REWARDS, [true, false, false]),
            ([0, 3, 3], [0.0, 2.0, 3.0], [false, true, true]),
            ([1, 0, 0], [1.0, 0.0, 0.0], NONE),
        ] {
            let step = envs.step(&ints(ACTIONS)).unwrap();
            check(&step, observations, rewards, terminations);
            assert_eq!(step.infos, Dict::new());
        }
    }
}

#[test]
fn test_autoreset_within_step() {
    for vectoriser in ALL {
        let mut envs = counting(vectoriser, AutoresetMode::SameStep);
        let end = |last: [Option<i64>; 3]| {
            let observations = last.map(Value::from);
            let mask = last.map(|last| last.is_some());
            dict([
                ("final_obs", observations.to_vec().into()),
                ("_final_obs", mask.into()),
                ("final_info", Dict::new().into()),
                ("_final_info", mask.into()),
            ])
        };
        for (observations, terminations, infos) in [
            ([1, 1, 1], NONE, Dict::new()),
            ([0, 2, 2], [true, false, false], end([Some(2), None, None])),
            (
                [1, 0, 0],
                [false, true, true],
                end([None, Some(3), Some(3)]),
            ),
            ([0, 1, 1], [true, false, false], end([Some(2), None, None])),
        ] {
            let step = envs.step(&ints(ACTIONS)).unwrap();
            check(&step, observations, REWARDS, terminations);
            assert_eq!(step.infos, infos);
        }
    }
}

#[test]
fn test_autoreset_disabled() {
    for vectoriser in ALL {
        let mut envs = counting(vectoriser, AutoresetMode::Disabled);
        let reset = |envs: &mut Box<dyn VectorEnv>, mask: &[bool]| {
            let options = dict([("reset_mask", mask.to_vec().into())]);
            let (observations, infos) = envs.reset(Seed::None, &options).unwrap();
            assert_eq!(infos, Dict::new());
            assert!(
                options.contains_key("reset_mask"),
                "the caller's options are left alone"
            );
            (*observations).clone()
        };
        check(
            &envs.step(&ints(ACTIONS)).unwrap(),
            [1, 1, 1],
            REWARDS,
            NONE,
        );
        let step = envs.step(&ints(ACTIONS)).unwrap();
        check(&step, [2, 2, 2], REWARDS, [true, false, false]);
        assert_eq!(reset(&mut envs, &step.terminations), ints([0, 2, 2]));
        let step = envs.step(&ints(ACTIONS)).unwrap();
        check(&step, [1, 3, 3], REWARDS, [false, true, true]);
        assert_eq!(reset(&mut envs, &step.terminations), ints([1, 0, 0]));
        let step = envs.step(&ints(ACTIONS)).unwrap();
        check(&step, [2, 1, 1], REWARDS, [true, false, false]);
        let error = envs.step(&ints(ACTIONS)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "environment 0: its episode is over and it was not reset"
        );
        let VectorError::Environments { rest, .. } = error else {
            unreachable!()
        };
        assert_eq!(
            *rest.unwrap().observations,
            ints([2, 2, 2]),
            "the others were stepped"
        );
    }
}

#[test]
fn test_autoreset_metadata() {
    for vectoriser in ALL {
        for mode in [
            AutoresetMode::NextStep,
            AutoresetMode::Disabled,
            AutoresetMode::SameStep,
        ] {
            for autoreset_mode in [mode, mode.name().parse().unwrap()] {
                let options = VectorOptions {
                    autoreset_mode,
                    ..VectorOptions::default()
                };
                let envs = vectoriser.make(&vec![spec("Sampled"); 2], options).unwrap();
                assert_eq!(envs.metadata()["autoreset_mode"], mode.name().into());
            }
        }
    }
    assert!("Sometimes".parse::<AutoresetMode>().is_err());
}

#[test]
fn test_make_vec_autoreset() {
    for mode in [
        VectorizeMode::Sync,
        VectorizeMode::Threads,
        VectorizeMode::Processes(program()),
    ] {
        for autoreset_mode in [
            AutoresetMode::NextStep,
            AutoresetMode::Disabled,
            AutoresetMode::SameStep,
        ] {
            let options = VectorOptions {
                autoreset_mode,
                ..VectorOptions::default()
            };
            let envs = make_vec(&registry(), &spec("CartPole"), 2, mode.clone(), options).unwrap();
            assert_eq!(envs.num_envs(), 2);
            assert_eq!(
                envs.metadata()["autoreset_mode"],
                autoreset_mode.name().into()
            );
        }
        let made = make_vec(
            &registry(),
            &spec("NoEnv"),
            2,
            mode,
            VectorOptions::default(),
        );
        assert!(
            made.err()
                .unwrap()
                .to_string()
                .contains("no environment \"NoEnv\"")
        );
    }
}

#[test]
fn test_same_step_final_obs() {
    for vectoriser in ALL {
        for index in 0..testing_spaces().len() {
            let options = VectorOptions {
                autoreset_mode: AutoresetMode::SameStep,
                ..VectorOptions::default()
            };
            let specs = vec![spec("Sampled").with("space", index as i64); 3];
            let mut envs = vectoriser.make(&specs, options).unwrap();
            envs.set_attr("max_count", &[2, 3, 3].map(Value::Int).to_vec().into())
                .unwrap();
            envs.reset(Seed::None, &Dict::new()).unwrap();
            let mut random = seeded(0);
            for ended in [vec![], vec![0], vec![1, 2]] {
                let actions = envs.spaces().action_space.sample(&mut random);
                let step = envs.step(&actions).unwrap();
                for index in ended {
                    let last = &step.infos["final_obs"].as_list().unwrap()[index];
                    assert!(envs.spaces().single_observation_space.contains(last));
                }
            }
        }
    }
}
