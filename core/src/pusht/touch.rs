//! What contacts tell of the size of the block and the agent.
//!
//! While the agent pushes, its disc touches the block. If the block is `1 + a` times as large as
//! usual, the agent's radius larger by `b`, and the agent seen `c` beside its place (relative to the
//! block), the gap between the usual shapes is then
//!
//! ```text
//! gap = a h + b + c n,   n = outward normal, h = nearest point of the usual block, along n
//! ```
//! `a`, `b` and `c` are fitted to the gaps of all pushes by least squares with a prior (ridge regression).
//! The policy is shown the agent where the usual shapes would have the gap that the real ones have,
//! and its actions are moved back.

use super::episode::Action;
use super::geometry::{Pose, Vec2, dot, length};
use super::observation::STATE_DIM;
use super::physics::{AGENT_RADIUS_PX, BOXES};
use nalgebra::{Matrix4, Vector4};

/// Mean gap of usual shapes at the end of a tick in which the agent pushed, px: they overlap a
/// little. Measured on 11,000 pushes of the planner's demonstrations; the deviation is 0.25 px.
const USUAL_GAP_PX: f64 = -0.2;
/// Largest gap that is taken for a contact, px.
const LARGEST_GAP_PX: f64 = 10.0;
/// Least motion in a tick of the agent towards the block, and of the block, px.
const LEAST_PUSH_PX: f64 = 0.5;
/// Ratio of the deviation of a gap to the deviation expected of `a` (0.3 px / 0.05), of `b` (0.3 px /
/// 3 px) and of both coordinates of `c` (0.3 px / 2 px), squared.
const PRIOR: Vector4<f64> = Vector4::new(36.0, 0.01, 0.0225, 0.0225);
/// Gap of the shown shapes up to which the agent is shown where it is, px.
const LEAST_SHIFT_PX: f64 = 1.0;
/// Gap at which the shift has faded, px.
const FAR_PX: f64 = 60.0;

/// Sums of the pushes of an episode.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Touch {
    n: usize,
    /// Products of the terms of a push (`h`, 1, `n`) with each other, and with its gap.
    squares: Matrix4<f64>,
    products: Vector4<f64>,
    /// By how much the agent is shown shifted, px.
    shift: Vec2,
}

/// The agent beside the usual block.
pub(super) struct Nearest {
    /// Distance between agent and block, px; negative where they overlap.
    pub(super) gap_px: f64,
    /// Outward unit normal in the world.
    normal: Vec2,
    /// Nearest point of the block along the normal, from the body's origin, px.
    h: f64,
}

impl Nearest {
    /// What a gap is linear in.
    fn terms(&self) -> Vector4<f64> {
        Vector4::new(self.h, 1.0, self.normal.x, self.normal.y)
    }

    pub(super) fn of(state: &[f64; STATE_DIM]) -> Self {
        let [agent_x, agent_y, block_x, block_y, angle_rad] = *state;
        let pose = Pose::new(Vec2::new(block_x, block_y), angle_rad);
        let agent = pose.inverse_transform(Vec2::new(agent_x, agent_y));
        let mut nearest = (f64::INFINITY, Vec2::zeros());
        for [low, _, high, _] in BOXES {
            let point = Vec2::new(agent.x.clamp(low.x, high.x), agent.y.clamp(low.y, high.y));
            let distance = length(agent - point);
            if distance < nearest.0 {
                nearest = (distance, point);
            }
        }
        let (distance, point) = nearest;
        let normal = match distance > 0.0 {
            true => (agent - point) * (1.0 / distance),
            false => Vec2::zeros(),
        };
        Self {
            gap_px: distance - AGENT_RADIUS_PX,
            normal: pose.rotate(normal),
            h: dot(point, normal),
        }
    }
}

impl Touch {
    /// Takes two exact observations, one tick apart.
    pub(super) fn learn(&mut self, before: &[f64; STATE_DIM], after: &[f64; STATE_DIM]) {
        let nearest = Nearest::of(after);
        let moved = |at: usize| Vec2::new(after[at] - before[at], after[at + 1] - before[at + 1]);
        let towards = -dot(moved(0), nearest.normal);
        let is_push = towards > LEAST_PUSH_PX
            && length(moved(2)) > LEAST_PUSH_PX
            && nearest.gap_px.abs() < LARGEST_GAP_PX;
        if !is_push {
            return;
        }
        let gap = nearest.gap_px - USUAL_GAP_PX;
        let terms = nearest.terms();
        self.n += 1;
        self.squares += terms * terms.transpose();
        self.products += terms * gap;
    }

    /// `a`, `b` and `c`.
    fn fit(&self) -> Vector4<f64> {
        let squares = self.squares + Matrix4::from_diagonal(&PRIOR);
        let inverse = squares.try_inverse().unwrap_or_default();
        inverse * self.products
    }

    /// The state as the policy is shown it.
    pub(super) fn shown(&mut self, mut state: [f64; STATE_DIM]) -> [f64; STATE_DIM] {
        self.shift = Vec2::zeros();
        if self.n == 0 {
            return state;
        }
        let nearest = Nearest::of(&state);
        let gap = self.fit().dot(&nearest.terms());
        if gap.abs() < LEAST_SHIFT_PX {
            return state;
        }
        let nearness = 1.0 - nearest.gap_px.max(0.0) / FAR_PX;
        self.shift = nearest.normal * (-gap * nearness.max(0.0));
        state[0] += self.shift.x;
        state[1] += self.shift.y;
        state
    }

    /// The target that an action of the policy means.
    pub(super) fn target(&self, [x, y]: Action) -> Action {
        [x - self.shift.x, y - self.shift.y]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A push against the right and left end of the bar, the end of the stem, and the top, with a
    /// gap: the states before and after it.
    fn push(side: usize, gap_px: f64) -> [[f64; STATE_DIM]; 2] {
        let (points, normals) = (
            [(60.0, 15.0), (-60.0, 15.0), (0.0, 120.0), (0.0, 0.0)],
            [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)],
        );
        let ((x, y), (normal_x, normal_y)) = (points[side], normals[side]);
        let away = AGENT_RADIUS_PX + gap_px;
        let agent = [200.0 + x + away * normal_x, 200.0 + y + away * normal_y];
        let after = [agent[0], agent[1], 200.0, 200.0, 0.0];
        let back = [3.0 * normal_x, 3.0 * normal_y];
        let before = [
            agent[0] + back[0],
            agent[1] + back[1],
            200.0 + back[0],
            200.0 + back[1],
            0.0,
        ];
        [before, after]
    }

    fn learnt(gaps: [f64; 4]) -> Touch {
        let mut touch = Touch::default();
        for _ in 0..5 {
            for (side, gap) in gaps.into_iter().enumerate() {
                let [before, after] = push(side, gap + USUAL_GAP_PX);
                touch.learn(&before, &after);
            }
        }
        assert_eq!(touch.n, 20);
        touch
    }

    #[test]
    fn a_larger_block_another_agent_and_a_constant_error_explain_the_gaps() {
        for gaps in [
            [3.0, 3.0, 6.0, 0.0],
            [-3.0, -3.0, -3.0, -3.0],
            [2.0, -2.0, 1.0, -1.0],
        ] {
            let touch = learnt(gaps);
            for (side, gap) in gaps.into_iter().enumerate() {
                let [_, after] = push(side, gap);
                let found = touch.fit().dot(&Nearest::of(&after).terms());
                assert!((found - gap).abs() < 0.2, "{gaps:?}: {found}");
            }
        }
        // What was learnt on three sides holds on the fourth, which was not touched.
        let mut touch = Touch::default();
        for side in [0, 1, 2] {
            let [before, after] = push(side, -3.0 + USUAL_GAP_PX);
            touch.learn(&before, &after);
        }
        let found = touch.fit().dot(&Nearest::of(&push(3, 0.0)[1]).terms());
        assert!((found + 3.0).abs() < 0.5, "{found}");
    }

    #[test]
    fn usual_shapes_are_shown_with_their_own_bits_and_others_with_their_gap() {
        let mut touch = Touch::default();
        let [before, after] = push(2, USUAL_GAP_PX);
        touch.learn(&before, &after);
        assert_eq!(touch.n, 1);
        assert_eq!(touch.shown(after), after);
        let mut touch = Touch::default();
        for _ in 0..20 {
            let [before, after] = push(2, 6.0 + USUAL_GAP_PX);
            touch.learn(&before, &after);
        }
        let shown = touch.shown(after);
        assert!((after[1] - shown[1] - 6.0).abs() < 0.1, "{shown:?}");
        let target = touch.target([shown[0], shown[1] - 2.0]);
        assert!((target[1] - (after[1] - 2.0)).abs() < 1e-9);
    }
}
