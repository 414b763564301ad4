//! Coverage: the share of the goal that the block covers.

use crate::pusht::geometry::{Aabb, Pose, Vec2, cross, dot};
use crate::pusht::physics::{BOXES, scaled_boxes};
use heapless::Vec;

/// Area of the T, px^2: bar and stem.
pub(super) const BLOCK_AREA_PX2: f64 = 120.0 * 30.0 + 30.0 * 90.0;

/// Upper bound of the distance of the T's points from its origin, px: beyond the stem's end
/// corners.
const REACH_PX: f64 = 121.0;

/// A box clipped by four half-planes, with at most eight corners.
type Polygon = Vec<Vec2, 8>;

/// Share of the T at `goal` that the T at `block` covers, both `scale` times as large as usual. The boxes of one T do not overlap, so the
/// areas of the four intersections of a box with a box add up.
pub(super) fn coverage(block: &Pose, goal: &Pose, scale: f64) -> f64 {
    let apart = block.origin - goal.origin;
    let reach = REACH_PX * scale;
    if dot(apart, apart) > 4.0 * reach * reach {
        return 0.0;
    }
    let mut area = 0.0;
    let scaled;
    let boxes = match scale == 1.0 {
        true => &BOXES,
        false => {
            scaled = scaled_boxes(scale);
            &scaled
        }
    };
    for vertices in boxes {
        // In the goal's body coordinates its boxes are parallel to the axes.
        let seen = vertices.map(|v| goal.inverse_transform(block.transform(v)));
        let bounds = Aabb::of_points(&seen);
        for [low, _, high, _] in boxes.iter().copied() {
            if bounds.intersects(&Aabb {
                min: low,
                max: high,
            }) {
                area += intersection_area(&seen, low, high);
            }
        }
    }
    area / (BLOCK_AREA_PX2 * scale * scale)
}

/// Area of the intersection of a box with the axis-aligned box from `low` to `high`, px^2
/// (Sutherland and Hodgman, "Reentrant polygon clipping", 1974).
fn intersection_area(vertices: &[Vec2; 4], low: Vec2, high: Vec2) -> f64 {
    let mut polygon: Polygon = vertices.iter().copied().collect();
    clip(&mut polygon, |p| p.x - low.x);
    clip(&mut polygon, |p| high.x - p.x);
    clip(&mut polygon, |p| p.y - low.y);
    clip(&mut polygon, |p| high.y - p.y);
    area(&polygon)
}

/// Clips a convex polygon to the half-plane in which the signed distance `inside` is not negative.
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
            // A half-plane adds at most one corner to a convex polygon.
            let _ = polygon.push(from + (to - from) * t);
        }
        if to_inside >= 0.0 {
            let _ = polygon.push(*to);
        }
        (from, from_inside) = (to, to_inside);
    }
}

/// Area of a polygon whose corners are ordered from x towards y, px^2.
fn area(polygon: &[Vec2]) -> f64 {
    let Some((first, rest)) = polygon.split_first() else {
        return 0.0;
    };
    // Relative to the first corner, so that the terms are small.
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
    fn all_corners_are_within_reach() {
        for corner in BOXES.as_flattened() {
            assert!(dot(*corner, *corner) < REACH_PX * REACH_PX);
        }
    }
}
