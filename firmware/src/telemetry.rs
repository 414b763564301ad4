//! What a person wants to see of a tick. For the eye alone: estimates in `f32`, fed back into nothing.

use micromath::F32Ext;
use pusht_core::pusht::env::{GOAL_ANGLE_RAD, GOAL_PX};
use pusht_core::pusht::episode::Tick;

/// Logs where the block stands.
pub fn log(tick: &Tick<'_>) {
    let [_, _, block_x, block_y, block_angle] = tick.state;
    let (dx, dy) = ((block_x - GOAL_PX.x) as f32, (block_y - GOAL_PX.y) as f32);
    let turned = (block_angle - GOAL_ANGLE_RAD) as f32;
    // The nearest way round: the angle of the vector that it turns (1, 0) into.
    let turned_deg = turned.sin().atan2(turned.cos()).to_degrees();
    defmt::info!(
        "tick {=usize}: coverage {=u32} %, the block {=u32} px and {=i32} degrees from the goal",
        tick.index,
        (tick.outcome.coverage * 100.0) as u32,
        dx.hypot(dy).round() as u32,
        turned_deg.round() as i32
    );
}
