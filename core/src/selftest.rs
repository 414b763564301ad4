//! One number for the simulator: whoever computes another one does not simulate the same world.

use crate::Error;
use crate::digest::Digest;
use crate::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};

/// What [`physics_digest`] is on every machine, in every build, without the feature `platform-math`.
pub const PHYSICS_DIGEST: u64 = 0x4858_4e65_3674_573f;

/// Episodes and control steps of the scenario.
const N_EPISODES: u64 = 4;
const N_STEPS: usize = 25;
/// Where the agent is sent, seen from the block's origin: through it, along it and past it, px.
const OFFSETS_PX: [[f64; 2]; 5] = [
    [0.0, 60.0],
    [-90.0, 20.0],
    [70.0, -40.0],
    [0.0, 0.0],
    [40.0, 110.0],
];

/// Digest of all states and coverages while the agent pushes the block about from several starts.
///
/// # Errors
/// None that a sound simulator gives.
pub fn physics_digest() -> Result<u64, Error> {
    let mut digest = Digest::new();
    for seed in 0..N_EPISODES {
        let start = StartState::from_seed(seed, Seeding::Pcg64)?;
        let mut env = PushTEnv::new(PushTParams::default(), start, StartOrder::AngleFirst)?;
        for step in 0..N_STEPS {
            let [_, _, block_x, block_y, _] = env.state();
            let [dx, dy] = OFFSETS_PX[step / 5 % OFFSETS_PX.len()];
            let outcome = env.step([block_x + dx, block_y + dy])?;
            digest.f64s(&env.state());
            digest.f64s(&[outcome.coverage]);
        }
    }
    Ok(digest.finish())
}

#[cfg(all(test, not(feature = "platform-math")))]
mod tests {
    #[test]
    fn this_machine_simulates_another_world() {
        assert_eq!(super::physics_digest(), Ok(super::PHYSICS_DIGEST));
    }
}
