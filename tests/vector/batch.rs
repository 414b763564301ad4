//! `PushTBatch`: many PushT environments as one array.

use crate::Vectoriser;
use crate::envs::spec;
use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
use pusht_core::pusht::observation::{ObservationKind, observe};
use pusht_gym::batch::{BatchOptions, PushTBatch};
use pusht_gym::pusht::PUSHT_ID;
use pusht_gym::space::{Space, seeded};
use pusht_gym::value::{Array, Dict, Value, dict};
use pusht_gym::vector::{
    AutoresetMode, Cause, PushTVectorEnv, Seed, VectorEnv, VectorError, VectorOptions,
};
use std::num::NonZero;
use std::time::Duration;

/// Two whole chunks and part of a third.
const NUM_ENVS: usize = 70;
const STEPS: usize = 25;

fn options(autoreset_mode: AutoresetMode, threads: usize) -> BatchOptions {
    BatchOptions {
        params: PushTParams {
            max_episode_steps: Some(7),
            ..PushTParams::default()
        },
        autoreset_mode,
        threads: NonZero::new(threads),
        ..BatchOptions::default()
    }
}

fn actions() -> Vec<Array> {
    let space = Space::uniform_box(0.0, 512.0, &[NUM_ENVS, 2]);
    let mut random = seeded(1);
    let draw = |_| space.sample(&mut random).as_array().unwrap().clone();
    (0..STEPS).map(draw).collect()
}

/// Everything that a batch returns, as bits.
fn bits(autoreset_mode: AutoresetMode, threads: usize) -> Vec<u64> {
    let mut envs = PushTBatch::new(NUM_ENVS, options(autoreset_mode, threads)).unwrap();
    let first = envs.reset(&Seed::Int(9)).unwrap();
    let mut bits: Vec<u64> = first.iter().map(|value| value.to_bits()).collect();
    for actions in actions() {
        let step = envs.step(actions.slice().unwrap()).unwrap();
        let numbers = [
            step.observations,
            step.rewards,
            step.coverage,
            step.final_obs,
        ];
        let numbers = numbers.into_iter().flatten();
        bits.extend(numbers.map(|value| value.to_bits()));
        let flags = step
            .terminations
            .iter()
            .chain(step.truncations)
            .chain(step.is_final);
        bits.extend(flags.map(|flag| u64::from(*flag)));
    }
    bits
}

#[test]
fn results_are_equal_for_any_number_of_threads() {
    for mode in [AutoresetMode::NextStep, AutoresetMode::SameStep] {
        let one = bits(mode, 1);
        for threads in [2, 3, 8] {
            assert!(bits(mode, threads) == one, "{mode:?}, {threads} threads");
        }
    }
}

#[test]
fn threads_that_sleep_wake_for_the_next_step() {
    let options = |threads| options(AutoresetMode::NextStep, threads);
    let [mut one, mut three] = [1, 3].map(|n| PushTBatch::new(NUM_ENVS, options(n)).unwrap());
    assert_eq!(one.reset(&Seed::Int(9)), three.reset(&Seed::Int(9)));
    for actions in actions() {
        // Longer than they look for work.
        std::thread::sleep(Duration::from_millis(1));
        let actions = actions.slice().unwrap();
        assert_eq!(one.step(actions), three.step(actions));
    }
}

#[test]
fn a_batch_equals_as_many_single_environments() {
    for autoreset_mode in [AutoresetMode::NextStep, AutoresetMode::SameStep] {
        let mut batch = PushTBatch::new(NUM_ENVS, options(autoreset_mode, 2)).unwrap();
        let specs = vec![spec(PUSHT_ID).with("max_episode_steps", 7_i64); NUM_ENVS];
        let vector = VectorOptions {
            autoreset_mode,
            ..VectorOptions::default()
        };
        let mut envs = Vectoriser::Sync.make(&specs, vector).unwrap();
        let (first, _) = envs.reset(Seed::Int(9), &Dict::new()).unwrap();
        assert_eq!(Some(batch.reset(&Seed::Int(9)).unwrap()), first.as_slice());
        let mut finals = 0;
        for actions in actions() {
            let many = batch.step(actions.slice().unwrap()).unwrap();
            let one = envs.step(&actions.into()).unwrap();
            assert_eq!(Some(many.observations), one.observations.as_slice());
            assert_eq!(many.rewards, one.rewards);
            assert_eq!(
                (many.terminations, many.truncations),
                (&one.terminations[..], &one.truncations[..])
            );
            let covered = one
                .infos
                .get("coverage")
                .and_then(|covered| covered.as_slice::<f64>());
            let is_known = one
                .infos
                .get("_coverage")
                .and_then(|mask| mask.as_slice::<bool>());
            for index in 0..NUM_ENVS {
                let last = one
                    .infos
                    .get("final_obs")
                    .and_then(|last| last.as_list()?[index].as_slice());
                let ours = many.is_final[index].then(|| &many.final_obs[5 * index..][..5]);
                assert_eq!(ours, last);
                if is_known.is_some_and(|mask| mask[index]) {
                    assert_eq!(many.coverage[index], covered.unwrap()[index]);
                }
                finals += usize::from(last.is_some());
            }
        }
        assert_eq!(finals > 0, autoreset_mode == AutoresetMode::SameStep);
    }
}

#[test]
fn every_observation_and_seeding_equals_the_single_environments() {
    for observation in [
        ObservationKind::State,
        ObservationKind::Keypoints,
        ObservationKind::Vertices,
    ] {
        for seeding in [Seeding::Legacy, Seeding::Pcg64] {
            let mut batch = PushTBatch::new(
                40,
                BatchOptions {
                    observation,
                    seeding,
                    ..BatchOptions::default()
                },
            )
            .unwrap();
            let seeds = (0..40).map(|index| Some(100 + 3 * index)).collect();
            let observations = batch.reset(&Seed::List(seeds)).unwrap().to_vec();
            let dim = batch.observation_dim();
            assert_eq!(
                (observations.len(), dim),
                (40 * observation.dim(), observation.dim())
            );
            for (index, row) in observations.chunks_exact(dim).enumerate() {
                let start = StartState::from_seed(100 + 3 * index as u64, seeding).unwrap();
                let env = PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy).unwrap();
                let mut expected = vec![0.0; dim];
                observe(observation, &env.state(), &mut expected).unwrap();
                assert_eq!(row, expected);
            }
        }
    }
}

#[test]
fn without_autoreset_the_caller_resets() {
    let mut envs = PushTBatch::new(3, options(AutoresetMode::Disabled, 1)).unwrap();
    let go = |envs: &mut PushTBatch| envs.step(&[256.0; 6]).map(|step| step.truncations.to_vec());
    let over = go(&mut envs).unwrap_err();
    assert!(
        over.to_string()
            .starts_with("environment 0: its episode is over"),
        "not reset yet"
    );
    envs.reset(&Seed::Int(0)).unwrap();
    for _ in 0..6 {
        assert_eq!(go(&mut envs).unwrap(), [false; 3]);
    }
    assert_eq!(go(&mut envs).unwrap(), [true; 3]);
    envs.reset_masked(&[true, false, true], &Seed::None)
        .unwrap();
    let VectorError::Environments { faults, .. } = go(&mut envs).unwrap_err() else {
        panic!("another error")
    };
    assert_eq!((faults.len(), faults[0].index), (1, 1));
    assert_eq!(faults[0].cause, Cause::EpisodeOver);
    let shape = envs.reset_masked(&[true], &Seed::None).unwrap_err();
    assert_eq!(
        shape,
        VectorError::ResetMaskShape {
            expected: 3,
            got: vec![1]
        }
    );
    assert_eq!(
        envs.reset_masked(&[false; 3], &Seed::None).unwrap_err(),
        VectorError::ResetMaskEmpty
    );
}

#[test]
fn a_nan_or_missing_action_or_seed_changes_nothing() {
    let mut envs = PushTBatch::new(NUM_ENVS, options(AutoresetMode::NextStep, 2)).unwrap();
    let before = envs.reset(&Seed::Int(0)).unwrap().to_vec();
    let mut actions = vec![256.0; 2 * NUM_ENVS];
    actions[2 * 65 + 1] = f64::NAN;
    assert_eq!(
        envs.step(&actions).unwrap_err(),
        VectorError::NonFiniteAction { index: 65 }
    );
    // As many whole actions as environments, and a value more.
    actions.push(1.0);
    let length = envs.step(&actions).unwrap_err();
    assert_eq!(
        length.to_string(),
        "the actions have 141 values, 140 are needed"
    );
    let seeds = envs.reset(&Seed::List(vec![None; 3])).unwrap_err();
    assert_eq!(
        seeds,
        VectorError::SeedCount {
            expected: NUM_ENVS,
            got: 3
        }
    );
    assert_eq!(envs.latest().observations, before);
    assert_eq!(
        PushTBatch::new(0, BatchOptions::default()).err(),
        Some(VectorError::NoEnvironments)
    );
    let legacy = BatchOptions {
        seeding: Seeding::Legacy,
        ..BatchOptions::default()
    };
    let mut envs = PushTBatch::new(2, legacy).unwrap();
    let error = envs.reset(&Seed::Int(u64::from(u32::MAX))).unwrap_err();
    assert!(error.to_string().starts_with("environment 1: "), "{error}");
}

#[test]
fn a_refused_action_is_named_and_the_other_environments_step() {
    let mut envs = PushTBatch::new(3, options(AutoresetMode::NextStep, 1)).unwrap();
    let before = envs.reset(&Seed::Int(0)).unwrap().to_vec();
    let error = envs.step(&[1.0, 1.0, f64::MAX, 1.0, 1.0, 1.0]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "environment 1: Error: values too large to simulate"
    );
    let mut many = PushTBatch::new(NUM_ENVS, options(AutoresetMode::NextStep, 2)).unwrap();
    many.reset(&Seed::Int(0)).unwrap();
    let mut actions = vec![256.0; 2 * NUM_ENVS];
    actions[2 * 65] = f64::MAX;
    let error = many.step(&actions).unwrap_err();
    assert!(error.to_string().starts_with("environment 65: "), "{error}");
    let after = envs.latest().observations;
    assert_ne!(after[..5], before[..5]);
    assert_eq!(after[5..10], before[5..10]);
    assert_ne!(after[10..], before[10..]);
}

#[test]
fn pusht_vector_env_equals_sync_vector_env() {
    for autoreset_mode in [
        AutoresetMode::NextStep,
        AutoresetMode::SameStep,
        AutoresetMode::Disabled,
    ] {
        let mut batch = PushTVectorEnv::new(NUM_ENVS, options(autoreset_mode, 2)).unwrap();
        let specs = vec![spec(PUSHT_ID).with("max_episode_steps", 7_i64); NUM_ENVS];
        let vector = VectorOptions {
            autoreset_mode,
            ..VectorOptions::default()
        };
        let mut envs = Vectoriser::Sync.make(&specs, vector).unwrap();
        assert_eq!(batch.spaces(), envs.spaces());
        assert_eq!(
            batch.metadata()["autoreset_mode"],
            autoreset_mode.name().into()
        );
        let seed = || Seed::List((0..NUM_ENVS as u64).map(Some).collect());
        let (ours, _) = batch.reset(seed(), &Dict::new()).unwrap();
        assert_eq!(ours, envs.reset(seed(), &Dict::new()).unwrap().0);
        assert_eq!(batch.get_attr("coverage"), envs.get_attr("coverage"));
        for actions in actions() {
            let actions = Value::Array(actions);
            let (ours, theirs) = (batch.step(&actions).unwrap(), envs.step(&actions).unwrap());
            assert_eq!(
                (&ours.observations, &ours.rewards),
                (&theirs.observations, &theirs.rewards)
            );
            assert_eq!(
                (&ours.terminations, &ours.truncations),
                (&theirs.terminations, &theirs.truncations)
            );
            for name in ["final_obs", "_final_obs"] {
                assert_eq!(ours.infos.get(name), theirs.infos.get(name));
            }
            if autoreset_mode == AutoresetMode::Disabled && ours.truncations.contains(&true) {
                let mask = dict([("reset_mask", ours.truncations.into())]);
                let (ours, _) = batch.reset(Seed::None, &mask).unwrap();
                assert_eq!(ours, envs.reset(Seed::None, &mask).unwrap().0);
            }
        }
        let nan = Array::filled(&[NUM_ENVS, 2], f64::NAN).into();
        assert_eq!(batch.step(&nan), envs.step(&nan));
        let few = Array::filled(&[3, 2], 1.0).into();
        assert_eq!(batch.step(&few), envs.step(&few));
        assert_eq!(batch.step(&Value::Int(1)), envs.step(&Value::Int(1)));
        assert!(
            batch
                .get_attr("coverage")
                .unwrap()
                .iter()
                .all(|value| value.as_float().is_some())
        );
        assert!(batch.render().is_err() && batch.set_attr("coverage", &Value::None).is_err());
        batch.close();
        assert_eq!(batch.step(&nan), Err(VectorError::ClosedEnvironment));
    }
}

/// A reset that fails, since the environment came from a snapshot whose parameters were changed.
#[test]
fn the_last_step_of_an_episode_is_kept_when_the_reset_within_it_fails() {
    let mut envs = PushTBatch::new(3, options(AutoresetMode::SameStep, 1)).unwrap();
    envs.reset(&Seed::Int(0)).unwrap();
    let state = serde_json::to_string(&envs.state(1)).unwrap();
    let changed = state.replace("\"success_threshold\":0.95", "\"success_threshold\":2.0");
    assert_ne!(changed, state);
    envs.set_state(1, serde_json::from_str(&changed).unwrap());
    for _ in 0..6 {
        envs.step(&[256.0; 6]).unwrap();
    }
    let error = envs.step(&[256.0; 6]).unwrap_err();
    let VectorError::Environments { faults, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!((faults.len(), faults[0].index), (1, 1), "{error}");
    assert!(error.to_string().contains("success_threshold"), "{error}");
    let step = envs.latest();
    assert_eq!(step.truncations, [true; 3]);
    assert_eq!(step.is_final, [true; 3]);
    assert!(
        step.rewards
            .iter()
            .zip(step.coverage)
            .all(|(r, c)| *c == 0.0 || *r > 0.0)
    );
    assert_eq!(
        step.observations[5..10],
        step.final_obs[5..10],
        "its last state"
    );
    assert_ne!(step.observations[..5], step.final_obs[..5]);
}

#[test]
fn seeds_that_pass_the_largest_are_refused() {
    let mut envs = PushTBatch::new(2, BatchOptions::default()).unwrap();
    let before = envs.reset(&Seed::Int(u64::MAX - 1)).unwrap().to_vec();
    let error = envs.reset(&Seed::Int(u64::MAX)).unwrap_err();
    let first = u64::MAX;
    assert_eq!(error, VectorError::SeedTooLarge { first, index: 1 });
    assert_eq!(envs.latest().observations, before);
}

#[test]
fn a_rate_that_is_no_probability_and_a_time_limit_of_no_step_are_refused() {
    let keypoints = |rate| BatchOptions {
        observation: ObservationKind::Keypoints,
        keypoint_visible_rate: Some(rate),
        ..BatchOptions::default()
    };
    let refused = |options| PushTBatch::new(2, options).err().unwrap().to_string();
    for rate in [f64::NAN, -0.1, 7.0] {
        let error = refused(keypoints(rate));
        assert!(
            error.contains("keypoint_visible_rate is out of range"),
            "{error}"
        );
    }
    assert!(PushTBatch::new(2, keypoints(0.5)).is_ok());
    let of_states = BatchOptions {
        observation: ObservationKind::State,
        ..keypoints(0.5)
    };
    assert!(refused(of_states).contains("not of state"));
    let params = PushTParams {
        max_episode_steps: Some(0),
        ..PushTParams::default()
    };
    let options = BatchOptions {
        params,
        ..BatchOptions::default()
    };
    assert!(refused(options).contains("max_episode_steps is out of range"));
}

#[test]
fn a_given_state_is_set_in_the_given_order_by_batch_and_single_environment() {
    let state = [100.0, 400.0, 330.0, 240.0, 1.5];
    let mut envs = PushTVectorEnv::new(2, BatchOptions::default()).unwrap();
    let sync = Vectoriser::Sync.make(&vec![spec(PUSHT_ID); 2], VectorOptions::default());
    let mut sync = sync.unwrap();
    let mut blocks = Vec::new();
    for order in [None, Some("legacy"), Some("angle_first")] {
        let options = dict([
            ("reset_to_state", state.into()),
            ("start_order", order.into()),
        ]);
        let (ours, _) = envs.reset(Seed::None, &options).unwrap();
        assert_eq!(ours, sync.reset(Seed::None, &options).unwrap().0);
        blocks.push(ours.as_slice::<f64>().unwrap()[2..4].to_vec());
    }
    assert_eq!(blocks[0], blocks[1], "the default");
    assert_eq!(blocks[2], state[2..4], "where the state has the block");
    assert_ne!(blocks[1], blocks[2]);
    for (options, message) in [
        (dict([("start_order", "legacy".into())]), "which is missing"),
        (dict([("reset_to_sate", state.into())]), "\"reset_to_sate\""),
        (
            dict([("reset_to_state", [1.0].into())]),
            "an array of 5 f64 needed",
        ),
    ] {
        for envs in [&mut envs as &mut dyn VectorEnv, &mut sync] {
            let error = envs.reset(Seed::None, &options).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}

#[test]
fn observations_with_masked_keypoints_are_in_the_space() {
    let options = BatchOptions {
        observation: ObservationKind::Keypoints,
        keypoint_visible_rate: Some(0.5),
        ..BatchOptions::default()
    };
    let mut envs = PushTVectorEnv::new(3, options).unwrap();
    let (observations, _) = envs.reset(Seed::Int(0), &Dict::new()).unwrap();
    assert!(envs.spaces().observation_space.is_shape_of(&observations));
}
