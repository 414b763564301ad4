//! Values whose bits have to equal pymunk's after a step.

use pusht_core::digest::Digest;
use pusht_core::pusht::env::PushTEnv;

/// Adds the values of `bits` in `golden/physics/generate.py` to a digest.
pub fn put_bits(digest: &mut Digest, env: &PushTEnv) {
    let info = env.info();
    let [agent, vel, block] = [info.agent_pos_px, info.agent_vel, info.block_pos_px];
    digest.f64s(&[agent.x, agent.y, vel.x, vel.y, block.x, block.y]);
    digest.f64s(&[info.block_angle_rad]);
    digest.i32s(&[info.n_contact_points as i32]);
}
