//! Every tolerance of the tests, in one table. None is widened to make a test pass.
#![allow(dead_code)]

/// Largest distance of the simulator with `libm` from pymunk, px.
pub const PHYSICS_PX: f64 = 1e-6;
/// The same, of the block's angle, rad.
pub const PHYSICS_RAD: f64 = 1e-8;
/// Largest difference of the coverage from shapely's.
pub const COVERAGE: f64 = 1e-12;
/// Largest distance of a replayed demonstration from its record, which is in `f32`, px.
pub const REPLAY_PX: f64 = 0.01;
/// The same, of the block's angle, rad.
pub const REPLAY_RAD: f64 = 1e-4;
