//! Gymnasium's `test_vector_env.py`.

use crate::envs::{spec, testing_spaces};
use crate::{ALL, ASYNC, Vectoriser, cart_poles, ints};
use pusht_gym::batch_space::row;
use pusht_gym::pusht::PUSHT_ID;
use pusht_gym::space::seeded;
use pusht_gym::value::{Array, Dict, Value, dict};
use pusht_gym::vector::{AutoresetMode, Seed, VectorEnv, VectorError, VectorOptions};

fn mode(autoreset_mode: AutoresetMode) -> VectorOptions {
    VectorOptions {
        autoreset_mode,
        ..VectorOptions::default()
    }
}

#[test]
fn test_vector_env_equal() {
    let pusht = vec![spec(PUSHT_ID).with("max_episode_steps", 7_i64); 4];
    for specs in [cart_poles(4), pusht] {
        for autoreset_mode in [AutoresetMode::NextStep, AutoresetMode::SameStep] {
            for vectoriser in ASYNC {
                let mut a = vectoriser.make(&specs, mode(autoreset_mode)).unwrap();
                let mut b = Vectoriser::Sync.make(&specs, mode(autoreset_mode)).unwrap();
                assert_eq!((a.num_envs(), a.spaces()), (b.num_envs(), b.spaces()));
                let first = a.reset(Seed::Int(0), &Dict::new()).unwrap();
                assert_eq!(first, b.reset(Seed::Int(0), &Dict::new()).unwrap());
                let mut random = seeded(5);
                let mut has_ended = false;
                for _ in 0..100 {
                    let actions = a.spaces().action_space.sample(&mut random);
                    assert!(b.spaces().action_space.contains(&actions));
                    let step = a.step(&actions).unwrap();
                    has_ended |=
                        step.terminations.contains(&true) || step.truncations.contains(&true);
                    assert_eq!(step, b.step(&actions).unwrap());
                }
                assert!(has_ended);
            }
        }
    }
}

#[test]
fn test_vector_obs_action_spaces() {
    for vectoriser in ALL {
        for index in 0..testing_spaces().len() {
            let specs = vec![spec("Sampled").with("space", index as i64); 3];
            let mut envs = vectoriser.make(&specs, VectorOptions::default()).unwrap();
            assert_eq!(envs.spaces().observation_space, envs.spaces().action_space);
            let (observations, _) = envs.reset(Seed::None, &Dict::new()).unwrap();
            assert!(envs.spaces().observation_space.contains(&observations));
            // The environment refuses an action that is not of its space.
            let actions = envs.spaces().action_space.sample(&mut seeded(0));
            let step = envs.step(&actions).unwrap();
            assert!(envs.spaces().observation_space.contains(&step.observations));
        }
    }
}

#[test]
fn test_final_obs_info() {
    for vectoriser in ALL {
        let mut envs = vectoriser
            .make(&[spec("Final")], VectorOptions::default())
            .unwrap();
        let (observations, infos) = envs.reset(Seed::None, &Dict::new()).unwrap();
        let reset = dict([("reset", [true].into()), ("_reset", [true].into())]);
        assert_eq!((&*observations, &infos), (&ints([0]), &reset));
        for action in [1, 2, 3] {
            let step = envs.step(&ints([action])).unwrap();
            let infos = dict([("action", ints([action])), ("_action", [true].into())]);
            assert_eq!(*step.observations, ints([action % 3]));
            assert_eq!((step.terminations, step.infos), (vec![action == 3], infos));
        }
        let step = envs.step(&ints([3])).unwrap();
        assert_eq!((&*step.observations, &step.infos), (&ints([0]), &reset));
        assert_eq!(step.terminations, [false]);
    }
}

fn seeds_of(envs: &mut dyn VectorEnv) -> Vec<i64> {
    let seeds = envs.get_attr("np_random_seed").unwrap();
    seeds.iter().map(|seed| seed.as_int().unwrap()).collect()
}

#[test]
fn test_random_seeding_basics() {
    for vectoriser in ALL {
        let mut envs = vectoriser
            .make(&cart_poles(4), VectorOptions::default())
            .unwrap();
        let (first, _) = envs.reset(Seed::Int(42), &Dict::new()).unwrap();
        assert_eq!(seeds_of(&mut *envs), [42, 43, 44, 45]);
        let (next, _) = envs.reset(Seed::None, &Dict::new()).unwrap();
        assert_eq!(seeds_of(&mut *envs), [42, 43, 44, 45], "they go on");
        assert_ne!(first, next);
        // A list may have gaps.
        let list = Seed::List(vec![Some(42), None, Some(44), None]);
        let (again, _) = envs.reset(list, &Dict::new()).unwrap();
        let space = &envs.spaces().single_observation_space;
        for index in 0..4 {
            let is_first = row(space, &first, index) == row(space, &again, index);
            assert_eq!(is_first, index % 2 == 0);
        }
        let error = envs
            .reset(Seed::List(vec![None; 3]), &Dict::new())
            .unwrap_err();
        assert_eq!(
            error,
            VectorError::SeedCount {
                expected: 4,
                got: 3
            }
        );
    }
}

#[test]
fn test_random_seeds_set_at_retrieval() {
    for vectoriser in ALL {
        let mut envs = vectoriser
            .make(&cart_poles(4), VectorOptions::default())
            .unwrap();
        assert_eq!(seeds_of(&mut *envs), [0, 1, 2, 3]);
        let mut envs = vectoriser
            .make(&vec![spec(PUSHT_ID); 4], VectorOptions::default())
            .unwrap();
        let mut seeds = seeds_of(&mut *envs);
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(
            seeds.len(),
            4,
            "without a seed, each environment has its own"
        );
    }
}

#[test]
fn test_partial_reset() {
    for vectoriser in ALL {
        let mut envs = vectoriser
            .make(&cart_poles(3), mode(AutoresetMode::Disabled))
            .unwrap();
        let seeds = |seeds: [u64; 3]| Seed::List(seeds.map(Some).to_vec());
        let (first, _) = envs.reset(seeds([0, 1, 2]), &Dict::new()).unwrap();
        let mut random = seeded(123);
        let mut latest = first.clone();
        for _ in 0..3 {
            let actions = envs.spaces().action_space.sample(&mut random);
            latest = envs.step(&actions).unwrap().observations;
        }
        let options = dict([("reset_mask", [true, true, false].into())]);
        let (masked, _) = envs.reset(seeds([0, 1, 0]), &options).unwrap();
        let space = &envs.spaces().single_observation_space;
        assert_eq!(row(space, &masked, 0), row(space, &first, 0));
        assert_eq!(row(space, &masked, 1), row(space, &first, 1));
        assert_eq!(row(space, &masked, 2), row(space, &latest, 2));
    }
}

#[test]
fn test_partial_reset_failure() {
    for vectoriser in ALL {
        let mut envs = vectoriser
            .make(&cart_poles(3), mode(AutoresetMode::Disabled))
            .unwrap();
        let mut reset = |mask: Value| {
            let error = envs.reset(Seed::None, &dict([("reset_mask", mask)]));
            error.map(|_| ()).err()
        };
        assert_eq!(reset([true; 3].into()), None);
        let shape = |got: &[usize]| VectorError::ResetMaskShape {
            expected: 3,
            got: got.to_vec(),
        };
        assert_eq!(reset([true].into()), Some(shape(&[1])));
        assert_eq!(reset([true, true, false, false].into()), Some(shape(&[4])));
        let square = Array::new(&[1, 3], vec![true; 3]).unwrap();
        assert_eq!(reset(square.into()), Some(shape(&[1, 3])));
        assert_eq!(reset([false; 3].into()), Some(VectorError::ResetMaskEmpty));
        assert_eq!(
            reset([1_i64, 1, 0].into()),
            Some(VectorError::ResetMaskType { got: "i64" })
        );
        assert_eq!(
            reset([1.0, 1.0, 0.0].into()),
            Some(VectorError::ResetMaskType { got: "f64" })
        );
        let list = vec![Value::Bool(true); 3];
        assert_eq!(
            reset(list.into()),
            Some(VectorError::ResetMaskKind { got: "a list" })
        );
        assert_eq!(
            shape(&[1, 3]).to_string(),
            "options[\"reset_mask\"] must have the shape (3), it has (1, 3)"
        );
    }
}

#[test]
fn test_action_count_compatibility() {
    for vectoriser in ALL {
        let mut envs = vectoriser
            .make(&cart_poles(4), mode(AutoresetMode::Disabled))
            .unwrap();
        envs.reset(Seed::None, &Dict::new()).unwrap();
        let step = envs.step(&ints([0; 4])).unwrap();
        assert_eq!(step.observations.as_array().unwrap().shape(), [4, 4]);
        let lengths = (
            step.rewards.len(),
            step.terminations.len(),
            step.truncations.len(),
        );
        assert_eq!(lengths, (4, 4, 4));
        let count = |got| VectorError::ActionCount { expected: 4, got };
        assert_eq!(envs.step(&ints([0; 3])).unwrap_err(), count(3));
        assert_eq!(envs.step(&ints([0; 5])).unwrap_err(), count(5));
        assert_eq!(
            envs.step(&vec![Value::Int(0); 3].into()).unwrap_err(),
            count(3)
        );
        let is_shape = |error| matches!(error, VectorError::ActionShape { .. });
        assert!(is_shape(envs.step(&Value::Int(0)).unwrap_err()));
        assert!(is_shape(envs.step(&[0.0; 4].into()).unwrap_err()));
        let mixed = vec![
            Value::Int(0),
            Value::Int(0),
            Value::Float(0.0),
            Value::Int(0),
        ];
        let error = envs.step(&mixed.into()).unwrap_err();
        assert!(matches!(
            error,
            VectorError::ActionShape { index: Some(2), .. }
        ));
    }
}
