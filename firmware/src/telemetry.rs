//! Log lines for people about a tick: estimates in `f32` that nothing depends on.

use micromath::F32Ext;
use pusht_core::pusht::env::{GOAL_ANGLE_RAD, GOAL_PX};
use pusht_core::pusht::rollout::Tick;

/// Logs the coverage and the distance of the block from the goal.
pub fn log(tick: &Tick) {
    let [_, _, block_x, block_y, block_angle] = tick.state;
    let (dx, dy) = ((block_x - GOAL_PX.x) as f32, (block_y - GOAL_PX.y) as f32);
    let turned = (block_angle - GOAL_ANGLE_RAD) as f32;
    // The smallest equivalent angle: that of the vector to which it rotates (1, 0).
    let turned_deg = turned.sin().atan2(turned.cos()).to_degrees();
    defmt::info!(
        "tick {=usize}: coverage {=u32} %, the block {=u32} px and {=i32} degrees from the goal",
        tick.index,
        (tick.outcome.coverage * 100.0) as u32,
        dx.hypot(dy).round() as u32,
        turned_deg.round() as i32
    );
}
