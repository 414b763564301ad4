//! Gymnasium's `test_observation_mode.py`.

use crate::envs::spec;
use crate::{ALL, Vectoriser};
use pusht_gym::batch_space::batch_differing_spaces;
use pusht_gym::env::EnvSpec;
use pusht_gym::space::{Space, seeded};
use pusht_gym::value::Dict;
use pusht_gym::vector::{ObservationMode, Seed, VectorEnv, VectorError, VectorOptions};

fn make(
    vectoriser: Vectoriser,
    specs: &[EnvSpec],
    observation_mode: ObservationMode,
) -> Result<Box<dyn VectorEnv>, VectorError> {
    let options = VectorOptions {
        observation_mode,
        ..VectorOptions::default()
    };
    vectoriser.make(specs, options)
}

fn boxes(bounds: [(i64, i64); 3]) -> Vec<EnvSpec> {
    let make = |(len, high)| spec("Sampled").with("len", len).with("high", high);
    bounds.map(make).to_vec()
}

fn space(len: usize, high: f64) -> Space {
    Space::uniform_box(0.0, high, &[len])
}

#[test]
fn test_invalid_observation_mode() {
    let error = "invalid".parse::<ObservationMode>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "`invalid` is no observation mode (same, different)"
    );
    assert_eq!("same".parse(), Ok(ObservationMode::Same));
    assert_eq!("different".parse(), Ok(ObservationMode::Different));
}

#[test]
fn test_obs_mode_same_different_spaces() {
    for vectoriser in ALL {
        let specs = boxes([(2, 1), (2, 2), (2, 3)]);
        let error = make(vectoriser, &specs, ObservationMode::Same)
            .err()
            .unwrap();
        assert!(matches!(
            error,
            VectorError::ObservationSpace {
                index: 1,
                may_differ: false
            }
        ));
        assert!(
            error
                .to_string()
                .ends_with("if that is intended, use ObservationMode::Different")
        );
    }
}

#[test]
fn test_obs_mode_different_different_spaces() {
    let spaces = [space(5, 1.0), space(5, 2.0), space(5, 3.0)];
    let batched = batch_differing_spaces(&spaces).unwrap();
    for vectoriser in ALL {
        let given = ObservationMode::Spaces(Box::new((spaces[0].clone(), batched.clone())));
        for mode in [ObservationMode::Different, given] {
            let specs = boxes([(5, 1), (5, 2), (5, 3)]);
            let mut envs = make(vectoriser, &specs, mode).unwrap();
            assert_eq!(envs.spaces().observation_space, batched);
            assert_eq!(envs.spaces().single_observation_space, spaces[0]);
            let (observations, _) = envs.reset(Seed::None, &Dict::new()).unwrap();
            assert!(batched.contains(&observations));
            let actions = envs.spaces().action_space.sample(&mut seeded(0));
            assert!(batched.contains(&envs.step(&actions).unwrap().observations));
        }
    }
}

fn refused(specs: &[EnvSpec], modes: &[ObservationMode]) {
    for vectoriser in ALL {
        for mode in modes {
            let error = make(vectoriser, specs, mode.clone()).err().unwrap();
            assert!(
                matches!(error, VectorError::ObservationSpace { .. }),
                "{error}"
            );
        }
    }
}

fn given() -> ObservationMode {
    let batched = Space::uniform_box(0.0, 4.0, &[3, 5]);
    ObservationMode::Spaces(Box::new((space(5, 4.0), batched)))
}

#[test]
fn test_obs_mode_different_different_shapes() {
    refused(
        &boxes([(1, 1), (2, 1), (3, 1)]),
        &[ObservationMode::Different, given()],
    );
}

#[test]
fn test_mixed_observation_spaces() {
    let by_number = |index: i64| spec("Sampled").with("space", index);
    let specs = [by_number(4), by_number(0), by_number(11)];
    refused(
        &specs,
        &[ObservationMode::Same, ObservationMode::Different, given()],
    );
}
