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

use super::PHYSICS_DT_S;
use super::body::{Agent, Block, Twist};
use super::broad_phase::is_agent_pair;
use super::cache::ContactCache;
use super::manifold::{ContactPoint, MAX_POINTS};
use super::shapes::N_BOXES;
use crate::pusht::geometry::{Vec2, cross, dot};
use crate::pusht::math::{max, min};
use heapless::Vec;

/// Most iterations over all contacts per physics step (`cpSpace.iterations`).
pub(super) const ITERATIONS: usize = 10;
/// Overlap that is not corrected, px (`cpSpace.collisionSlop`, a single-precision literal).
const SLOP_PX: f64 = 0.1f32 as f64;
/// Share of the remaining overlap that a physics step corrects: `1 - ((1 - 0.1)^60)^0.01` with a
/// single-precision 0.1 (`cpSpace.collisionBias`).
const BIAS_FACTOR: f64 = f64::from_bits(0x3faf_5d6b_ce57_a130);

/// The velocity in one lane, the pseudo-velocity in the other.
type Lanes = super::lanes::Lanes<2>;
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

    /// Iterates over the contacts; ends early once every contact in turn left its impulses as they
    /// were, since all further iterations would too.
    pub(super) fn solve(&mut self, block: &mut Block) {
        let (velocity, pseudo) = (block.velocity, block.pseudo_velocity);
        let mut body = SolverBody {
            x: Lanes::of([velocity.linear.x, pseudo.linear.x]),
            y: Lanes::of([velocity.linear.y, pseudo.linear.y]),
            angular: Lanes::of([velocity.angular, pseudo.angular]),
            inverse_moment: Lanes::all(block.inverse_moment),
        };
        let (n_contacts, mut unchanged) = (self.list.len(), 0);
        'iterations: for _ in 0..ITERATIONS {
            for contact in &mut self.list {
                let changed = contact.solve(&mut body);
                unchanged = if changed { 0 } else { unchanged + 1 };
                if unchanged == n_contacts {
                    break 'iterations;
                }
            }
        }
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
        self.impulse = cache.impulse(pair, self.point.id);
        self.persisted = cache.is_persisted(pair);
    }

    /// One visit of an iteration; returns whether it changed the impulses.
    #[inline]
    fn solve(&mut self, body: &mut SolverBody) -> bool {
        let [n_x, n_y] = [self.point.normal.x, self.point.normal.y].map(Lanes::all);
        let [arm_x, arm_y] = [self.arm.x, self.arm.y].map(Lanes::all);
        let [other_x, other_y] =
            [self.other_vel.x, self.other_vel.y].map(|vel| Lanes::of([vel, 0.0]));
        let target_speed = Lanes::of([0.0, self.bias_speed]);
        let before = Lanes::of([self.impulse, self.pseudo_impulse]);
        let velocity_x = body.x - arm_y * body.angular - other_x;
        let velocity_y = body.y + arm_x * body.angular - other_y;
        let missing_speed = target_speed - (velocity_x * n_x + velocity_y * n_y);
        let impulse =
            (before + missing_speed * Lanes::all(self.normal_mass)).map2(Lanes::ZERO, max);
        let change = impulse - before;
        [self.impulse, self.pseudo_impulse] = impulse.0;
        let (change_x, change_y) = (n_x * change, n_y * change);
        body.x = body.x + change_x;
        body.y = body.y + change_y;
        body.angular = body.angular + body.inverse_moment * (arm_x * change_y - arm_y * change_x);
        change != Lanes::ZERO
    }
}
