//! A push: approach a face of the block, then press in one direction.

use super::outline;
use super::route::{self, APPROACH_PX};
use pusht_core::pusht::env::{Info, PushTEnv, Vec2, WINDOW_PX};
use pusht_core::pusht::episode::Action;
use pusht_core::pusht::geometry::Pose;

/// Largest number of control steps of a plan.
pub const MAX_STEPS: usize = 56;
/// Largest number of control steps from the start of the push.
const MAX_PUSH_STEPS: usize = 20;

/// Parameters of a push.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Push {
    /// Contact position along the outline, px.
    pub along_px: f64,
    /// Direction relative to the inward normal, rad.
    pub angle_rad: f64,
    /// Rotation of the direction per step, rad.
    pub turn_rad: f64,
    /// Movement of the target per step, px.
    pub speed_px: f64,
}

/// Target positions, one per control step.
pub type Targets = heapless::Vec<Action, MAX_STEPS>;

impl Push {
    /// Targets of the push in `env`, from the last target `cursor`, with the number of steps before
    /// the push begins; `None` if the face can't be reached.
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

/// Limits a target to the window.
fn clamp(point: Vec2) -> Action {
    [point.x.clamp(0.0, WINDOW_PX), point.y.clamp(0.0, WINDOW_PX)]
}

fn turned(v: Vec2, angle_rad: f64) -> Vec2 {
    let (sin, cos) = (libm::sin(angle_rad), libm::cos(angle_rad));
    Vec2::new(cos * v.x - sin * v.y, sin * v.x + cos * v.y)
}
