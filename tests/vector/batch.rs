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
    let count = envs.step(&actions[..10]).unwrap_err();
    assert_eq!(
        count,
        VectorError::ActionCount {
            expected: NUM_ENVS,
            got: 5
        }
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
