//! Plane geometry: vectors, poses and bounding boxes, evaluated in Chipmunk's order of operations.

use crate::pusht::math::{TINY, max, min, sin_cos, sqrt};

/// Point or direction in the plane, px.
pub type Vec2 = nalgebra::Vector2<f64>;

/// The z component of the cross product `a` x `b`.
#[inline]
pub(crate) fn cross(a: Vec2, b: Vec2) -> f64 {
    a.x * b.y - a.y * b.x
}

/// The dot product.
#[inline]
pub(crate) fn dot(a: Vec2, b: Vec2) -> f64 {
    a.x * b.x + a.y * b.y
}

/// `v` rotated by +90 degrees (x towards y).
#[inline]
pub(crate) fn perp(v: Vec2) -> Vec2 {
    Vec2::new(-v.y, v.x)
}

/// `v` rotated by -90 degrees.
#[inline]
pub(crate) fn perp_right(v: Vec2) -> Vec2 {
    Vec2::new(v.y, -v.x)
}

/// Linear interpolation from `a` (`t` = 0) to `b` (`t` = 1).
#[inline]
pub(crate) fn lerp(a: Vec2, b: Vec2, t: f64) -> Vec2 {
    a * (1.0 - t) + b * t
}

/// The length of `v`.
#[inline]
pub(crate) fn length(v: Vec2) -> f64 {
    sqrt(dot(v, v))
}

/// The unit vector in the direction of `v`; 0 for 0.
#[inline]
pub(crate) fn normalize(v: Vec2) -> Vec2 {
    v * (1.0 / (length(v) + TINY))
}

/// Whether the triangle `a`, `b`, `c` is clockwise with y up: its signed area, computed from the
/// middle of the edge `ab`, is negative.
#[inline]
pub(crate) fn turns_clockwise(a: Vec2, b: Vec2, c: Vec2) -> bool {
    (b.y - a.y) * (a.x + b.x - 2.0 * c.x) > (b.x - a.x) * (a.y + b.y - 2.0 * c.y)
}

/// Transform from body to world coordinates: a rotation, then a translation.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Pose {
    cos: f64,
    sin: f64,
    /// Position of the body's origin, px.
    pub(crate) origin: Vec2,
}

impl Pose {
    /// The pose of a body with its origin at `origin`, px, and angle `angle_rad`.
    pub fn new(origin: Vec2, angle_rad: f64) -> Self {
        Self::about(Vec2::zeros(), origin, angle_rad)
    }

    /// The pose with angle `angle_rad` that maps the body's point `local` to `world`, px.
    pub(crate) fn about(local: Vec2, world: Vec2, angle_rad: f64) -> Self {
        let (sin, cos) = sin_cos(angle_rad);
        let turned = Vec2::new(local.x * cos - local.y * sin, local.x * sin + local.y * cos);
        Self {
            cos,
            sin,
            origin: world - turned,
        }
    }

    /// Rotates a direction from body to world coordinates.
    #[inline]
    pub fn rotate(&self, v: Vec2) -> Vec2 {
        Vec2::new(
            self.cos * v.x + -self.sin * v.y,
            self.sin * v.x + self.cos * v.y,
        )
    }

    /// Transforms a point, px, from body to world coordinates.
    #[inline]
    pub fn transform(&self, p: Vec2) -> Vec2 {
        self.rotate(p) + self.origin
    }

    /// Transforms a point, px, from world to body coordinates.
    #[inline]
    pub fn inverse_transform(&self, p: Vec2) -> Vec2 {
        let d = p - self.origin;
        Vec2::new(
            self.cos * d.x + self.sin * d.y,
            self.cos * d.y - self.sin * d.x,
        )
    }
}

/// Axis-aligned bounding box, px.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Aabb {
    pub(crate) min: Vec2,
    pub(crate) max: Vec2,
}

impl Aabb {
    /// The bounding box of a disc.
    #[inline]
    pub(crate) const fn of_disc(centre: Vec2, radius: f64) -> Self {
        let [[x, y]] = centre.data.0;
        Self {
            min: Vec2::new(x - radius, y - radius),
            max: Vec2::new(x + radius, y + radius),
        }
    }

    /// The bounding box of four points.
    #[inline]
    pub(crate) fn of_points(points: &[Vec2; 4]) -> Self {
        let mut bounds = Self {
            min: points[0],
            max: points[0],
        };
        for p in &points[1..] {
            bounds.min = Vec2::new(min(bounds.min.x, p.x), min(bounds.min.y, p.y));
            bounds.max = Vec2::new(max(bounds.max.x, p.x), max(bounds.max.y, p.y));
        }
        bounds
    }

    #[inline]
    pub(crate) fn centre(&self) -> Vec2 {
        lerp(self.min, self.max, 0.5)
    }

    #[inline]
    pub(crate) fn intersects(&self, other: &Self) -> bool {
        self.min.x <= other.max.x
            && other.min.x <= self.max.x
            && self.min.y <= other.max.y
            && other.min.y <= self.max.y
    }

    #[inline]
    pub(crate) fn contains(&self, other: &Self) -> bool {
        self.min.x <= other.min.x
            && self.max.x >= other.max.x
            && self.min.y <= other.min.y
            && self.max.y >= other.max.y
    }

    pub(crate) fn area(&self) -> f64 {
        (self.max.x - self.min.x) * (self.max.y - self.min.y)
    }

    /// The bounding box of both.
    pub(crate) fn merge(&self, other: &Self) -> Self {
        Self {
            min: Vec2::new(min(self.min.x, other.min.x), min(self.min.y, other.min.y)),
            max: Vec2::new(max(self.max.x, other.max.x), max(self.max.y, other.max.y)),
        }
    }
}
