//! Contact solver: sequential impulses (Catto, "Fast and simple physics using sequential impulses",
//! GDC 2006).
//!
//! A contact with normal n and arm r from the block's centre of gravity has the effective mass
//!
//! ```text
//!   m = 1 / (1/M + (r x n)^2 / I)
//! ```
//!
//! Each iteration visits the contacts in order and changes the block's velocity so that its normal
//! speed s becomes the target speed s*, by an accumulated impulse l that may only push:
//!
//! ```text
//!   s   =  (u + w x r - v) . n               block's velocity (u, w), obstacle's velocity v
//!   l'  =  max(l + (s* - s) m, 0)            accumulated impulse
//!   u  +=  (l' - l) n / M,   w  +=  r x (l' - l) n / I
//! ```
//!
//! This is done for the velocity (s* = 0, no restitution) and for the pseudo-velocity, which lasts
//! for one step and corrects overlap (s* is the bias speed, proportional to the overlap; v = 0).

use super::body::{Agent, Block, Twist};
use super::broad_phase::is_agent_pair;
use super::cache::ContactCache;
use super::lanes::Lanes as WideLanes;
use super::manifold::{ContactPoint, MAX_POINTS};
use super::shapes::N_BOXES;
use super::{PHYSICS_DT_S, SMALL};
use crate::pusht::geometry::{Vec2, cross, dot};
use crate::pusht::math::{max, min};
use core::array::from_fn;
use heapless::Vec;

/// Most iterations over all contacts per physics step (`cpSpace.iterations`).
pub(super) const ITERATIONS: usize = 10;
const _: () = assert!(
    ITERATIONS.is_multiple_of(2),
    "pairs of iterations are compared"
);
/// Overlap that is not corrected, px (`cpSpace.collisionSlop`, a single-precision literal).
const SLOP_PX: f64 = 0.1f32 as f64;
/// Share of the remaining overlap that a physics step corrects: `1 - ((1 - 0.1)^60)^0.01` with a
/// single-precision 0.1 (`cpSpace.collisionBias`).
const BIAS_FACTOR: f64 = f64::from_bits(0x3faf_5d6b_ce57_a130);

/// The velocity in one lane, the pseudo-velocity in the other.
type Lanes = WideLanes<2>;
const VELOCITY: usize = 0;
const PSEUDO: usize = 1;

/// The block's velocities while the contacts are solved.
struct SolverBody {
    x: Lanes,
    y: Lanes,
    angular: Lanes,
    inverse_moment: Lanes,
}

/// Most contacts per step: a box reaches at most two walls, with two points each, and the agent
/// with one.
pub const MAX_CONTACTS: usize = N_BOXES * (2 * MAX_POINTS + 1);

/// A contact constraint: a point from the narrow phase, and what [`Contacts::prepare`] adds to it.
pub(super) struct Contact {
    pub(super) point: ContactPoint,
    pair: u8,
    /// Whether the pair touched in the last step too.
    persisted: bool,
    facing: Facing,
    /// From the block's centre of gravity to the contact, px.
    pub(super) arm: Vec2,
    /// Effective mass along the normal.
    pub(super) normal_mass: f64,
    /// Velocity of what the block touches, px/s.
    pub(super) other_vel: Vec2,
    /// Speed at which the pseudo-velocity corrects the overlap, px/s.
    pub(super) bias_speed: f64,
    /// Accumulated impulses along the normal.
    pub(super) impulse: f64,
    pub(super) pseudo_impulse: f64,
}

/// The contacts of a step, in the order in which they are solved.
pub(crate) struct Contacts {
    pub(super) list: Vec<Contact, MAX_CONTACTS>,
    /// The pairs that touch, one bit each.
    touching: u16,
}

impl Contacts {
    pub(crate) const fn new() -> Self {
        Self {
            list: Vec::new(),
            touching: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.touching = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Adds a contact point of a pair; [`Self::prepare`] fills in the rest.
    #[inline]
    pub(super) fn add(&mut self, pair: usize, point: &ContactPoint) {
        self.touching |= 1 << pair;
        // There is room for every contact that there can be.
        let _ = self.list.push(Contact {
            point: *point,
            pair: pair as u8,
            persisted: false,
            facing: Facing::Anywhere,
            arm: Vec2::zeros(),
            normal_mass: 0.0,
            other_vel: Vec2::zeros(),
            bias_speed: 0.0,
            impulse: 0.0,
            pseudo_impulse: 0.0,
        });
    }

    /// Computes effective masses and bias speeds, and takes over the cached impulses.
    #[inline]
    pub(super) fn prepare(&mut self, block: &Block, agent: &Agent, cache: &ContactCache) {
        for contact in &mut self.list {
            contact.prepare(block, agent, cache);
        }
    }

    /// The block as sleeping, if the next step repeats this one as long as the agent keeps away:
    /// the block has no velocity, and its contacts have neither impulse nor overlap to correct.
    pub(super) fn sleeping_block(&self, block: &Block) -> Option<SleepingBlock> {
        let idle = |contact: &Contact| contact.impulse == 0.0 && contact.bias_speed == 0.0;
        let still = block.velocity == Twist::ZERO && block.pseudo_velocity == Twist::ZERO;
        (still && self.list.iter().all(idle)).then(|| {
            let mut sleeping = SleepingBlock {
                touching: 0,
                n_contacts: 0,
            };
            for contact in self.list.iter().filter(|contact| !contact.is_with_agent()) {
                sleeping.touching |= 1 << contact.pair;
                sleeping.n_contacts += 1;
            }
            sleeping
        })
    }

    /// Applies the impulses of the last step.
    pub(super) fn warm_start(&self, block: &mut Block) {
        for contact in self.list.iter().filter(|contact| contact.persisted) {
            let impulse = contact.point.normal * contact.impulse;
            block.velocity.linear += impulse;
            block.velocity.angular += block.inverse_moment * cross(contact.arm, impulse);
        }
    }

    /// Iterates over the contacts.
    pub(super) fn solve(&mut self, block: &mut Block) {
        let (velocity, pseudo) = (block.velocity, block.pseudo_velocity);
        let mut body = SolverBody {
            x: Lanes::of([velocity.linear.x, pseudo.linear.x]),
            y: Lanes::of([velocity.linear.y, pseudo.linear.y]),
            angular: Lanes::of([velocity.angular, pseudo.angular]),
            inverse_moment: Lanes::all(block.inverse_moment),
        };
        iterate(&mut self.list, &mut body);
        let twist = |lane: usize| Twist {
            linear: Vec2::new(body.x.0[lane], body.y.0[lane]),
            angular: body.angular.0[lane],
        };
        (block.velocity, block.pseudo_velocity) = (twist(VELOCITY), twist(PSEUDO));
    }

    /// Stores the impulses in the cache for the next step.
    pub(super) fn store(&self, cache: &mut ContactCache) {
        cache.end_step(self.touching);
        for contact in &self.list {
            cache.store(usize::from(contact.pair), contact.point.id, contact.impulse);
        }
    }
}

/// Ends early once every contact in turn left its impulses as they were, since all further
/// iterations would too. A single contact is solved by the first iteration; rounding lets the next
/// ones change nothing, or the same last digits to and fro. So once two of them end where they began,
/// all further pairs do.
fn iterate(contacts: &mut [Contact], body: &mut SolverBody) {
    let (n_contacts, mut unchanged) = (contacts.len(), 0);
    let mut pair_start = [Lanes::ZERO; 4];
    for iteration in 0..ITERATIONS {
        for contact in &mut *contacts {
            let before = Lanes::of([contact.impulse, contact.pseudo_impulse]);
            let impulses = contact.solve(body, before);
            [contact.impulse, contact.pseudo_impulse] = impulses.0;
            unchanged = if impulses == before { unchanged + 1 } else { 0 };
            if unchanged == n_contacts {
                return;
            }
            if n_contacts == 1 && iteration % 2 == 1 {
                let pair_end = [body.x, body.y, body.angular, impulses];
                if same_bits(&pair_start, &pair_end) {
                    return;
                }
                pair_start = pair_end;
            }
        }
    }
}

/// Whether all bits are equal.
#[inline(always)]
pub(super) fn same_bits<const N: usize, const VALUES: usize>(
    a: &[WideLanes<N>; VALUES],
    b: &[WideLanes<N>; VALUES],
) -> bool {
    let differing: [u64; N] = a.iter().zip(b).fold([0; N], |bits, (a, b)| {
        from_fn(|lane| bits[lane] | (a.0[lane].to_bits() ^ b.0[lane].to_bits()))
    });
    differing.iter().fold(0, |all, bits| all | bits) == 0
}

/// A block that lies still: what its next step repeats as long as the agent does not touch it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct SleepingBlock {
    /// The pairs of a box and a wall that touch, one bit each.
    pub(super) touching: u16,
    /// Contact points with the walls.
    pub(super) n_contacts: u8,
}

impl Contact {
    fn is_with_agent(&self) -> bool {
        is_agent_pair(usize::from(self.pair))
    }

    #[inline]
    fn prepare(&mut self, block: &Block, agent: &Agent, cache: &ContactCache) {
        // The walls' body stands at the origin.
        let (other_pos, other_vel) = if self.is_with_agent() {
            (agent.pos, agent.vel)
        } else {
            (Vec2::zeros(), Vec2::zeros())
        };
        let normal = self.point.normal;
        let arm = self.point.on_block - block.cog;
        let other_arm = self.point.on_other - other_pos;
        let separation = dot((arm - other_arm) + (block.cog - other_pos), normal);
        let arm_cross_normal = cross(arm, normal);
        let inverse_mass = 1.0 + block.inverse_moment * arm_cross_normal * arm_cross_normal;
        self.arm = arm;
        self.normal_mass = 1.0 / inverse_mass;
        self.other_vel = other_vel;
        self.bias_speed = -BIAS_FACTOR * min(0.0, separation + SLOP_PX) / PHYSICS_DT_S;
        let pair = usize::from(self.pair);
        self.facing = match (other_vel == Vec2::zeros(), normal.x == 0.0, normal.y == 0.0) {
            (true, false, true) => Facing::AlongX,
            (true, true, false) => Facing::AlongY,
            _ => Facing::Anywhere,
        };
        self.impulse = cache.impulse(pair, self.point.id);
        self.persisted = cache.is_persisted(pair);
    }

    /// One visit of an iteration, with the impulses `before` it; returns those after it.
    ///
    /// At a wall, the normal has one coordinate, and the wall no velocity: terms that are 0 are left
    /// out, which shortens the chain of operations by a fifth. No bit depends on them, since no
    /// velocity is -0 (see [`World::damp_velocity`](super::World)).
    #[inline(always)]
    fn solve(&self, body: &mut SolverBody, before: Lanes) -> Lanes {
        let [n_x, n_y] = [self.point.normal.x, self.point.normal.y].map(Lanes::all);
        let [arm_x, arm_y] = [self.arm.x, self.arm.y].map(Lanes::all);
        let (velocity, lever, normal) = match self.facing {
            Facing::AlongX if !SMALL => (body.x, Lanes::ZERO - arm_y, n_x),
            Facing::AlongY if !SMALL => (body.y, arm_x, n_y),
            _ => {
                let [other_x, other_y] =
                    [self.other_vel.x, self.other_vel.y].map(|vel| Lanes::of([vel, 0.0]));
                let velocity_x = body.x - arm_y * body.angular - other_x;
                let velocity_y = body.y + arm_x * body.angular - other_y;
                let speed = velocity_x * n_x + velocity_y * n_y;
                let (impulses, change) = self.push(speed, before);
                let (change_x, change_y) = (n_x * change, n_y * change);
                body.x = body.x + change_x;
                body.y = body.y + change_y;
                let turn = arm_x * change_y - arm_y * change_x;
                body.angular = body.angular + body.inverse_moment * turn;
                return impulses;
            }
        };
        let speed = (velocity + lever * body.angular) * normal;
        let (impulses, change) = self.push(speed, before);
        let change = normal * change;
        match self.facing {
            Facing::AlongX => body.x = velocity + change,
            _ => body.y = velocity + change,
        }
        body.angular = body.angular + body.inverse_moment * (lever * change);
        impulses
    }

    /// The accumulated impulses that bring the normal speed to its target, if pushing can, and
    /// their change.
    #[inline(always)]
    fn push(&self, speed: Lanes, before: Lanes) -> (Lanes, Lanes) {
        let missing_speed = Lanes::of([0.0, self.bias_speed]) - speed;
        let impulses =
            (before + missing_speed * Lanes::all(self.normal_mass)).map2(Lanes::ZERO, max);
        (impulses, impulses - before)
    }
}

/// The direction of a contact's normal, if what the block touches has no velocity.
#[derive(Clone, Copy)]
enum Facing {
    AlongX,
    AlongY,
    /// Any direction and any velocity.
    Anywhere,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_pcg::Pcg64;
    use rand_pcg::rand_core::{Rng, SeedableRng};

    /// Uniform in [low, high).
    fn uniform(random: &mut Pcg64, low: f64, high: f64) -> f64 {
        low + (high - low) * (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A contact with a wall, or with the agent.
    fn contact(random: &mut Pcg64) -> ContactPoint {
        let almost_one = if random.next_u32().is_multiple_of(2) {
            1.0
        } else {
            1.0 - f64::EPSILON
        };
        let sign = if random.next_u32().is_multiple_of(2) {
            1.0
        } else {
            -1.0
        };
        let angle = uniform(random, -4.0, 4.0);
        let (sin, cos) = libm::sincos(angle);
        let normal = match random.next_u32() % 3 {
            0 => Vec2::new(sign * almost_one, sign * 0.0),
            1 => Vec2::new(-sign * 0.0, sign * almost_one),
            _ => Vec2::new(cos, sin),
        };
        let on_block = Vec2::new(uniform(random, -60.0, 60.0), uniform(random, -60.0, 60.0));
        ContactPoint {
            normal,
            on_other: on_block + normal * uniform(random, -1.0, 3.0),
            on_block,
            id: 0,
        }
    }

    /// All iterations by the formulas above, for the velocity (`lane` 0) or the pseudo-velocity.
    fn solve_plainly(contacts: &Contacts, block: &Block, lane: usize) -> [f64; 3 + MAX_CONTACTS] {
        let mut twist = [block.velocity, block.pseudo_velocity][lane];
        let mut impulses = [0.0; MAX_CONTACTS];
        for (impulse, contact) in impulses.iter_mut().zip(&contacts.list) {
            *impulse = [contact.impulse, contact.pseudo_impulse][lane];
        }
        for _ in 0..ITERATIONS {
            for (impulse, contact) in impulses.iter_mut().zip(&contacts.list) {
                let (normal, arm) = (contact.point.normal, contact.arm);
                let (other, target) = match lane {
                    VELOCITY => (contact.other_vel, 0.0),
                    _ => (Vec2::zeros(), contact.bias_speed),
                };
                let turn = Vec2::new(-arm.y * twist.angular, arm.x * twist.angular);
                let missing_speed = target - dot(twist.linear + turn - other, normal);
                let before = *impulse;
                *impulse = max(before + missing_speed * contact.normal_mass, 0.0);
                let change = normal * (*impulse - before);
                twist.linear += change;
                twist.angular += block.inverse_moment * cross(arm, change);
            }
        }
        let mut values = [0.0; 3 + MAX_CONTACTS];
        values[..3].copy_from_slice(&[twist.linear.x, twist.linear.y, twist.angular]);
        values[3..].copy_from_slice(&impulses);
        values
    }

    /// The feared bug: an early end, or a term left out, changes a bit.
    #[test]
    fn the_solver_has_the_bits_of_all_iterations_with_all_terms() {
        let mut random = Pcg64::seed_from_u64(4);
        for round in 0..if cfg!(miri) { 20 } else { 20_000 } {
            let mut block = Block::new(Vec2::new(0.0, 45.0), 3_000.0, 1.0);
            let agent = Agent {
                pos: Vec2::zeros(),
                vel: Vec2::new(uniform(&mut random, -90.0, 90.0), 70.0),
                radius: 15.0,
            };
            let mut contacts = Contacts::new();
            for index in 0..round % 5 {
                let pair = [0, 2, 4, 6, 8][(index + random.next_u32() as usize) % 5];
                contacts.add(pair, &contact(&mut random));
            }
            contacts.prepare(&block, &agent, &ContactCache::EMPTY);
            for contact in &mut contacts.list {
                contact.impulse = [0.0, uniform(&mut random, 0.0, 50.0)][round / 5 % 2];
            }
            if round % 3 > 0 {
                block.velocity.linear = Vec2::new(uniform(&mut random, -90.0, 90.0), -40.0);
                block.velocity.angular = uniform(&mut random, -2.0, 2.0);
            }
            let expected = [VELOCITY, PSEUDO].map(|lane| solve_plainly(&contacts, &block, lane));
            contacts.solve(&mut block);
            for (lane, expected) in expected.iter().enumerate() {
                let twist = [block.velocity, block.pseudo_velocity][lane];
                let solved = [twist.linear.x, twist.linear.y, twist.angular];
                let impulses = contacts.list.iter();
                let impulses = impulses.map(|c| [c.impulse, c.pseudo_impulse][lane]);
                let solved = solved.into_iter().chain(impulses);
                for (value, expected) in solved.zip(expected) {
                    assert_eq!(value.to_bits(), expected.to_bits(), "{round}");
                }
            }
        }
    }
}
