//! The disturbances of the binary `disturbed`, for the device and for `build.rs`.

use pusht_core::pusht::disturbance::{Disturbances, Latency, PoseAmount};

/// Noise of 4 px and 0.04 rad, observations that are late by the same 0 to 3 ticks, and three in
/// ten of them lost.
pub fn disturbances() -> Disturbances {
    Disturbances {
        observation_noise: PoseAmount { px: 4.0, rad: 0.04 },
        observation_latency: Latency {
            least: 0,
            most: 3,
            varies: false,
        },
        observation_loss: 0.3,
        ..Disturbances::default()
    }
}
