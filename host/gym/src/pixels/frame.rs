//! What a picture shows besides the walls, in whole pixels, and how it is drawn.

use super::colors::{
    AGENT_INSIDE, BLOCK_INSIDE, CONTACT_RED, LIGHT_GRAY, LIGHT_GREEN, LIGHT_SLATE_GRAY, ROYAL_BLUE,
    Rgb,
};
use super::raster::{disc, polygon, thick_line};
use super::soft_line::soft_line;
use super::surface::{Point, Surface};
use pusht_core::pusht::env::{ContactPoint, MAX_CONTACTS, PushTEnv, Vec2};
use pusht_core::pusht::geometry::Pose;
use pusht_core::pusht::observation::{BLOCK_VERTICES_PX, STATE_DIM};
use pusht_core::pusht::physics::{AGENT_RADIUS_PX, WALL_ENDS_PX, WALL_RADIUS_PX};
use std::ops::Range;

/// Radius of the agent, and of its inside (gym-pusht `draw_circle`), pixels.
const AGENT_RADIUS: i32 = AGENT_RADIUS_PX as i32;
const AGENT_INSIDE_RADIUS: i32 = AGENT_RADIUS - 4;
/// Radius of the block's outline (gym-pusht `draw_polygon`) and of the walls, pixels.
const OUTLINE_RADIUS: i32 = 2;
const _: () = assert!(WALL_RADIUS_PX == OUTLINE_RADIUS as f64);
/// The rows and columns between the walls.
pub(super) const WITHIN_WALLS: Range<usize> = {
    let [[_, high], [_, low]] = WALL_ENDS_PX[0];
    let radius = OUTLINE_RADIUS as usize;
    low as usize + radius + 1..high as usize - radius
};
/// Length of a contact's mark on either side, px (Chipmunk `cpSpaceDebugDraw`).
const MARK_PX: f64 = 2.0;

/// The corners of the bar and the stem of a T.
type Tee = [[Point; 4]; 2];

/// What a picture shows: goal, agent, block and contact points, rounded to pixels.
///
/// pymunk marks the contact points of the last physics step with short red lines, so the pictures
/// of gym-pusht show them where the block touches the agent or a wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    goal: Tee,
    agent: Point,
    block: Tee,
    marks: [[Point; 2]; MAX_CONTACTS],
    n_marks: usize,
}

impl Frame {
    /// The current state of an environment, contact points included.
    pub fn of_env(env: &PushTEnv) -> Self {
        let info = env.info();
        let mut frame = Self::new(
            &Pose::new(info.goal_pos_px, info.goal_angle_rad),
            info.agent_pos_px,
            &Pose::new(info.block_pos_px, info.block_angle_rad),
        );
        env.visit_contacts(|point| frame.mark(point));
        frame
    }

    /// A state without contact points: agent x, y, block x, y, px; block angle, rad. The goal: x,
    /// y, px; angle, rad.
    pub fn of_state(state: &[f64; STATE_DIM], goal: [f64; 3]) -> Self {
        let [agent_x, agent_y, block @ ..] = *state;
        let pose = |[x, y, angle_rad]: [f64; 3]| Pose::new(Vec2::new(x, y), angle_rad);
        Self::new(&pose(goal), Vec2::new(agent_x, agent_y), &pose(block))
    }

    fn new(goal: &Pose, agent_px: Vec2, block: &Pose) -> Self {
        Self {
            goal: tee(goal),
            agent: Point::nearest(agent_px.x, agent_px.y),
            block: tee(block),
            marks: [[Point::default(); 2]; MAX_CONTACTS],
            n_marks: 0,
        }
    }

    fn mark(&mut self, point: &ContactPoint) {
        let reach = point.normal * MARK_PX;
        let ends = [point.on_other - reach, point.on_block + reach];
        if let Some(mark) = self.marks.get_mut(self.n_marks) {
            *mark = ends.map(|end| Point::nearest(end.x, end.y));
            self.n_marks += 1;
        }
    }

    /// Whether the block is at the same place in both.
    pub(super) fn has_block_of(&self, other: &Self) -> bool {
        self.block == other.block
    }

    /// Whether the goal is at the same place in both.
    pub(super) fn has_goal_of(&self, other: &Self) -> bool {
        self.goal == other.goal
    }

    pub(super) fn draw_goal(&self, surface: &mut Surface) {
        for corners in &self.goal {
            polygon(surface, corners, LIGHT_GREEN);
        }
    }

    pub(super) fn draw_block(&self, surface: &mut Surface) {
        for corners in &self.block {
            polygon(surface, corners, BLOCK_INSIDE);
            for index in 0..corners.len() {
                let ends = [corners[index], corners[(index + 1) % corners.len()]];
                fat_segment(surface, ends, LIGHT_SLATE_GRAY);
            }
        }
    }

    pub(super) fn draw_agent(&self, surface: &mut Surface) {
        disc(surface, self.agent, AGENT_RADIUS, ROYAL_BLUE);
        disc(surface, self.agent, AGENT_INSIDE_RADIUS, AGENT_INSIDE);
    }

    pub(super) fn draw_marks(&self, surface: &mut Surface) {
        for [from, to] in &self.marks[..self.n_marks] {
            soft_line(surface, *from, *to, CONTACT_RED);
        }
    }
}

pub(super) fn draw_walls(surface: &mut Surface) {
    for ends in WALL_ENDS_PX {
        let ends = ends.map(|[x, y]| Point::nearest(x, y));
        fat_segment(surface, ends, LIGHT_GRAY);
    }
}

fn tee(pose: &Pose) -> Tee {
    std::array::from_fn(|index| {
        std::array::from_fn(|corner| {
            let [x, y] = BLOCK_VERTICES_PX[4 * index + corner];
            let place = pose.transform(Vec2::new(x, y));
            Point::nearest(place.x, place.y)
        })
    })
}

/// Draws a segment with rounded ends and radius [`OUTLINE_RADIUS`] (gym-pusht `draw_fat_segment`).
fn fat_segment(surface: &mut Surface, [from, to]: [Point; 2], color: Rgb) {
    thick_line(surface, from, to, color);
    let [x, y] = [
        i64::from(to.x) - i64::from(from.x),
        i64::from(to.y) - i64::from(from.y),
    ];
    if [x, y] == [0, 0] {
        return;
    }
    // A quirk of gym-pusht: of the normal, only the absolute values are used.
    let [right, down] = [y, x].map(|component| normal_component(component, [x, y]));
    let moved = |point: Point, sign: i32| Point {
        x: point.x.saturating_add(sign * right),
        y: point.y.saturating_add(sign * down),
    };
    let corners = [moved(from, -1), moved(from, 1), moved(to, 1), moved(to, -1)];
    polygon(surface, &corners, color);
    for end in [from, to] {
        disc(surface, end, OUTLINE_RADIUS, color);
    }
}

/// The absolute value of `component` of a vector scaled to [`OUTLINE_RADIUS`], rounded. No ratio of
/// whole numbers is a tie: the sides of a right triangle would be as 1 or 3 to 4.
fn normal_component(component: i64, [x, y]: [i64; 2]) -> i32 {
    let [component, x, y] = [component, x, y].map(i128::from);
    let (square, length_square) = (16 * component * component, x * x + y * y);
    i32::from(square > length_square) + i32::from(square > 9 * length_square)
}
