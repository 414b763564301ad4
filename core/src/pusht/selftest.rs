//! Self-test of a target: digests of the simulator and the policy that are equal on every machine.

use crate::Error;
use crate::control::{Planner, RecedingHorizon};
use crate::digest::Digest;
use crate::pusht::env::{PushTEnv, PushTParams, StartOrder, StartState, Vec2};
use crate::pusht::observation::ObservationKind;
use crate::pusht::rollout::Rollout;
use crate::quant::{IntPolicy, Model};

/// Value of [`physics_digest`] with `libm`, on every target, debug and release.
pub const PHYSICS_DIGEST: u64 = 0xd765_b6b8_73bf_4daa;

/// Control steps per scene.
const STEPS: u32 = 60;

/// A start state, and two target positions relative to the block's origin, px, used in turn.
struct Scene {
    start: [f64; 5],
    order: StartOrder,
    targets: [[f64; 2]; 2],
}

const SCENES: [Scene; 3] = [
    // Chases the block and slides along it.
    Scene {
        start: [222.0, 97.0, 217.0, 292.0, 3.0],
        order: StartOrder::Legacy,
        targets: [[0.0, 0.0], [40.0, -70.0]],
    },
    // Pushes the block along a wall into a corner.
    Scene {
        start: [300.0, 300.0, 400.0, 400.0, 0.75],
        order: StartOrder::AngleFirst,
        targets: [[60.0, 25.0], [25.0, 60.0]],
    },
    // Squeezes the block against a wall, far past its centre, from a start with overlap.
    Scene {
        start: [256.0, 60.0, 256.0, 40.0, -2.0],
        order: StartOrder::AngleFirst,
        targets: [[10.0, -60.0], [-30.0, -20.0]],
    },
];

/// Simulates three fixed scenes and digests every state, velocity and contact count.
///
/// # Errors
/// Those of [`PushTEnv::new`] and [`PushTEnv::step`], which these scenes only cause on a faulty
/// machine.
pub fn physics_digest() -> Result<u64, Error> {
    let mut digest = Digest::new();
    for scene in &SCENES {
        let start = StartState::from_state(&scene.start);
        let mut env = PushTEnv::new(PushTParams::default(), start, scene.order)?;
        for t in 0..STEPS {
            let offset = scene.targets[(t / 8 % 2) as usize];
            let target = env.info().block_pos_px + Vec2::from(offset);
            let step = env.step(target.into())?;
            let info = env.info();
            digest.f64s(&env.state());
            digest.f64s(&[info.agent_vel.x, info.agent_vel.y, step.coverage]);
            digest.i32s(&[info.n_contact_points as i32]);
        }
    }
    Ok(digest.finish())
}

/// Lets the integer policy drive a fixed start, and digests the bits of all actions and states: the closed loop of simulator
/// and policy. `scratch` has [`Model::scratch_len`] words; `WINDOW` and `CHUNK` as in [`RecedingHorizon`].
///
/// # Errors
/// [`Error::WrongLength`] if the policy is of another task, or something has too little room.
pub fn closed_loop_digest<const WINDOW: usize, const CHUNK: usize>(
    model: &Model<'_>,
    scratch: &mut [u64],
    n_steps: usize,
) -> Result<u64, Error> {
    let too_short = |expected, got| Error::WrongLength {
        what: "scratch",
        expected,
        got,
    };
    let available = scratch.len();
    let mut policy =
        IntPolicy::new(model, scratch).map_err(|_| too_short(model.scratch_len(), available))?;
    let kind = ObservationKind::of_task(model.task()).unwrap_or(ObservationKind::State);
    let start = StartState::from_state(&SCENES[0].start);
    let env = PushTEnv::new(PushTParams::default(), start, SCENES[0].order)?;
    let horizon = RecedingHorizon::<WINDOW, CHUNK>::new(policy.shape(), 0)?;
    let result = Rollout::new(env, kind, horizon, n_steps)?.run(&mut policy, |_, _| ())?;
    let mut digest = Digest::new();
    for part in [result.action_digest, result.state_digest] {
        digest.i32s(&[part as i32, (part >> 32) as i32]);
    }
    Ok(digest.finish())
}

#[cfg(all(test, not(feature = "platform-math")))]
mod tests {
    use super::*;

    #[test]
    fn the_physics_digest_is_the_committed_one() {
        let digest = physics_digest().unwrap();
        assert_eq!(digest, PHYSICS_DIGEST, "{digest:#018x}");
    }
}
