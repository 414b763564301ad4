//! Closest points of two convex shapes.
//!
//! GJK (Gilbert, Johnson, Keerthi, "A fast procedure for computing the distance between complex
//! objects in three-dimensional space", 1988) finds the edge of the Minkowski difference B - A that
//! is nearest to the origin. If the shapes overlap, EPA (van den Bergen, "Proximity queries and
//! penetration depth computation on 3D game objects", 2001) expands a polygon inside the difference
//! until its nearest edge is one of the difference. Every comparison is written as in Chipmunk
//! (`cpCollision.c`), since it decides which edge is found in a tie.

use crate::pusht::geometry::{
    Aabb, Vec2, dot, length, normalize, perp, perp_right, turns_clockwise,
};
use crate::pusht::math::{TINY, max, min};
use heapless::Vec;

/// `cpCollision.c` `MAX_GJK_ITERATIONS`.
const MAX_GJK_ITERATIONS: usize = 30;
/// `cpCollision.c` `MAX_EPA_ITERATIONS`.
const MAX_EPA_ITERATIONS: usize = 30;
/// Vertices of EPA's polygon: a triangle, and at most one more per iteration.
const MAX_HULL: usize = 3 + MAX_EPA_ITERATIONS;

/// Identifies an edge of a Minkowski difference: the indices of A's and B's vertex at each end, one
/// byte each. 0 for none.
pub(crate) type FeatureId = u32;

/// A convex polygon, segment or point.
pub(crate) trait Convex {
    /// Vertex `index`.
    fn vertex(&self, index: usize) -> Vec2;
    /// The index of the support point: the vertex farthest in `direction`.
    fn support(&self, direction: Vec2) -> usize;
    /// The bounding box, including the shape's radius.
    fn bounds(&self) -> Aabb;
}

/// The closest points of the shapes A and B, radii not included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosestPoints {
    pub(crate) on_a: Vec2,
    pub(crate) on_b: Vec2,
    /// Unit vector from A to B along the axis of minimum separation.
    pub(crate) normal: Vec2,
    /// Distance, px; negative for overlap.
    pub(crate) distance: f64,
    pub(crate) feature: FeatureId,
}

/// A vertex of the Minkowski difference.
#[derive(Clone, Copy)]
pub(super) struct Vertex {
    /// B's vertex minus A's.
    pub(super) difference: Vec2,
    /// A's index, then B's, a byte each.
    pub(super) id: FeatureId,
}

/// An edge of the difference, and its point nearest to the origin.
#[derive(Clone, Copy)]
pub(super) struct Nearest {
    pub(super) v0: Vertex,
    pub(super) v1: Vertex,
    /// Parameter of the point: -1 at `v0`, 1 at `v1`.
    pub(super) t: f64,
    pub(super) point: Vec2,
}

impl Nearest {
    #[inline]
    pub(super) fn on(v0: Vertex, v1: Vertex) -> Self {
        let t = nearest_parameter(v0.difference, v1.difference);
        let point = blend(v0.difference, v1.difference, t);
        Self { v0, v1, t, point }
    }

    #[inline]
    pub(super) fn feature(&self) -> FeatureId {
        (self.v0.id << 16) | self.v1.id
    }
}

/// The Minkowski difference of two shapes, B - A.
pub(super) struct Minkowski<'s, A, B> {
    pub(super) a: &'s A,
    pub(super) b: &'s B,
}

impl<A: Convex, B: Convex> Minkowski<'_, A, B> {
    #[inline]
    pub(super) fn vertex(&self, index_a: usize, index_b: usize) -> Vertex {
        Vertex {
            difference: self.b.vertex(index_b) - self.a.vertex(index_a),
            id: ((index_a as FeatureId) << 8) | index_b as FeatureId,
        }
    }

    #[inline]
    fn vertex_on_a(&self, vertex: Vertex) -> Vec2 {
        self.a.vertex((vertex.id >> 8) as usize)
    }

    #[inline]
    fn vertex_on_b(&self, vertex: Vertex) -> Vec2 {
        self.b.vertex((vertex.id & 0xff) as usize)
    }

    fn support(&self, direction: Vec2) -> Vertex {
        self.vertex(self.a.support(-direction), self.b.support(direction))
    }

    /// The initial edge: the cached one, else one across the line between the centres.
    fn first_edge(&self, cached: FeatureId) -> (Vertex, Vertex) {
        if cached == 0 {
            let axis = perp(self.a.bounds().centre() - self.b.bounds().centre());
            (self.support(axis), self.support(-axis))
        } else {
            self.edge(cached)
        }
    }

    /// The edge that `feature` identifies.
    #[inline]
    pub(super) fn edge(&self, feature: FeatureId) -> (Vertex, Vertex) {
        let [a0, b0, a1, b1] = feature.to_be_bytes().map(usize::from);
        (self.vertex(a0, b0), self.vertex(a1, b1))
    }
}

/// Finds the closest points by GJK and EPA, starting from the cached feature.
pub(crate) fn closest_points<A: Convex, B: Convex>(
    a: &A,
    b: &B,
    cached: FeatureId,
) -> ClosestPoints {
    let minkowski = Minkowski { a, b };
    let origin = Vec2::zeros();
    let (mut v0, mut v1) = minkowski.first_edge(cached);
    for _ in 0..MAX_GJK_ITERATIONS {
        if turns_clockwise(v1.difference, v0.difference, origin) {
            (v0, v1) = (v1, v0);
        }
        let (d0, d1) = (v0.difference, v1.difference);
        let nearest = Nearest::on(v0, v1);
        let towards_origin = if -1.0 < nearest.t && nearest.t < 1.0 {
            perp(d1 - d0)
        } else {
            -nearest.point
        };
        let p = minkowski.support(towards_origin);
        if turns_clockwise(p.difference, d0, origin) && turns_clockwise(d1, p.difference, origin) {
            return penetration(&minkowski, [v0, p, v1]);
        }
        let farthest = max(dot(d0, towards_origin), dot(d1, towards_origin));
        if dot(p.difference, towards_origin) <= farthest {
            return on_edge(&minkowski, nearest);
        }
        if distance_squared(d0, p.difference) < distance_squared(p.difference, d1) {
            v1 = p;
        } else {
            v0 = p;
        }
    }
    on_edge(&minkowski, Nearest::on(v0, v1))
}

/// EPA, from a triangle around the origin.
fn penetration<A: Convex, B: Convex>(
    minkowski: &Minkowski<A, B>,
    triangle: [Vertex; 3],
) -> ClosestPoints {
    let mut hull: Vec<Vertex, MAX_HULL> = triangle.into_iter().collect();
    let mut iteration = 1;
    loop {
        let (edge, [v0, v1]) = nearest_edge(&hull, triangle);
        let p = minkowski.support(perp(v1.difference - v0.difference));
        let known = p.id == v0.id || p.id == v1.id;
        let beyond = turns_clockwise(v0.difference, v1.difference, p.difference);
        if known || !beyond || iteration >= MAX_EPA_ITERATIONS {
            return on_edge(minkowski, Nearest::on(v0, v1));
        }
        hull = insert(&hull, edge, p);
        iteration += 1;
    }
}

/// The edge nearest to the origin: the index of its first vertex, and both vertices. A hull has at
/// least the three vertices of the initial `triangle`.
fn nearest_edge(hull: &[Vertex], [first, second, _]: [Vertex; 3]) -> (usize, [Vertex; 2]) {
    let (mut nearest, mut least) = ((0, [first, second]), f64::INFINITY);
    let Some(last) = hull.last() else {
        return nearest;
    };
    let mut from = (hull.len() - 1, *last);
    for to in hull.iter().copied().enumerate() {
        let ends = [from.1, to.1];
        let d = distance_squared(ends[0].difference, ends[1].difference);
        if d < least {
            (nearest, least) = ((from.0, ends), d);
        }
        from = to;
    }
    nearest
}

/// The convex hull with `p` inserted after vertex `edge`.
fn insert(hull: &[Vertex], edge: usize, p: Vertex) -> Vec<Vertex, MAX_HULL> {
    let mut grown: Vec<Vertex, MAX_HULL> = [p].into_iter().collect();
    let mut before = p;
    let (up_to_edge, behind) = hull.split_at_checked(edge + 1).unwrap_or_default();
    let mut others = behind.iter().chain(up_to_edge).copied().peekable();
    while let Some(vertex) = others.next() {
        let after = others.peek().copied().unwrap_or(p);
        if turns_clockwise(before.difference, after.difference, vertex.difference) {
            // At most one more vertex per iteration, so there is room.
            let _ = grown.push(vertex);
            before = vertex;
        }
    }
    grown
}

/// The closest points that correspond to the nearest point of an edge of the difference.
#[inline]
pub(super) fn on_edge<A: Convex, B: Convex>(
    minkowski: &Minkowski<'_, A, B>,
    nearest: Nearest,
) -> ClosestPoints {
    let Nearest { v0, v1, t, point } = nearest;
    let edge_normal = normalize(perp_right(v1.difference - v0.difference));
    let along_normal = dot(edge_normal, point);
    let (normal, distance) = if along_normal <= 0.0 || (-1.0 < t && t < 1.0) {
        (edge_normal, along_normal)
    } else {
        // Vertex against vertex: the axis passes through both.
        let distance = length(point);
        (point * (1.0 / (distance + TINY)), distance)
    };
    ClosestPoints {
        on_a: blend(minkowski.vertex_on_a(v0), minkowski.vertex_on_a(v1), t),
        on_b: blend(minkowski.vertex_on_b(v0), minkowski.vertex_on_b(v1), t),
        normal,
        distance,
        feature: nearest.feature(),
    }
}

/// The parameter of the segment's point nearest to the origin: -1 at `a`, 1 at `b`.
#[inline]
fn nearest_parameter(a: Vec2, b: Vec2) -> f64 {
    let along = b - a;
    let length_squared = dot(along, along);
    if length_squared == 0.0 {
        return 0.0;
    }
    -min(max(dot(along, a + b) / length_squared, -1.0), 1.0)
}

/// The point of the segment `ab` at parameter `t`.
#[inline]
fn blend(a: Vec2, b: Vec2, t: f64) -> Vec2 {
    let half = 0.5 * t;
    a * (0.5 - half) + b * (0.5 + half)
}

/// The squared distance from the segment `ab` to the origin.
#[inline]
fn distance_squared(a: Vec2, b: Vec2) -> f64 {
    let p = blend(a, b, nearest_parameter(a, b));
    dot(p, p)
}
