//! Where a wall and a box touch: up to two points of a side on a side.

use super::closest_points::{Convex, FeatureId, Minkowski, Nearest, closest_points, on_edge};
use super::shapes::{BOX_NORMALS, BoxShape, WALL_RADIUS_PX, Wall};
use crate::pusht::geometry::{Aabb, Pose, Vec2, cross, dot, lerp, perp, turns_clockwise};
use crate::pusht::math::{TINY, clamp01};

/// Most points of a side on a side.
pub(crate) const MAX_POINTS: usize = 2;

/// A pair of points, one on each surface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContactPoint {
    /// Of length 1, from the other to the block.
    pub(crate) normal: Vec2,
    pub(crate) on_other: Vec2,
    pub(crate) on_block: Vec2,
    /// The same in the next step if the same corners make it.
    pub(crate) number: u8,
}

impl Convex for Wall {
    fn vertex(&self, index: usize) -> Vec2 {
        self.ends[index & 1]
    }
    fn support(&self, direction: Vec2) -> usize {
        let first_is_farther = dot(self.ends[0], direction) > dot(self.ends[1], direction);
        usize::from(!first_is_farther)
    }
    fn bounds(&self) -> Aabb {
        self.bounds
    }
}

impl Convex for BoxShape {
    fn vertex(&self, index: usize) -> Vec2 {
        self.vertices[index & 3]
    }
    #[inline]
    fn support(&self, direction: Vec2) -> usize {
        let (mut farthest, mut most) = (0, f64::NEG_INFINITY);
        for (index, vertex) in self.vertices.iter().enumerate() {
            let distance = dot(*vertex, direction);
            if distance > most {
                (farthest, most) = (index, distance);
            }
        }
        farthest
    }
    fn bounds(&self) -> Aabb {
        self.bounds
    }
}

/// A wall against box `index` of the block; `touch` is handed the points where they touch.
#[inline]
pub(crate) fn wall_and_box(
    wall: &Wall,
    (index, shape, pose): (usize, &BoxShape, &Pose),
    remembered: FeatureId,
    touch: impl FnMut(&ContactPoint),
) -> FeatureId {
    let minkowski = Minkowski { a: wall, b: shape };
    let closest = match still_nearest(&minkowski, remembered) {
        Some(nearest) => on_edge(&minkowski, nearest),
        None => closest_points(wall, shape, remembered),
    };
    if closest.distance <= WALL_RADIUS_PX {
        let wall_edge = wall_edge(wall, closest.normal);
        let box_edge = box_edge(index, shape, pose, -closest.normal);
        clip(&wall_edge, &box_edge, closest.normal, touch);
    }
    closest.feature
}

/// The remembered edge and its nearest point, if [`closest_points`] would end there at once: a corner of the box beside the
/// whole wall, if it still is the corner that the search would ask for, since whichever end of the wall it asks for is
/// one of the edge.
#[inline]
fn still_nearest(
    minkowski: &Minkowski<'_, Wall, BoxShape>,
    remembered: FeatureId,
) -> Option<Nearest> {
    let [end0, corner0, end1, corner1] = remembered.to_be_bytes();
    if corner0 != corner1 || end0 == end1 {
        return None;
    }
    let (mut v0, mut v1) = minkowski.edge(remembered);
    if turns_clockwise(v1.difference, v0.difference, Vec2::zeros()) {
        (v0, v1) = (v1, v0);
    }
    let nearest = Nearest::on(v0, v1);
    let is_between = -1.0 < nearest.t && nearest.t < 1.0;
    let towards_origin = perp(v1.difference - v0.difference);
    let ends_here = is_between && minkowski.b.support(towards_origin) == usize::from(corner0);
    ends_here.then_some(nearest)
}

/// The edge of a shape that faces the other, with the numbers of its ends.
struct Edge {
    ends: [Vec2; 2],
    numbers: [usize; 2],
}

fn wall_edge(wall: &Wall, normal: Vec2) -> Edge {
    let numbers = if dot(wall.normal, normal) > 0.0 {
        [0, 1]
    } else {
        [1, 0]
    };
    Edge {
        ends: numbers.map(|end| wall.ends[end]),
        numbers,
    }
}

/// Of the two edges at the farthest vertex, the one that faces `normal` more.
fn box_edge(index: usize, shape: &BoxShape, pose: &Pose, normal: Vec2) -> Edge {
    let vertex = shape.support(normal);
    let next = (vertex + 1) % 4;
    let normals = BOX_NORMALS.get(index).copied().unwrap_or_default();
    let facing = |edge: usize| dot(normal, pose.rotate(normals[edge % 4]));
    let numbers = if facing(vertex) > facing(next) {
        [(vertex + 3) % 4, vertex]
    } else {
        [vertex, next]
    };
    Edge {
        ends: numbers.map(|vertex| shape.vertex(vertex)),
        numbers,
    }
}

/// Projects the ends of each edge onto the other; `touch` is handed the points where the surfaces overlap.
#[inline]
fn clip(wall: &Edge, block: &Edge, normal: Vec2, mut touch: impl FnMut(&ContactPoint)) {
    let along = |edge: &Edge| edge.ends.map(|end| cross(end, normal));
    let (w, b) = (along(wall), along(block));
    let wall_scale = 1.0 / (w[1] - w[0] + TINY);
    let block_scale = 1.0 / (b[1] - b[0] + TINY);
    // The edges run against each other: the first end of one lies by the second of the other.
    for (wall_end, block_end) in [(0, 1), (1, 0)] {
        let wall_t = clamp01((b[block_end] - w[0]) * wall_scale);
        let block_t = clamp01((w[wall_end] - b[0]) * block_scale);
        let on_other = normal * WALL_RADIUS_PX + lerp(wall.ends[0], wall.ends[1], wall_t);
        let on_block = lerp(block.ends[0], block.ends[1], block_t);
        if dot(on_block - on_other, normal) <= 0.0 {
            touch(&ContactPoint {
                normal,
                on_other,
                on_block,
                number: (wall.numbers[wall_end] * 4 + block.numbers[block_end]) as u8,
            });
        }
    }
}
