//! Contact manifold of a wall and a box: up to two points, by clipping an edge against an edge.

use super::closest_points::{Convex, FeatureId, Minkowski, Nearest, closest_points, on_edge};
use super::shapes::{BOX_NORMALS, BoxShape, WALL_RADIUS_PX, Wall};
use crate::pusht::geometry::{Aabb, Pose, Vec2, cross, dot, lerp, perp, turns_clockwise};
use crate::pusht::math::{TINY, clamp01};

/// Most points of a manifold.
pub(crate) const MAX_POINTS: usize = 2;

/// A contact point of the block: a pair of points, one on each surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContactPoint {
    /// Unit vector from the wall or the agent to the block.
    pub normal: Vec2,
    /// On the surface of the wall or the agent, px.
    pub on_other: Vec2,
    /// On the surface of the block, px.
    pub on_block: Vec2,
    /// Equal in successive steps if the same corners make the point.
    pub(crate) id: u8,
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

/// Collides a wall with box `index` of the block: `touch` receives the contact points. Returns the
/// feature to cache.
#[inline]
pub(crate) fn collide_wall_box(
    wall: &Wall,
    (index, shape, pose): (usize, &BoxShape, &Pose),
    cached: FeatureId,
    touch: impl FnMut(&ContactPoint),
) -> FeatureId {
    let minkowski = Minkowski { a: wall, b: shape };
    let closest = match cached_nearest(&minkowski, cached) {
        Some(nearest) => on_edge(&minkowski, nearest),
        None => closest_points(wall, shape, cached),
    };
    if closest.distance <= WALL_RADIUS_PX {
        let wall_edge = wall_edge(wall, closest.normal);
        let box_edge = box_edge(index, shape, pose, -closest.normal);
        clip(&wall_edge, &box_edge, closest.normal, touch);
    }
    closest.feature
}

/// The cached edge and its nearest point, if [`closest_points`] would end there in its first
/// iteration. That is so for a corner of the box beside the length of the wall, as long as the
/// corner is still the support point: whichever end of the wall is the other support point, the
/// edge has it.
#[inline]
fn cached_nearest(minkowski: &Minkowski<'_, Wall, BoxShape>, cached: FeatureId) -> Option<Nearest> {
    let [end0, corner0, end1, corner1] = cached.to_be_bytes();
    if corner0 != corner1 || end0 == end1 {
        return None;
    }
    let (mut v0, mut v1) = minkowski.edge(cached);
    if turns_clockwise(v1.difference, v0.difference, Vec2::zeros()) {
        (v0, v1) = (v1, v0);
    }
    let nearest = Nearest::on(v0, v1);
    let is_between = -1.0 < nearest.t && nearest.t < 1.0;
    let towards_origin = perp(v1.difference - v0.difference);
    let ends_here = is_between && minkowski.b.support(towards_origin) == usize::from(corner0);
    ends_here.then_some(nearest)
}

/// The edge of a shape that faces the other shape, with the indices of its ends.
struct Edge {
    ends: [Vec2; 2],
    indices: [usize; 2],
}

fn wall_edge(wall: &Wall, normal: Vec2) -> Edge {
    let indices = if dot(wall.normal, normal) > 0.0 {
        [0, 1]
    } else {
        [1, 0]
    };
    Edge {
        ends: indices.map(|end| wall.ends[end]),
        indices,
    }
}

/// The one of the two edges at the support point in direction `normal` that faces it more.
fn box_edge(index: usize, shape: &BoxShape, pose: &Pose, normal: Vec2) -> Edge {
    let vertex = shape.support(normal);
    let next = (vertex + 1) % 4;
    let normals = BOX_NORMALS.get(index).copied().unwrap_or_default();
    let facing = |edge: usize| dot(normal, pose.rotate(normals[edge % 4]));
    let indices = if facing(vertex) > facing(next) {
        [(vertex + 3) % 4, vertex]
    } else {
        [vertex, next]
    };
    Edge {
        ends: indices.map(|vertex| shape.vertex(vertex)),
        indices,
    }
}

/// Projects the ends of each edge onto the other; `touch` receives the points where the surfaces
/// overlap.
#[inline]
fn clip(wall: &Edge, block: &Edge, normal: Vec2, mut touch: impl FnMut(&ContactPoint)) {
    let along = |edge: &Edge| edge.ends.map(|end| cross(end, normal));
    let (w, b) = (along(wall), along(block));
    let wall_scale = 1.0 / (w[1] - w[0] + TINY);
    let block_scale = 1.0 / (b[1] - b[0] + TINY);
    // The edges run in opposite directions: the first end of one is beside the second of the other.
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
                id: (wall.indices[wall_end] * 4 + block.indices[block_end]) as u8,
            });
        }
    }
}
