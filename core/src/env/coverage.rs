//! How much of the goal the block covers.

use crate::geometry::{Pose, Vec2, cross};
use crate::physics::BOXES;
use heapless::Vec;

/// Area of the T, px^2.
pub(super) const BLOCK_AREA_PX2: f64 = 120.0 * 30.0 + 30.0 * 90.0;

/// A box clipped by four half-planes has at most eight corners.
type Polygon = Vec<Vec2, 8>;

/// The share of the T at `goal` that the T at `block` covers: their boxes do not overlap within one T, so the areas
/// of the four intersections of a box with a box add up.
pub(super) fn coverage(block: &Pose, goal: &Pose) -> f64 {
    let mut area = 0.0;
    for vertices in &BOXES {
        // In the goal's coordinates its boxes are parallel to the axes.
        let seen = vertices.map(|v| goal.inverse_transform(block.transform(v)));
        for goal_box in &BOXES {
            area += intersection_area(&seen, goal_box[0], goal_box[2]);
        }
    }
    area / BLOCK_AREA_PX2
}

/// The area that a box has in common with the axis-parallel box between the corners `low` and `high`:
/// Sutherland and Hodgman, "Reentrant polygon clipping", 1974.
fn intersection_area(vertices: &[Vec2; 4], low: Vec2, high: Vec2) -> f64 {
    let mut polygon: Polygon = vertices.iter().copied().collect();
    for axis in 0..2 {
        polygon = clip(&polygon, |p| p[axis] - low[axis]);
        polygon = clip(&polygon, |p| high[axis] - p[axis]);
    }
    area(&polygon)
}

/// The part of a convex polygon on which `inside`, a signed distance, is not negative.
fn clip(polygon: &[Vec2], inside: impl Fn(&Vec2) -> f64) -> Polygon {
    let mut kept = Polygon::new();
    let Some(mut from) = polygon.last() else {
        return kept;
    };
    let mut from_inside = inside(from);
    for to in polygon {
        let to_inside = inside(to);
        if (from_inside < 0.0) != (to_inside < 0.0) {
            let t = from_inside / (from_inside - to_inside);
            // A half-plane adds one corner to a convex polygon at most.
            let _ = kept.push(from + (to - from) * t);
        }
        if to_inside >= 0.0 {
            let _ = kept.push(*to);
        }
        (from, from_inside) = (to, to_inside);
    }
    kept
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
