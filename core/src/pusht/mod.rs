//! The PushT task: the environment and all that knows a T.

pub mod border;
pub mod disturbance;
pub mod env;
pub mod episode;
pub mod estimator;
pub mod geometry;
mod math;
pub mod observation;
pub mod physics;
pub mod rollout;
pub mod seeding;
pub mod selftest;
mod touch;
