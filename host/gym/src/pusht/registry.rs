//! PushT by name.

use super::{PushT, PushTOptions};
use crate::env::{EnvSpec, Registry};

/// Name of gym-pusht's environment.
pub const PUSHT_ID: &str = "gym_pusht/PushT-v0";
/// Name of diffusion_policy's environment with keypoints.
pub const KEYPOINTS_ID: &str = "pusht/PushTKeypoints-v0";

/// The registry of this package's environments, [`PUSHT_ID`] and [`KEYPOINTS_ID`], with the keyword
/// arguments of [`PushTOptions`].
pub fn registry() -> Registry {
    let keypoints = EnvSpec::new(KEYPOINTS_ID)
        .with("obs_type", "keypoints")
        .with("legacy", true);
    [PUSHT_ID.into(), keypoints]
        .into_iter()
        .fold(Registry::default(), |registry, spec: EnvSpec| {
            registry.register(spec, |kwargs| {
                Ok(Box::new(PushT::new(PushTOptions::try_from(kwargs)?)?))
            })
        })
}
