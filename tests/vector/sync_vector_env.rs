//! Gymnasium's `test_sync_vector_env.py`.

use crate::Vectoriser::Sync;
use crate::envs::spec;
use crate::{cart_poles, ints, registry};
use pusht_gym::pusht::{KEYPOINTS_ID, PUSHT_ID};
use pusht_gym::space::{Space, seeded};
use pusht_gym::value::{Dict, Dtype, Value};
use pusht_gym::vector::{AutoresetMode, Seed, VectorError, VectorOptions};

fn defaults() -> VectorOptions {
    VectorOptions::default()
}

#[test]
fn test_create_sync_vector_env() {
    let mut envs = Sync.make(&vec![spec("Count"); 8], defaults()).unwrap();
    envs.close();
    assert_eq!(envs.num_envs(), 8);
    assert_eq!(
        envs.reset(Seed::None, &Dict::new()).unwrap_err(),
        VectorError::ClosedEnvironment
    );
    assert_eq!(
        Sync.make(&[], defaults()).err().unwrap(),
        VectorError::NoEnvironments
    );
}

#[test]
fn test_metadata_sync_vector_env() {
    for mode in [AutoresetMode::NextStep, AutoresetMode::SameStep] {
        let options = VectorOptions {
            autoreset_mode: mode,
            ..defaults()
        };
        let envs = Sync.make(&cart_poles(1), options).unwrap();
        assert_eq!(envs.metadata()["autoreset_mode"], mode.name().into());
    }
    let env = registry().make(&spec("CartPole")).unwrap();
    assert!(!env.metadata().contains_key("autoreset_mode"));
}

#[test]
fn test_reset_sync_vector_env() {
    let mut envs = Sync.make(&cart_poles(8), defaults()).unwrap();
    let (observations, _) = envs.reset(Seed::None, &Dict::new()).unwrap();
    envs.close();
    let array = observations.as_array().unwrap();
    assert_eq!((array.dtype(), array.shape()), (Dtype::F32, &[8, 4][..]));
    assert!(envs.spaces().observation_space.is_shape_of(&observations));
}

#[test]
fn test_step_sync_vector_env() {
    for use_single_action_space in [true, false] {
        let mut envs = Sync.make(&vec![spec("Count"); 8], defaults()).unwrap();
        envs.reset(Seed::None, &Dict::new()).unwrap();
        let mut random = seeded(1);
        let spaces = envs.spaces();
        assert_eq!(spaces.single_action_space, Space::discrete(5));
        assert_eq!(
            spaces.action_space,
            Space::vector_box(vec![0_i64; 8], vec![4; 8])
        );
        let actions: Value = if use_single_action_space {
            let single = &spaces.single_action_space;
            (0..8)
                .map(|_| single.sample(&mut random))
                .collect::<Vec<_>>()
                .into()
        } else {
            spaces.action_space.sample(&mut random)
        };
        let step = envs.step(&actions).unwrap();
        assert_eq!(*step.observations, ints([1; 8]));
        assert!(
            envs.spaces()
                .observation_space
                .is_shape_of(&step.observations)
        );
        assert_eq!(
            (
                step.rewards.len(),
                step.terminations.len(),
                step.truncations.len()
            ),
            (8, 8, 8)
        );
    }
}

#[test]
fn test_render_sync_vector() {
    let specs = vec![spec("CartPole").with("render_mode", "rgb_array"); 3];
    let mut envs = Sync.make(&specs, defaults()).unwrap();
    assert_eq!(envs.render_mode(), Some("rgb_array"));
    envs.reset(Seed::None, &Dict::new()).unwrap();
    let frames = envs.render().unwrap();
    assert_eq!(frames.len(), 3);
    assert!(frames.iter().all(|frame| frame.as_slice::<u8>().is_some()));
    assert_eq!(
        Sync.make(&cart_poles(3), defaults()).unwrap().render_mode(),
        None
    );
}

#[test]
fn test_call_sync_vector_env() {
    let mut envs = Sync.make(&cart_poles(4), defaults()).unwrap();
    envs.reset(Seed::None, &Dict::new()).unwrap();
    let images = envs.call("render", &[]).unwrap();
    assert!(images.len() == 4 && images.iter().all(|image| image.as_array().is_some()));
    assert_eq!(
        envs.call("gravity", &[]).unwrap(),
        vec![Value::Float(9.8); 4]
    );
}

#[test]
fn test_set_attr_sync_vector_env() {
    let mut envs = Sync.make(&cart_poles(4), defaults()).unwrap();
    let gravity = [9.81, 3.72, 8.87, 1.62].map(Value::Float);
    envs.set_attr("gravity", &gravity.to_vec().into()).unwrap();
    assert_eq!(envs.get_attr("gravity").unwrap(), gravity);
}

#[test]
fn test_check_spaces_sync_vector_env() {
    let mut specs = cart_poles(8);
    specs[1] = spec("Count");
    let error = Sync.make(&specs, defaults()).err().unwrap();
    assert!(
        matches!(error, VectorError::ObservationSpace { index: 1, .. }),
        "{error}"
    );
}

#[test]
fn test_custom_space_sync_vector_env() {
    let mut envs = Sync.make(&vec![spec("Words"); 4], defaults()).unwrap();
    let (observations, _) = envs.reset(Seed::None, &Dict::new()).unwrap();
    assert_eq!(*observations, vec![Value::from("reset"); 4].into());
    let actions = ["action-2", "action-3", "action-5", "action-7"];
    let step = envs
        .step(&actions.map(Value::from).to_vec().into())
        .unwrap();
    let expected = actions.map(|action| Value::Text(format!("step({action})")));
    assert_eq!(*step.observations, expected.to_vec().into());
}

#[test]
fn test_sync_vector_env_seed() {
    let env = registry().make(&spec(PUSHT_ID)).unwrap();
    let envs = Sync.make(&[spec(PUSHT_ID)], defaults()).unwrap();
    let (mut one, mut many) = (seeded(123), seeded(123));
    for _ in 0..100 {
        let action = env.action_space().sample(&mut one);
        let actions = envs.spaces().action_space.sample(&mut many);
        assert_eq!(action.as_slice::<f64>(), actions.as_slice::<f64>());
    }
}

#[test]
fn test_sync_vector_determinism() {
    for id in [
        PUSHT_ID,
        KEYPOINTS_ID,
        "CartPole",
        "Count",
        "Sampled",
        "Faulty",
    ] {
        let make = || {
            let mut envs = Sync.make(&vec![spec(id); 3], defaults()).unwrap();
            let (first, _) = envs.reset(Seed::Int(123), &Dict::new()).unwrap();
            (envs, first)
        };
        let ((mut a, first), (mut b, also_first)) = (make(), make());
        assert_eq!(first, also_first);
        let (mut random, mut again) = (seeded(123), seeded(123));
        for _ in 0..100 {
            let actions = a.spaces().action_space.sample(&mut random);
            assert_eq!(actions, b.spaces().action_space.sample(&mut again));
            if id != "Faulty" {
                assert_eq!(a.step(&actions).unwrap(), b.step(&actions).unwrap(), "{id}");
            }
        }
    }
}
