//! Collision of the agent's disc with a box: [`closest_points`] with a short cut.
//!
//! The Minkowski difference of a box and a point is the box as seen from the point. In most steps
//! its edge nearest to the origin is still the cached one. GJK would then query one support point,
//! get an end of that same edge, and stop. This is certain
//!
//! - if the nearest point lies between the ends, since the box is thick;
//! - if it is an end, and the next corner beyond it lies farther back by more than rounding errors.
//!
//! In these cases the query is skipped. If the cached edge is not the one, or there is none, an edge
//! that the centre is clearly beside is the only one at which GJK can stop, wherever it begins: from
//! every other pair of corners, a support point lies farther towards the centre. In all other cases
//! the search runs.

use super::SMALL;
use super::body::Agent;
use super::closest_points::{
    ClosestPoints, Convex, FeatureId, Minkowski, Nearest, Vertex, closest_points, on_edge,
};
use super::manifold::ContactPoint;
use super::shapes::BoxShape;
use crate::pusht::geometry::{Aabb, Vec2, cross, dot, perp_right, turns_clockwise};

/// Margin for the rounding of a product of two distances, px^2. The error itself is a thousand
/// times smaller up to 10^6 px from the origin.
const ROUNDING_PX2: f64 = 1e-3;
/// Factor of a squared radius, with a margin for rounding: there is no contact beyond it.
const FAR: f64 = 1.0 + 1e-9;

/// A disc as a shape with one vertex, its centre.
#[derive(Clone, Copy)]
pub(super) struct Disc {
    pub(super) centre: Vec2,
    pub(super) radius: f64,
}

impl From<&Agent> for Disc {
    fn from(agent: &Agent) -> Self {
        Self {
            centre: agent.pos,
            radius: agent.radius,
        }
    }
}

impl Convex for Disc {
    fn vertex(&self, _index: usize) -> Vec2 {
        self.centre
    }
    fn support(&self, _direction: Vec2) -> usize {
        0
    }
    fn bounds(&self) -> Aabb {
        Aabb::of_disc(self.centre, self.radius)
    }
}

/// Collides the agent's disc with a box: `touch` receives the contact point. Returns the feature to
/// cache.
#[inline]
pub(super) fn collide_disc_box(
    disc: Disc,
    shape: &BoxShape,
    cached: FeatureId,
    mut touch: impl FnMut(&ContactPoint),
) -> FeatureId {
    let minkowski = Minkowski { a: &disc, b: shape };
    let closest = match cached_nearest(&minkowski, cached) {
        Some(nearest) if is_far(&nearest, disc.radius) => return nearest.feature(),
        Some(nearest) => on_edge(&minkowski, nearest),
        None => match edge_beside(&minkowski) {
            Some((v0, v1)) => on_edge(&minkowski, Nearest::on(v0, v1)),
            None => closest_points(&disc, shape, cached),
        },
    };
    if let Some(point) = contact(&closest, disc.radius) {
        touch(&point);
    }
    closest.feature
}

fn contact(closest: &ClosestPoints, radius: f64) -> Option<ContactPoint> {
    (closest.distance <= radius).then(|| ContactPoint {
        normal: closest.normal,
        on_other: closest.on_a + closest.normal * radius,
        on_block: closest.on_b,
        id: 0,
    })
}

/// The cached edge and its nearest point, if [`closest_points`] would end there in its first
/// iteration.
#[cfg_attr(not(target_os = "none"), inline(always))]
fn cached_nearest(minkowski: &Minkowski<'_, Disc, BoxShape>, cached: FeatureId) -> Option<Nearest> {
    if cached == 0 {
        return None;
    }
    let (mut v0, mut v1) = minkowski.edge(cached);
    if turns_clockwise(v1.difference, v0.difference, Vec2::zeros()) {
        (v0, v1) = (v1, v0);
    }
    // Seen from inside the box, an edge runs in the other direction.
    let is_seen_from_outside = v0.id == (v1.id + 1) & 3;
    if !is_seen_from_outside {
        return None;
    }
    let nearest = Nearest::on(v0, v1);
    let ends_here = if -1.0 < nearest.t && nearest.t < 1.0 {
        true
    } else {
        let (end, beyond) = if nearest.t > 0.0 {
            (v1, v1.id + 3)
        } else {
            (v0, v0.id + 1)
        };
        let corner = minkowski.b.vertex(beyond as usize) - minkowski.a.centre;
        dot(corner - end.difference, end.difference) > ROUNDING_PX2
    };
    ends_here.then_some(nearest)
}

/// The edge that the centre is outside of and between whose ends it is, by more than rounding
/// errors. Microcontrollers search instead, to save flash.
#[inline]
fn edge_beside(minkowski: &Minkowski<'_, Disc, BoxShape>) -> Option<(Vertex, Vertex)> {
    if SMALL {
        return None;
    }
    let is_beside = |(v0, v1): &(Vertex, Vertex)| {
        let (d0, d1) = (v0.difference, v1.difference);
        let along = d1 - d0;
        cross(d0, d1) > ROUNDING_PX2
            && dot(along, d0) < -ROUNDING_PX2
            && dot(along, d1) > ROUNDING_PX2
    };
    let vertex = |index: usize| minkowski.vertex(0, index & 3);
    (0..4)
        .map(|index| (vertex(index + 1), vertex(index)))
        .find(is_beside)
}

/// Whether the distance exceeds the radius, whatever the rounding.
fn is_far(nearest: &Nearest, radius: f64) -> bool {
    let Nearest { v0, v1, point, .. } = nearest;
    let is_outside = dot(perp_right(v1.difference - v0.difference), *point) > 1.0;
    is_outside && dot(*point, *point) > radius * radius * FAR
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pusht::geometry::Pose;
    use crate::pusht::physics::AGENT_RADIUS_PX;
    use rand_pcg::Pcg64;
    use rand_pcg::rand_core::{Rng, SeedableRng};

    /// Uniform in [low, high).
    fn uniform(random: &mut Pcg64, low: f64, high: f64) -> f64 {
        low + (high - low) * (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The bits of a contact point.
    fn bits(point: Option<ContactPoint>) -> Option<[u64; 6]> {
        let point = point?;
        let values = [point.normal, point.on_other, point.on_block];
        let mut bits = [0; 6];
        for (pair, value) in bits.chunks_exact_mut(2).zip(values) {
            pair.copy_from_slice(&[value.x.to_bits(), value.y.to_bits()]);
        }
        Some(bits)
    }

    /// The feared bug: the short cut finds another point or feature than the search.
    #[test]
    fn the_short_cut_ends_where_the_search_does() {
        let mut random = Pcg64::seed_from_u64(1);
        let (mut touching, mut short) = (0, 0);
        for round in 0..60_000 {
            let origin = Vec2::new(
                uniform(&mut random, -50.0, 560.0),
                uniform(&mut random, -50.0, 560.0),
            );
            // Sometimes parallel to the axes, so that the centre is exactly on an edge's line.
            let angle = match round % 5 {
                0 => f64::from(round % 7) * core::f64::consts::FRAC_PI_2,
                _ => uniform(&mut random, -7.0, 7.0),
            };
            let pose = Pose::new(origin, angle);
            let shapes = BoxShape::of_block(&pose, 1.0);
            let shape = &shapes[round as usize % 2];
            // Beside a corner or an edge, inside the box, or exactly on one of them.
            let [from, to] = [0, 1].map(|_| shape.vertices[random.next_u32() as usize % 4]);
            let share = [0.0, 1.0, uniform(&mut random, -0.2, 1.2)][round as usize % 3];
            let off = [0.0, 1e-9, 3.0, 15.0, 25.0][random.next_u32() as usize % 5];
            let mut centre = from + (to - from) * share;
            centre.x += uniform(&mut random, -off, off);
            centre.y += uniform(&mut random, -off, off);
            let mut cached = 0;
            for _ in 0..12 {
                let mut found = None;
                let disc = Disc {
                    centre,
                    radius: AGENT_RADIUS_PX,
                };
                let feature = collide_disc_box(disc, shape, cached, |point| found = Some(*point));
                let closest = closest_points(&disc, shape, cached);
                let searched = contact(&closest, AGENT_RADIUS_PX);
                assert_eq!(feature, closest.feature, "{origin} {angle} {centre}");
                assert_eq!(bits(found), bits(searched), "{origin} {angle} {centre}");
                let minkowski = Minkowski { a: &disc, b: shape };
                short += usize::from(cached_nearest(&minkowski, cached).is_some());
                touching += usize::from(found.is_some());
                cached = feature;
                let pace = [1e-12, 0.1, 5.0][random.next_u32() as usize % 3];
                centre.x += uniform(&mut random, -pace, pace);
                centre.y += uniform(&mut random, -pace, pace);
            }
        }
        assert!(touching > 200_000 && short > 200_000, "{touching} {short}");
    }
}
