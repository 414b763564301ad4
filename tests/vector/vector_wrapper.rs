//! Gymnasium's `test_vector_wrapper.py`. A wrapper here is a [`VectorEnv`] that has another.

use crate::{ALL, cart_poles};
use pusht_gym::value::{Dict, Value};
use pusht_gym::vector::{
    AutoresetMode, Seed, Spaces, VectorEnv, VectorError, VectorOptions, VectorStep,
};
use std::sync::Arc;

struct DummyVectorWrapper {
    envs: Box<dyn VectorEnv>,
    counter: usize,
}

impl VectorEnv for DummyVectorWrapper {
    fn num_envs(&self) -> usize {
        self.envs.num_envs()
    }
    fn spaces(&self) -> &Spaces {
        self.envs.spaces()
    }
    fn metadata(&self) -> &Dict {
        self.envs.metadata()
    }
    fn render_mode(&self) -> Option<&str> {
        self.envs.render_mode()
    }
    fn reset(&mut self, seed: Seed, options: &Dict) -> Result<(Arc<Value>, Dict), VectorError> {
        self.counter += 1;
        self.envs.reset(seed, options)
    }
    fn step(&mut self, actions: &Value) -> Result<VectorStep, VectorError> {
        self.envs.step(actions)
    }
    fn call(&mut self, name: &str, arguments: &[Value]) -> Result<Vec<Value>, VectorError> {
        self.envs.call(name, arguments)
    }
    fn get_attr(&mut self, name: &str) -> Result<Vec<Value>, VectorError> {
        self.envs.get_attr(name)
    }
    fn set_attr(&mut self, name: &str, values: &Value) -> Result<(), VectorError> {
        self.envs.set_attr(name, values)
    }
    fn close(&mut self) {
        self.envs.close();
    }
}

fn wrapped(envs: Box<dyn VectorEnv>) -> DummyVectorWrapper {
    DummyVectorWrapper { envs, counter: 0 }
}

#[test]
fn test_vector_env_wrapper_inheritance() {
    for vectoriser in ALL {
        let envs = vectoriser
            .make(&cart_poles(1), VectorOptions::default())
            .unwrap();
        let mut wrapped = wrapped(envs);
        wrapped.reset(Seed::None, &Dict::new()).unwrap();
        assert_eq!(wrapped.counter, 1);
    }
}

#[test]
fn test_vector_env_wrapper_attributes() {
    for vectoriser in ALL {
        let make = || {
            vectoriser
                .make(&cart_poles(3), VectorOptions::default())
                .unwrap()
        };
        let (mut envs, mut wrapped) = (make(), wrapped(make()));
        let gravity = |envs: &mut dyn VectorEnv| envs.call("gravity", &[]).unwrap();
        assert_eq!(gravity(&mut wrapped), gravity(&mut *envs));
        wrapped
            .set_attr("gravity", &vec![Value::Float(20.0); 3].into())
            .unwrap();
        assert_eq!(
            wrapped.get_attr("gravity").unwrap(),
            vec![Value::Float(20.0); 3]
        );
    }
}

#[test]
fn test_vector_env_metadata() {
    for vectoriser in ALL {
        let options = VectorOptions {
            autoreset_mode: AutoresetMode::SameStep,
            ..VectorOptions::default()
        };
        let wrapped = wrapped(vectoriser.make(&cart_poles(1), options).unwrap());
        assert_eq!(wrapped.metadata(), wrapped.envs.metadata());
        assert_eq!(wrapped.metadata()["autoreset_mode"], "SameStep".into());
    }
}
