//! Contact manifold of a wall and a box: up to two points, by clipping an edge against an edge.

use super::SMALL;
use super::closest_points::{Convex, FeatureId, Minkowski, Nearest, closest_points, on_edge};
use super::shapes::{
    BOX_NORMALS, BoxShape, N_BOXES, WALL_RADIUS_PX, WALLS_FROM_PX, WALLS_TO_PX, Wall,
};
use crate::pusht::geometry::{
    Aabb, Pose, Vec2, cross, dot, lerp, normalize, perp, perp_right, turns_clockwise,
};
use crate::pusht::math::{TINY, clamp01, max, min};

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
    let touching = |corner: usize, normal: Vec2| {
        let box_edge = box_edge((index, shape, pose), corner, -normal);
        clip(&wall_edge(wall, normal), &box_edge, normal, touch);
    };
    if let Some(nearest) = known_nearest(wall, (shape, pose), cached) {
        touching(nearest.corner, nearest.normal);
        return nearest.feature;
    }
    let minkowski = Minkowski { a: wall, b: shape };
    let closest = match cached_nearest(&minkowski, cached) {
        Some(nearest) => on_edge(&minkowski, nearest),
        None => closest_points(wall, shape, cached),
    };
    if closest.distance <= WALL_RADIUS_PX {
        touching(shape.support(-closest.normal), closest.normal);
    }
    closest.feature
}

/// The part of a box that is nearest to a wall, and touches it.
struct NearestPart {
    /// The corner that is farthest in the direction to the wall.
    corner: usize,
    /// From the wall to the box.
    normal: Vec2,
    feature: FeatureId,
}

/// Margin for rounding errors, px: ten thousand times those near a wall.
const ROUNDING_PX: f64 = 1e-9;

/// What [`closest_points`] finds, if that is clear without a search: the box touches the length of the
/// wall, and its lowest corner, seen from the wall's centre line, is lower than the others, or an end
/// of the wall is inside the box.
///
/// The edge of the Minkowski difference that belongs to this corner and the wall's ends is then nearer
/// to the origin than all others, or [`nearest_inside`] compares them. It is where GJK ends if the
/// origin is outside of the difference, and EPA if it is inside, wherever they begin: from every other
/// edge, a support point lies beyond. If another corner is as low but for rounding errors, GJK ends
/// there if it begins there and the corner is the support point, as in [`cached_nearest`].
/// Microcontrollers search, to save flash.
#[inline]
fn known_nearest(
    wall: &Wall,
    (shape, pose): (&BoxShape, &Pose),
    cached: FeatureId,
) -> Option<NearestPart> {
    if SMALL {
        return None;
    }
    let across = usize::from(wall.normal.x == 0.0);
    let along = 1 - across;
    let wall_pos = wall.ends[0][across];
    let bounds = &shape.bounds;
    let [below, above] = [wall_pos - bounds.min[across], bounds.max[across] - wall_pos];
    // The side on which most of the box is.
    let (side, overlap, highest) = match below < above {
        true => (1.0, below, above),
        false => (-1.0, above, below),
    };
    let depth = max(overlap, 0.0) + ROUNDING_PX;
    let is_beside = bounds.min[along] - WALLS_FROM_PX > depth
        && WALLS_TO_PX - bounds.max[along] > depth
        && highest > depth;
    let touches_clearly =
        overlap > -WALL_RADIUS_PX + 2.0 * ROUNDING_PX && overlap.abs() > 2.0 * ROUNDING_PX;
    if !touches_clearly {
        return None;
    }
    if !is_beside {
        if overlap < 0.0 {
            return None;
        }
        if let NearestEdge::OfBox { edge, end } =
            nearest_inside(wall, (shape, pose), [overlap, highest])?
        {
            return Some(nearest_to_end(wall, shape, (edge, end)));
        }
    }
    let heights = (shape.vertices).map(|vertex| (vertex[across] - wall_pos) * side);
    let (mut corner, is_lowest) = lowest(heights);
    if !is_lowest {
        let [end0, corner0, end1, corner1] = cached.to_be_bytes();
        if overlap > 0.0 || corner0 != corner1 || end0 == end1 {
            return None;
        }
        corner = usize::from(corner0);
    }
    let minkowski = Minkowski { a: wall, b: shape };
    // In this order, the normal points to the box.
    let ends = match wall.normal[across] * side < 0.0 {
        true => [0, 1],
        false => [1, 0],
    };
    let [v0, v1] = ends.map(|end| minkowski.vertex(end, corner));
    let edge = v1.difference - v0.difference;
    if !is_lowest && shape.support(perp(edge)) != corner {
        return None;
    }
    // One coordinate of the edge is 0, so the other one is its length.
    let length = edge.x.abs() + edge.y.abs();
    let normal = perp_right(edge) * (1.0 / (length + TINY));
    let support = is_lowest.then_some(corner);
    Some(NearestPart {
        corner: support.unwrap_or_else(|| shape.support(-normal)),
        normal,
        feature: (v0.id << 16) | v1.id,
    })
}

/// An edge of the Minkowski difference of a wall and a box.
enum NearestEdge {
    /// Of the length of the wall and the lowest corner of the box.
    OfWall,
    /// Of an edge of the box and an end of the wall.
    OfBox { edge: usize, end: usize },
}

/// The edge that is nearest to the origin by more than rounding errors, if the origin is inside of all
/// six: of the wall's length, at the distances `across`, and of the four edges of the box, each with
/// the end of the wall that is farther inside.
fn nearest_inside(
    wall: &Wall,
    (shape, pose): (&BoxShape, &Pose),
    across: [f64; 2],
) -> Option<NearestEdge> {
    let (mut nearest, [mut least, mut second]) = (NearestEdge::OfWall, across);
    for (edge, (vertex, normal)) in shape.vertices.iter().zip(&BOX_NORMALS[0]).enumerate() {
        let outward = pose.rotate(*normal);
        let ends = wall.ends.map(|end| dot(outward, end));
        let end = usize::from(ends[1] < ends[0]);
        let distance = dot(outward, *vertex) - ends[end];
        second = min(second, max(distance, least));
        if distance < least {
            (nearest, least) = (NearestEdge::OfBox { edge, end }, distance);
        }
    }
    let is_clear = least > 2.0 * ROUNDING_PX && second - least > ROUNDING_PX;
    is_clear.then_some(nearest)
}

/// The edge of the box as what is nearest to an end of the wall inside the box.
fn nearest_to_end(wall: &Wall, shape: &BoxShape, (edge, end): (usize, usize)) -> NearestPart {
    let minkowski = Minkowski { a: wall, b: shape };
    // In this order, the normal points into the box.
    let [v0, v1] = [edge, edge + 3].map(|vertex| minkowski.vertex(end, vertex % 4));
    let normal = normalize(perp_right(v1.difference - v0.difference));
    NearestPart {
        corner: shape.support(-normal),
        normal,
        feature: (v0.id << 16) | v1.id,
    }
}

/// The index of the lowest height, and whether it is lower than the others by more than rounding
/// errors.
#[inline]
fn lowest(heights: [f64; 4]) -> (usize, bool) {
    let (mut index, mut least, mut second) = (0, heights[0], f64::INFINITY);
    for other in 1..4 {
        let height = heights[other];
        second = min(second, max(height, least));
        if height < least {
            (index, least) = (other, height);
        }
    }
    (index, second - least > ROUNDING_PX)
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

/// The one of the two edges at corner `vertex`, the support point in direction `normal`, that faces it
/// more.
fn box_edge((index, shape, pose): (usize, &BoxShape, &Pose), vertex: usize, normal: Vec2) -> Edge {
    let next = (vertex + 1) % 4;
    let normals = &BOX_NORMALS[index % N_BOXES];
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pusht::physics::shapes::WALLS;
    use rand_pcg::Pcg64;
    use rand_pcg::rand_core::{Rng, SeedableRng};

    /// Uniform in [low, high).
    fn uniform(random: &mut Pcg64, low: f64, high: f64) -> f64 {
        low + (high - low) * (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// What the search without any short cut finds.
    fn search(wall: &Wall, shape: &BoxShape, cached: FeatureId) -> Option<NearestPart> {
        let closest = closest_points(wall, shape, cached);
        (closest.distance <= WALL_RADIUS_PX).then(|| NearestPart {
            corner: shape.support(-closest.normal),
            normal: closest.normal,
            feature: closest.feature,
        })
    }

    /// The feared bug: the short cut finds another normal, corner or feature than the search, which
    /// begins anywhere.
    #[test]
    fn what_is_known_without_a_search_is_what_the_search_finds() {
        let mut random = Pcg64::seed_from_u64(3);
        let (mut known, mut inside, mut level, mut at_end) = (0, 0, 0, 0);
        for round in 0..if cfg!(miri) { 50 } else { 200_000 } {
            let wall = &WALLS[random.next_u32() as usize % WALLS.len()];
            // Upright, upright but for a hair, or turned; moved until it touches the wall.
            let turn = [0.0, 1e-15, 1e-12, 1e-9, 1e-6, 7.0][random.next_u32() as usize % 6];
            let angle = f64::from(random.next_u32() % 8) * core::f64::consts::FRAC_PI_2
                + uniform(&mut random, -turn, turn);
            let scale = [1.0, 0.6, 1.4][round % 3];
            let origin = [0, 1].map(|_| uniform(&mut random, -20.0, 530.0));
            let pose = |origin: [f64; 2]| Pose::new(origin.into(), angle);
            let at = |origin: [f64; 2]| BoxShape::of_block(&pose(origin), scale);
            let index = random.next_u32() as usize % N_BOXES;
            let bounds = at(origin)[index].bounds;
            let across = usize::from(wall.normal.x == 0.0);
            let wall_pos = wall.ends[0][across];
            let most = [2.0, 1e-8, 30.0][random.next_u32() as usize % 3];
            let overlap = uniform(&mut random, -most, most);
            let mut touching = origin;
            touching[across] += match random.next_u32() % 2 {
                0 => wall_pos - overlap - bounds.min[across],
                _ => wall_pos + overlap - bounds.max[across],
            };
            let shape = &at(touching)[index];
            let mut cached = 0;
            for _ in 0..3 {
                let searched = search(wall, shape, cached);
                let feature = searched.as_ref().map_or(0, |part| part.feature);
                if let Some(found) = known_nearest(wall, (shape, &pose(touching)), cached) {
                    let bits = |part: NearestPart| {
                        let normal = [part.normal.x.to_bits(), part.normal.y.to_bits()];
                        (part.corner, normal, part.feature)
                    };
                    assert_eq!(
                        Some(bits(found)),
                        searched.map(bits),
                        "{touching:?} {angle}"
                    );
                    known += 1;
                    at_end += usize::from(feature.to_be_bytes()[0] == feature.to_be_bytes()[2]);
                    inside += usize::from(overlap > 0.0);
                    level += usize::from(turn < 1e-9);
                }
                cached = match cached {
                    0 => feature,
                    // The edge of another corner.
                    _ => random.next_u32() % 4 * 0x10001 + 0x100,
                };
            }
        }
        if !cfg!(miri) {
            let counts = [known, inside, level, at_end];
            assert!(counts.iter().all(|&count| count > 5_000), "{counts:?}");
        }
    }
}
