//! How much of the goal the block covers.

use crate::pusht::geometry::{Aabb, Pose, Vec2, cross, dot};
use crate::pusht::physics::BOXES;
use heapless::Vec;

/// Area of the T, px^2.
pub(super) const BLOCK_AREA_PX2: f64 = 120.0 * 30.0 + 30.0 * 90.0;

/// The farthest that a point of the T is from its origin: a corner of the stem's end, px.
const REACH_PX: f64 = 121.0;

/// A box clipped by four half-planes has at most eight corners.
type Polygon = Vec<Vec2, 8>;

/// The share of the T at `goal` that the T at `block` covers: their boxes do not overlap within one T, so the areas
/// of the four intersections of a box with a box add up.
pub(super) fn coverage(block: &Pose, goal: &Pose) -> f64 {
    let apart = block.origin - goal.origin;
    if dot(apart, apart) > 4.0 * REACH_PX * REACH_PX {
        return 0.0;
    }
    let mut area = 0.0;
    for vertices in &BOXES {
        // In the goal's coordinates its boxes are parallel to the axes.
        let seen = vertices.map(|v| goal.inverse_transform(block.transform(v)));
        let bounds = Aabb::of_points(&seen);
        for [low, _, high, _] in BOXES {
            if bounds.intersects(&Aabb {
                min: low,
                max: high,
            }) {
                area += intersection_area(&seen, low, high);
            }
        }
    }
    area / BLOCK_AREA_PX2
}

/// The area that a box has in common with the axis-parallel box between the corners `low` and `high`:
/// Sutherland and Hodgman, "Reentrant polygon clipping", 1974.
fn intersection_area(vertices: &[Vec2; 4], low: Vec2, high: Vec2) -> f64 {
    let mut polygon: Polygon = vertices.iter().copied().collect();
    clip(&mut polygon, |p| p.x - low.x);
    clip(&mut polygon, |p| high.x - p.x);
    clip(&mut polygon, |p| p.y - low.y);
    clip(&mut polygon, |p| high.y - p.y);
    area(&polygon)
}

/// Leaves the part of a convex polygon on which `inside`, a signed distance, is not negative.
#[inline]
fn clip(polygon: &mut Polygon, inside: impl Fn(&Vec2) -> f64) {
    if polygon.iter().all(|p| inside(p) >= 0.0) {
        return;
    }
    let whole = core::mem::take(polygon);
    let Some(mut from) = whole.last() else {
        return;
    };
    let mut from_inside = inside(from);
    for to in &whole {
        let to_inside = inside(to);
        if (from_inside < 0.0) != (to_inside < 0.0) {
            let t = from_inside / (from_inside - to_inside);
            // A half-plane adds one corner to a convex polygon at most.
            let _ = polygon.push(from + (to - from) * t);
        }
        if to_inside >= 0.0 {
            let _ = polygon.push(*to);
        }
        (from, from_inside) = (to, to_inside);
    }
}

/// The area of a polygon whose corners go from x to y.
fn area(polygon: &[Vec2]) -> f64 {
    let Some((first, rest)) = polygon.split_first() else {
        return 0.0;
    };
    // About the first corner, so that the terms are small.
    let twice: f64 = rest
        .windows(2)
        .map(|pair| cross(pair[0] - first, pair[1] - first))
        .sum();
    0.5 * twice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corner_is_beyond_the_reach() {
        for corner in BOXES.as_flattened() {
            assert!(dot(*corner, *corner) < REACH_PX * REACH_PX);
        }
    }
}
