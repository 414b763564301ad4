//! Gymnasium's `test_async_vector_env.py`.

use crate::envs::{faulty, half, spec};
use crate::{ASYNC, Vectoriser, cart_poles, ints};
use pusht_gym::env::EnvError;
use pusht_gym::pusht::PUSHT_ID;
use pusht_gym::space::{Space, seeded};
use pusht_gym::value::{Dict, Dtype, Value};
use pusht_gym::vector::{AutoresetMode, Cause, Fault, Seed, VectorEnv, VectorError, VectorOptions};
use std::sync::Arc;
use std::time::Duration;

fn defaults() -> VectorOptions {
    VectorOptions::default()
}

#[test]
fn test_create_async_vector_env() {
    for vectoriser in ASYNC {
        let mut envs = vectoriser.make(&cart_poles(8), defaults()).unwrap();
        assert_eq!(envs.num_envs(), 8);
        envs.close();
    }
}

#[test]
fn test_metadata_async_vector_env() {
    for vectoriser in ASYNC {
        for mode in [AutoresetMode::NextStep, AutoresetMode::SameStep] {
            let options = VectorOptions {
                autoreset_mode: mode,
                ..defaults()
            };
            let envs = vectoriser.make(&cart_poles(1), options).unwrap();
            assert_eq!(envs.metadata()["autoreset_mode"], mode.name().into());
            assert_eq!(envs.metadata()["render_fps"], Value::Int(50));
        }
    }
    let env = crate::registry().make(&spec("CartPole")).unwrap();
    assert!(!env.metadata().contains_key("autoreset_mode"));
}

#[test]
fn test_reset_async_vector_env() {
    for vectoriser in ASYNC {
        let mut envs = vectoriser.make(&cart_poles(8), defaults()).unwrap();
        let (observations, infos) = envs.reset(Seed::None, &Dict::new()).unwrap();
        envs.close();
        let array = observations.as_array().unwrap();
        assert_eq!((array.dtype(), array.shape()), (Dtype::F32, &[8, 4][..]));
        assert!(envs.spaces().observation_space.is_shape_of(&observations));
        assert_eq!(infos, Dict::new());
    }
}

#[test]
fn test_render_async_vector() {
    for vectoriser in ASYNC {
        let specs = vec![spec("CartPole").with("render_mode", "rgb_array"); 3];
        let mut envs = vectoriser.make(&specs, defaults()).unwrap();
        assert_eq!(envs.render_mode(), Some("rgb_array"));
        envs.reset(Seed::None, &Dict::new()).unwrap();
        let frames = envs.render().unwrap();
        assert_eq!(frames.len(), 3);
        assert!(frames.iter().all(|frame| frame.as_slice::<u8>().is_some()));
        let envs = vectoriser.make(&cart_poles(3), defaults()).unwrap();
        assert_eq!(envs.render_mode(), None);
    }
}

#[test]
fn test_step_async_vector_env() {
    for vectoriser in ASYNC {
        for use_single_action_space in [true, false] {
            let mut envs = vectoriser.make(&cart_poles(8), defaults()).unwrap();
            envs.reset(Seed::None, &Dict::new()).unwrap();
            let mut random = seeded(1);
            let spaces = envs.spaces();
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
            assert!(
                envs.spaces()
                    .observation_space
                    .is_shape_of(&step.observations)
            );
            assert_eq!(step.rewards, [1.0; 8]);
            assert_eq!((step.terminations.len(), step.truncations.len()), (8, 8));
        }
    }
}

#[test]
fn test_call_async_vector_env() {
    for vectoriser in ASYNC {
        let mut envs = vectoriser.make(&cart_poles(4), defaults()).unwrap();
        envs.reset(Seed::None, &Dict::new()).unwrap();
        let images = envs.call("render", &[]).unwrap();
        assert_eq!(images.len(), 4);
        assert!(images.iter().all(|image| image.as_array().is_some()));
        assert_eq!(
            envs.call("gravity", &[]).unwrap(),
            vec![Value::Float(9.8); 4]
        );

        let mut envs = vectoriser
            .make(&vec![spec("Count"); 2], defaults())
            .unwrap();
        envs.reset(Seed::Int(10), &Dict::new()).unwrap();
        let sums = envs.call("add", &[Value::Int(1), Value::Int(2)]).unwrap();
        assert_eq!(sums, [Value::Int(13), Value::Int(14)]);
        let error = envs.call("step", &[]).unwrap_err();
        assert_eq!(error, VectorError::ReservedName("step".into()));
    }
}

#[test]
fn test_set_attr_async_vector_env() {
    for vectoriser in ASYNC {
        let mut envs = vectoriser.make(&cart_poles(4), defaults()).unwrap();
        let gravity = [9.81, 3.72, 8.87, 1.62].map(Value::Float);
        envs.set_attr("gravity", &gravity.to_vec().into()).unwrap();
        assert_eq!(envs.get_attr("gravity").unwrap(), gravity);
        envs.set_attr("gravity", &Value::Float(1.5)).unwrap();
        assert_eq!(
            envs.get_attr("gravity").unwrap(),
            vec![Value::Float(1.5); 4]
        );
        let error = envs
            .set_attr("gravity", &vec![Value::Float(1.0)].into())
            .unwrap_err();
        assert_eq!(
            error,
            VectorError::ValueCount {
                expected: 4,
                got: 1
            }
        );
        let error = envs.get_attr("levity").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("environment 0: AttributeError: there is no `levity`")
        );
    }
}

fn first_of(observations: &Value) -> *const f32 {
    observations.as_slice::<f32>().unwrap().as_ptr()
}

#[test]
fn test_copy_async_vector_env() {
    for vectoriser in ASYNC {
        let mut envs = vectoriser.make(&cart_poles(8), defaults()).unwrap();
        let (first, _) = envs.reset(Seed::Int(1), &Dict::new()).unwrap();
        let kept = (*first).clone();
        let step = envs.step(&ints([1; 8])).unwrap();
        assert_eq!(*first, kept, "what was returned does not change");
        assert_ne!(*first, *step.observations);
        assert_eq!(Arc::strong_count(&first), 1, "it is the caller's alone");
    }
}

#[test]
fn test_no_copy_async_vector_env() {
    for vectoriser in ASYNC {
        let options = VectorOptions {
            copy: false,
            ..defaults()
        };
        let mut envs = vectoriser.make(&cart_poles(8), options).unwrap();
        let (first, _) = envs.reset(Seed::Int(1), &Dict::new()).unwrap();
        assert_eq!(Arc::strong_count(&first), 2, "it is shared");
        let (place, kept) = (first_of(&first), (*first).clone());
        drop(first);
        let step = envs.step(&ints([1; 8])).unwrap();
        assert_eq!(first_of(&step.observations), place, "written over in place");
        let held = step.observations;
        let step = envs.step(&ints([1; 8])).unwrap();
        assert_ne!(
            first_of(&step.observations),
            place,
            "what is held is left alone"
        );
        assert!(*held != *step.observations && *held != kept);
    }
}

#[test]
fn test_reset_timeout_async_vector_env() {
    for vectoriser in ASYNC {
        let specs = vec![spec("Slow").with("slow_reset", 0.3); 4];
        let mut envs = vectoriser.make_async(&specs, defaults()).unwrap();
        envs.reset_async(Seed::None, &Dict::new()).unwrap();
        let timeout = Duration::from_millis(100);
        let error = envs.reset_wait(Some(timeout)).unwrap_err();
        let expected = VectorError::Timeout {
            called: "reset_wait",
            timeout,
            pending: vec![0, 1, 2, 3],
        };
        assert_eq!(error, expected);
        envs.close_with(None, true);
    }
}

#[test]
fn test_step_timeout_async_vector_env() {
    for vectoriser in ASYNC {
        let mut envs = vectoriser
            .make_async(&vec![spec("Slow"); 4], defaults())
            .unwrap();
        envs.reset(Seed::None, &Dict::new()).unwrap();
        envs.step_async(&[0.0_f32, 0.0, 5.0, 0.0].into()).unwrap();
        let error = envs
            .step_wait(Some(Duration::from_millis(500)))
            .unwrap_err();
        let VectorError::Timeout {
            called, pending, ..
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!((called, pending), ("step_wait", vec![2]));
        envs.close_with(None, true);
    }
}

fn no_call(called: &'static str, needed: &'static str) -> VectorError {
    VectorError::NoAsyncCall { called, needed }
}

fn pending(called: &'static str, pending: &'static str) -> VectorError {
    VectorError::AlreadyPendingCall { called, pending }
}

#[test]
fn test_reset_out_of_order_async_vector_env() {
    for vectoriser in ASYNC {
        let mut envs = vectoriser.make_async(&cart_poles(4), defaults()).unwrap();
        let error = envs.reset_wait(None).unwrap_err();
        assert_eq!(error, no_call("reset_wait", "reset_async"));
        assert_eq!(
            error.to_string(),
            "`reset_wait` was called without a call to `reset_async` before"
        );
        envs.close_with(None, true);

        let mut envs = vectoriser.make_async(&cart_poles(4), defaults()).unwrap();
        envs.reset(Seed::None, &Dict::new()).unwrap();
        envs.step_async(&ints([0; 4])).unwrap();
        let error = envs.reset_async(Seed::None, &Dict::new()).unwrap_err();
        assert_eq!(error, pending("reset_async", "step"));
        assert_eq!(
            error.to_string(),
            "`reset_async` was called while a call to `step` is pending"
        );
        assert_eq!(
            envs.call_async("gravity", &[]).unwrap_err(),
            pending("call_async", "step")
        );
        assert_eq!(
            envs.get_attr("gravity").unwrap_err(),
            pending("get_attr", "step")
        );
        let error = envs.set_attr("gravity", &Value::Float(1.0)).unwrap_err();
        assert_eq!(error, pending("set_attr", "step"));
        assert_eq!(envs.close_with(None, true).interrupted, Some("step"));
    }
}

#[test]
fn test_step_out_of_order_async_vector_env() {
    for vectoriser in ASYNC {
        let mut envs = vectoriser.make_async(&cart_poles(4), defaults()).unwrap();
        envs.reset(Seed::None, &Dict::new()).unwrap();
        assert_eq!(
            envs.step_wait(None).unwrap_err(),
            no_call("step_wait", "step_async")
        );
        assert_eq!(
            envs.call_wait(None).unwrap_err(),
            no_call("call_wait", "call_async")
        );
        envs.close_with(None, true);

        let mut envs = vectoriser.make_async(&cart_poles(4), defaults()).unwrap();
        envs.reset_async(Seed::None, &Dict::new()).unwrap();
        let error = envs.step_async(&ints([0; 4])).unwrap_err();
        assert_eq!(error, pending("step_async", "reset"));
        assert_eq!(
            envs.step_wait(None).unwrap_err(),
            no_call("step_wait", "step_async")
        );
        assert!(
            envs.reset_wait(None).is_ok(),
            "the pending call is not lost"
        );
        envs.reset_async(Seed::None, &Dict::new()).unwrap();
        assert_eq!(envs.close_with(None, false).interrupted, Some("reset"));
    }
}

#[test]
fn test_already_closed_async_vector_env() {
    for vectoriser in ASYNC {
        let mut envs = vectoriser.make_async(&cart_poles(4), defaults()).unwrap();
        let closed = envs.close_with(None, false);
        assert_eq!((closed.interrupted, closed.terminated), (None, vec![]));
        let error = envs.reset(Seed::None, &Dict::new()).unwrap_err();
        assert_eq!(error, VectorError::ClosedEnvironment);
        assert_eq!(
            envs.step(&ints([0; 4])).unwrap_err(),
            VectorError::ClosedEnvironment
        );
        assert_eq!(
            envs.step_wait(None).unwrap_err(),
            VectorError::ClosedEnvironment
        );
        assert_eq!(
            envs.get_attr("gravity").unwrap_err(),
            VectorError::ClosedEnvironment
        );
        assert_eq!(envs.restart(0).unwrap_err(), VectorError::ClosedEnvironment);
        envs.close();
    }
}

#[test]
fn test_check_spaces_async_vector_env() {
    for vectoriser in ASYNC {
        let mut specs = cart_poles(8);
        specs[1] = spec("Count");
        let error = vectoriser.make(&specs, defaults()).err().unwrap();
        assert!(
            matches!(error, VectorError::ObservationSpace { index: 1, .. }),
            "{error}"
        );
        let specs = [
            spec("Sampled"),
            spec("Sampled").with("space", 2),
            spec("Sampled"),
        ];
        assert!(vectoriser.make(&specs, defaults()).is_err());
    }
}

#[test]
fn test_custom_space_async_vector_env() {
    for vectoriser in [Vectoriser::Threads, Vectoriser::Pipes] {
        let mut envs = vectoriser
            .make(&vec![spec("Words"); 4], defaults())
            .unwrap();
        let (observations, _) = envs.reset(Seed::None, &Dict::new()).unwrap();
        let words = Space::Custom("words".into());
        assert_eq!(envs.spaces().single_action_space, words);
        assert_eq!(envs.spaces().action_space, Space::Tuple(vec![words; 4]));
        assert_eq!(*observations, vec![Value::from("reset"); 4].into());
        let actions = ["action-2", "action-3", "action-5", "action-7"];
        let step = envs
            .step(&actions.map(Value::from).to_vec().into())
            .unwrap();
        let expected = actions.map(|action| Value::Text(format!("step({action})")));
        assert_eq!(*step.observations, expected.to_vec().into());
    }
}

#[test]
fn test_custom_space_async_vector_env_shared_memory() {
    let made = Vectoriser::SharedMemory.make(&vec![spec("Words"); 4], defaults());
    assert_eq!(
        made.err().unwrap(),
        VectorError::CustomSpace("words".into())
    );
}

#[test]
fn test_float16_async_vector_env_shared_memory() {
    let specs = vec![spec("Sampled").with("space", 6); 2];
    let mut envs = Vectoriser::SharedMemory.make(&specs, defaults()).unwrap();
    let (observations, _) = envs.reset(Seed::Int(0), &Dict::new()).unwrap();
    let check = |observations: &Value| {
        let array = observations.as_array().unwrap();
        assert_eq!((array.dtype(), array.shape()), (Dtype::F16, &[2, 3][..]));
        assert!(
            observations
                .as_slice::<half::f16>()
                .unwrap()
                .iter()
                .any(|value| *value != half(0.0))
        );
    };
    check(&observations);
    let actions = envs.spaces().action_space.sample(&mut seeded(0));
    check(&envs.step(&actions).unwrap().observations);
}

fn value_error(index: usize, message: &str) -> Fault {
    let cause = Cause::Error(EnvError::new("ValueError", message));
    Fault { index, cause }
}

#[test]
fn test_async_vector_subenv_error() {
    for vectoriser in ASYNC {
        let mut envs = vectoriser
            .make(&vec![spec("Faulty"); 2], defaults())
            .unwrap();
        envs.reset(Seed::List(vec![Some(0), Some(0)]), &Dict::new())
            .unwrap();
        let error = envs
            .reset(Seed::List(vec![Some(1), Some(0)]), &Dict::new())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "environment 0: ValueError: Error in reset"
        );

        let mut envs = vectoriser
            .make(&vec![spec("Faulty"); 3], defaults())
            .unwrap();
        let actions = ints([faulty::STEP, faulty::ERROR, faulty::ERROR]);
        let error = envs.step(&actions).unwrap_err();
        let VectorError::Environments { faults, rest } = error else {
            panic!("{error}")
        };
        assert_eq!(
            faults,
            [
                value_error(1, "Error in step"),
                value_error(2, "Error in step")
            ]
        );
        // What Gymnasium loses: the one that went well, and everybody after that.
        assert_eq!(rest.unwrap().rewards, [1.0, 0.0, 0.0]);
        assert_eq!(
            envs.step(&ints([faulty::STEP; 3])).unwrap().rewards,
            [2.0, 1.0, 1.0]
        );
    }
}

#[test]
fn pictures_larger_than_a_socket_buffer_arrive_whole() {
    for vectoriser in ASYNC {
        let specs = vec![
            spec(PUSHT_ID)
                .with("visualization_width", 600_i64)
                .with("visualization_height", 600_i64);
            2
        ];
        let mut envs = vectoriser.make_async(&specs, defaults()).unwrap();
        envs.reset(Seed::Int(0), &Dict::new()).unwrap();
        let frames = envs.render().unwrap();
        let mut sync = Vectoriser::Sync.make(&specs, defaults()).unwrap();
        sync.reset(Seed::Int(0), &Dict::new()).unwrap();
        assert!(frames == sync.render().unwrap());
        // A worker that still writes its answer to a call that nobody waits for is closed all the
        // same.
        envs.call_async("render", &[]).unwrap();
        let closed = envs.close_with(Some(Duration::from_secs(20)), false);
        assert_eq!(
            (closed.interrupted, closed.terminated),
            (Some("call"), vec![])
        );
    }
}
