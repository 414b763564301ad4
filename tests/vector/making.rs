//! Making environments: registry, arguments, `make_vec`.

use crate::envs::{faulty, registry, spec};
use crate::{ALL, ints, program};
use pusht_core::policy::scheduler::{BetaSchedule, PredictionType, TimestepSpacing, VarianceType};
use pusht_core::pusht::env::{PushTParams, Seeding, StartOrder};
use pusht_gym::env::{EnvSpec, Registry};
use pusht_gym::pusht::{KEYPOINTS_ID, ObsType, PUSHT_ID, PictureStyle, PushT, PushTOptions};
use pusht_gym::value::{Dict, Value, dict};
use pusht_gym::vector::{
    AsyncOptions, AutoresetMode, Seed, VectorEnv, VectorOptions, VectorizeMode, make_vec,
};
use pusht_gym::wrappers::RewardAggregation;
use std::collections::HashSet;
use std::str::FromStr;

#[test]
fn a_registry_lists_its_environments_and_their_arguments() {
    let pusht = pusht_gym::pusht::registry();
    assert_eq!(pusht.names().collect::<Vec<_>>(), [PUSHT_ID, KEYPOINTS_ID]);
    assert_eq!(pusht.spec(PUSHT_ID), Some(&EnvSpec::new(PUSHT_ID)));
    assert_eq!(pusht.spec("NoEnv"), None);
    let keypoints = pusht.spec(KEYPOINTS_ID).unwrap();
    assert_eq!(
        keypoints.kwargs,
        dict([("legacy", true.into()), ("obs_type", "keypoints".into())])
    );
    assert!(format!("{pusht:?}").contains(KEYPOINTS_ID));
}

#[test]
fn given_arguments_come_before_registered_ones() {
    let env = |spec: EnvSpec| registry().make(&spec).unwrap().observation_space();
    let keypoints = env(KEYPOINTS_ID.into());
    assert!(keypoints.is_shape_of(&[0.0; 40].into()));
    let state = env(spec(KEYPOINTS_ID).with("obs_type", "state"));
    assert!(state.is_shape_of(&[0.0; 5].into()));
}

#[test]
fn an_environment_can_be_made_of_what_its_maker_has_captured() {
    let options = PushTOptions {
        obs_type: ObsType::Keypoints,
        ..PushTOptions::default()
    };
    let captured = Registry::default().register(String::from("Mine"), move |_| {
        Ok(Box::new(PushT::new(options)?))
    });
    let env = captured.clone().make(&"Mine".into()).unwrap();
    assert!(env.observation_space().is_shape_of(&[0.0; 40].into()));
}

#[test]
fn wrong_arguments_are_refused_when_an_environment_is_made() {
    let goal = |x: f64| Value::from([x, 256.0, 0.0]);
    let wrong: Vec<(&str, Value, &str)> = vec![
        (
            "obs_typ",
            "state".into(),
            "TypeError: PushT takes no argument \"obs_typ\"",
        ),
        (
            "obs_type",
            "states".into(),
            "obs_type: \"states\" is no name of a kind of observation",
        ),
        ("obs_type", 3.into(), "obs_type: a string needed, 3 given"),
        ("legacy", 1.into(), "legacy: a boolean needed, 1 given"),
        (
            "start_order",
            "first".into(),
            "these are: legacy, angle_first",
        ),
        (
            "picture_style",
            "rough".into(),
            "these are: gym-pusht, smooth",
        ),
        (
            "keypoint_visible_rate",
            f64::NAN.into(),
            "keypoint_visible_rate is out of range",
        ),
        (
            "keypoint_visible_rate",
            7.into(),
            "keypoint_visible_rate is out of range",
        ),
        ("damping", (-0.1).into(), "damping is out of range"),
        (
            "damping",
            "no".into(),
            "damping: a number needed, \"no\" given",
        ),
        (
            "block_cog",
            [1e300, 0.0].into(),
            "block_cog_px is out of range",
        ),
        (
            "block_cog",
            [0.0].into(),
            "an array of 2 f64 needed, f64 of shape [1] given",
        ),
        ("goal_pose", goal(f64::NAN), "goal_px is out of range"),
        (
            "success_threshold",
            0.0.into(),
            "success_threshold is out of range",
        ),
        (
            "max_episode_steps",
            0.into(),
            "an integer from 1 to 4294967295 needed, 0 given",
        ),
        (
            "max_episode_steps",
            (1_u64 << 32).into(),
            "needed, 4294967296 given",
        ),
        (
            "observation_width",
            0.into(),
            "an integer from 1 to 16384 needed, 0 given",
        ),
        (
            "observation_width",
            4_000_000_000_u32.into(),
            "needed, 4000000000 given",
        ),
        ("visualization_height", (-1).into(), "needed, -1 given"),
    ];
    for (name, value, message) in wrong {
        let spec = spec(PUSHT_ID).with(name, value);
        let error = registry().make(&spec).err().unwrap().to_string();
        assert!(error.contains(message), "{name}: {error}");
    }
    let oblong = spec(PUSHT_ID)
        .with("picture_style", "smooth")
        .with("visualization_width", 96);
    let error = registry().make(&oblong).err().unwrap().to_string();
    assert!(
        error.contains("96 x 680") || error.contains("the feature `render`"),
        "{error}"
    );
    let unlimited = spec(PUSHT_ID).with("max_episode_steps", Value::None);
    assert!(registry().make(&unlimited).is_ok());
}

#[test]
fn options_that_no_environment_can_have_are_refused() {
    let defaults = PushTOptions::default();
    let none = PushTParams {
        max_episode_steps: Some(0),
        ..PushTParams::default()
    };
    for options in [
        PushTOptions {
            params: none,
            ..defaults
        },
        PushTOptions {
            keypoint_visible_rate: f64::NAN,
            ..defaults
        },
        PushTOptions {
            keypoint_visible_rate: 1.5,
            ..defaults
        },
        PushTOptions {
            observation_height: 16385,
            ..defaults
        },
    ] {
        assert!(PushT::new(options).is_err(), "{options:?}");
    }
}

#[test]
fn make_vec_reaches_asynchronous_calls_restart_and_shared_memory() {
    for shared_memory in [true, false] {
        let options = AsyncOptions {
            shared_memory,
            ..AsyncOptions::default()
        };
        let mode = VectorizeMode::Processes(program());
        // Strings have no room in shared memory.
        let words = make_vec(
            &registry(),
            &spec("Words"),
            2,
            mode.clone(),
            options.clone(),
        );
        assert_eq!(words.is_err(), shared_memory);
        let mut envs = make_vec(&registry(), &spec("Faulty"), 2, mode, options).unwrap();
        envs.reset(Seed::None, &Dict::new()).unwrap();
        let step = ints([faulty::STEP; 2]);
        let workers = envs.as_async().unwrap();
        workers.step_async(&step).unwrap();
        assert_eq!(workers.step_wait(None).unwrap().rewards, [1.0, 1.0]);
        workers.restart(1).unwrap();
        assert_eq!(envs.step(&step).unwrap().rewards, [2.0, 0.0]);
    }
    let sync = make_vec(
        &registry(),
        &spec("Faulty"),
        2,
        VectorizeMode::Sync,
        VectorOptions::default(),
    );
    assert!(sync.unwrap().as_async().is_none(), "it has no workers");
}

#[test]
fn a_vector_environment_moves_to_another_thread() {
    for vectoriser in ALL {
        let envs = vectoriser.make(&vec![spec(PUSHT_ID); 2], VectorOptions::default());
        let mut envs: Box<dyn VectorEnv> = envs.unwrap();
        let moved = std::thread::spawn(move || {
            envs.reset(Seed::Int(1), &Dict::new()).unwrap();
            envs
        });
        let mut envs = moved.join().unwrap();
        let seeds = envs.get_attr("np_random_seed").unwrap();
        assert_eq!(seeds, [1, 2].map(Value::from));
    }
}

/// Each name is read back as its value, and values are told apart.
fn names<T>(values: &[T])
where
    T: FromStr<Err: std::fmt::Display> + std::fmt::Display + std::hash::Hash + Eq + Copy,
{
    for value in values {
        assert!(value.to_string().parse().ok() == Some(*value), "{value}");
    }
    assert!(
        "".parse::<T>()
            .err()
            .unwrap()
            .to_string()
            .contains(&values[0].to_string())
    );
    assert_eq!(values.iter().collect::<HashSet<_>>().len(), values.len());
}

#[test]
fn names_of_options_are_read_back() {
    names(&[Seeding::Legacy, Seeding::Pcg64]);
    names(&[StartOrder::Legacy, StartOrder::AngleFirst]);
    names(&pusht_core::pusht::observation::ObservationKind::ALL);
    names(&[
        ObsType::State,
        ObsType::EnvironmentStateAgentPos,
        ObsType::Keypoints,
        ObsType::Pixels,
        ObsType::PixelsAgentPos,
    ]);
    names(&[PictureStyle::GymPushT, PictureStyle::Smooth]);
    names(&[
        AutoresetMode::NextStep,
        AutoresetMode::SameStep,
        AutoresetMode::Disabled,
    ]);
    names(&[
        BetaSchedule::Linear,
        BetaSchedule::ScaledLinear,
        BetaSchedule::SquaredcosCapV2,
        BetaSchedule::Sigmoid,
    ]);
    names(&[
        PredictionType::Epsilon,
        PredictionType::Sample,
        PredictionType::VPrediction,
    ]);
    names(&[
        TimestepSpacing::Linspace,
        TimestepSpacing::Leading,
        TimestepSpacing::Trailing,
    ]);
    names(&[
        VarianceType::FixedSmall,
        VarianceType::FixedSmallLog,
        VarianceType::FixedLarge,
        VarianceType::FixedLargeLog,
        VarianceType::Learned,
        VarianceType::LearnedRange,
    ]);
    names(&[
        RewardAggregation::Max,
        RewardAggregation::Min,
        RewardAggregation::Mean,
        RewardAggregation::Sum,
    ]);
}
