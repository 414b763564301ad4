//! A push: go to a face of the block, then press in one direction.

use super::outline;
use super::route::{self, APPROACH_PX};
use pusht_core::pusht::env::{Info, PushTEnv, Vec2, WINDOW_PX};
use pusht_core::pusht::episode::Action;
use pusht_core::pusht::geometry::Pose;

/// Most control steps of a plan.
pub const MAX_STEPS: usize = 56;
/// Most control steps behind the start of the push.
const MAX_PUSH_STEPS: usize = 20;

/// A kind of plan, by few numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Push {
    /// Where the outline is met, px along it.
    pub along_px: f64,
    /// Direction against the inward normal, rad.
    pub angle_rad: f64,
    /// Turn of the direction in each step, rad.
    pub turn_rad: f64,
    /// Way of the target in each step, px.
    pub speed_px: f64,
}

/// Targets, one a control step.
pub type Targets = heapless::Vec<Action, MAX_STEPS>;

impl Push {
    /// The targets of the push in `env`, where the last target was `cursor`; none if its face can't be reached.
    /// The second value is the number of steps before the push begins.
    pub fn targets(
        &self,
        env: &PushTEnv,
        cursor: Action,
        speed_limit_px: f64,
    ) -> Option<(Targets, usize)> {
        let Info {
            agent_pos_px,
            block_pos_px,
            block_angle_rad,
            ..
        } = env.info();
        let pose = Pose::new(block_pos_px, block_angle_rad);
        let (point, normal) = outline::at(self.along_px);
        let begin = point + normal * APPROACH_PX;
        let way = route::way(pose.inverse_transform(agent_pos_px), begin)?;

        let mut targets = Targets::new();
        let mut at = Vec2::from(cursor);
        for point in way {
            let goal = pose.transform(point);
            loop {
                let left = goal - at;
                let distance = left.norm();
                if distance <= 1e-9 {
                    break;
                }
                at += left * (speed_limit_px / distance).min(1.0);
                targets.push(clamp(at)).ok()?;
            }
        }
        let n_before = targets.len();
        let mut direction = turned(pose.rotate(-normal), self.angle_rad);
        for _ in 0..MAX_PUSH_STEPS {
            at += direction * self.speed_px;
            if targets.push(clamp(at)).is_err() {
                break;
            }
            direction = turned(direction, self.turn_rad);
        }
        Some((targets, n_before))
    }
}

/// Targets stay in the window.
fn clamp(point: Vec2) -> Action {
    [point.x.clamp(0.0, WINDOW_PX), point.y.clamp(0.0, WINDOW_PX)]
}

fn turned(v: Vec2, angle_rad: f64) -> Vec2 {
    let (sin, cos) = (libm::sin(angle_rad), libm::cos(angle_rad));
    Vec2::new(cos * v.x - sin * v.y, sin * v.x + cos * v.y)
}
