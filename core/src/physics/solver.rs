//! Sequential impulses: Catto, "Fast and simple physics using sequential impulses", GDC 2006.
//!
//! Contact i, with normal n and arm r from the block's centre of gravity, has the effective mass
//!
//! ```text
//!   m = 1 / (1/M + (r x n)^2 / I)
//! ```
//!
//! and a sweep makes, contact by contact, its normal speed s what it is to be, by impulses that may only push:
//!
//! ```text
//!   s   =  (u + w x r - v) . n                      velocity (u, w) of the block, v of what it touches
//!   l'  =  max(l + (s* - s) m, 0)                   accumulated impulse
//!   u  +=  (l' - l) n / M,   w  +=  r x (l' - l) n / I
//! ```
//!
//! twice over: for the velocity (s* = 0, nothing bounces), and for a pseudo-velocity that lives for one step and
//! moves the bodies apart (s* in proportion to the overlap, v = 0).

use super::PHYSICS_DT_S;
use super::body::Block;
use super::manifold::{MAX_POINTS, Manifold};
use super::memory::{ContactMemory, N_PAIRS};
use crate::geometry::{Vec2, cross, dot, perp};
use crate::math::{max, min};
use heapless::Vec;

/// Sweeps over all contacts (`cpSpace.iterations`).
const SWEEPS: usize = 10;
/// Overlap that is left alone, px. Chipmunk writes it as a single-precision literal.
const SLOP_PX: f64 = 0.1f32 as f64;
/// Share of the overlap that a step removes: `1 - ((1 - 0.1)^60)^0.01` with a single-precision 0.1.
const PUSH_OUT_SHARE: f64 = f64::from_bits(0x3faf_5d6b_ce57_a130);

/// The velocity and the pseudo-velocity, side by side.
const VELOCITY: usize = 0;
const PSEUDO: usize = 1;

/// A contact of this step.
struct Contact {
    pair: usize,
    number: u8,
    /// Whether the pair touched in the last step too.
    lasting: bool,
    normal: Vec2,
    arm: Vec2,
    mass: f64,
    /// Of what the block touches.
    other_vel: [Vec2; 2],
    wanted_speed: [f64; 2],
    impulse: [f64; 2],
}

/// Where what the block touches is, and how it moves.
#[derive(Clone, Copy)]
pub(super) struct Other {
    pub(super) pos: Vec2,
    pub(super) vel: Vec2,
}

impl Other {
    /// The walls' body.
    pub(super) const AT_REST: Self = Self {
        pos: Vec2::new(0.0, 0.0),
        vel: Vec2::new(0.0, 0.0),
    };
}

/// The contacts of a step, in the order in which they are solved.
pub(crate) struct Contacts {
    list: Vec<Contact, { N_PAIRS * MAX_POINTS }>,
    /// The pairs that touch, a bit each.
    touching: u16,
}

impl Contacts {
    pub(crate) fn new() -> Self {
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

    /// Adds the contacts of a pair.
    pub(super) fn prepare(
        &mut self,
        pair: usize,
        manifold: &Manifold,
        other: Other,
        block: &Block,
        memory: &ContactMemory,
    ) {
        self.touching |= 1 << pair;
        let normal = manifold.normal;
        for point in manifold.points.iter().flatten() {
            let arm = point.on_block - block.cog;
            let other_arm = point.on_other - other.pos;
            let separation = dot((arm - other_arm) + (block.cog - other.pos), normal);
            let arm_cross_normal = cross(arm, normal);
            let inverse_mass = 1.0 + block.inverse_moment * arm_cross_normal * arm_cross_normal;
            let push_out_speed = -PUSH_OUT_SHARE * min(0.0, separation + SLOP_PX) / PHYSICS_DT_S;
            let contact = Contact {
                pair,
                number: point.number,
                lasting: memory.is_lasting(pair),
                normal,
                arm,
                mass: 1.0 / inverse_mass,
                other_vel: [other.vel, Vec2::zeros()],
                wanted_speed: [0.0, push_out_speed],
                impulse: [memory.impulse(pair, point.number), 0.0],
            };
            // There is room for every point of every pair.
            let _ = self.list.push(contact);
        }
    }

    /// Applies the impulses of the last step.
    pub(super) fn warm_start(&self, block: &mut Block) {
        for contact in self.list.iter().filter(|contact| contact.lasting) {
            let impulse = contact.normal * contact.impulse[VELOCITY];
            block.velocity.linear += impulse;
            block.velocity.angular += block.inverse_moment * cross(contact.arm, impulse);
        }
    }

    /// Sweeps over the contacts until the sweeps are used up, or one changes nothing and so would all the rest.
    pub(super) fn solve(&mut self, block: &mut Block) {
        let mut linear = [block.velocity.linear, block.pseudo_velocity.linear];
        let mut angular = [block.velocity.angular, block.pseudo_velocity.angular];
        for _ in 0..SWEEPS {
            let mut changed = false;
            for contact in &mut self.list {
                changed |= contact.solve(&mut linear, &mut angular, block.inverse_moment);
            }
            if !changed {
                break;
            }
        }
        block.velocity.linear = linear[VELOCITY];
        block.velocity.angular = angular[VELOCITY];
        block.pseudo_velocity.linear = linear[PSEUDO];
        block.pseudo_velocity.angular = angular[PSEUDO];
    }

    /// Remembers the impulses for the next step.
    pub(super) fn store(&self, memory: &mut ContactMemory) {
        memory.end_step(self.touching);
        for contact in &self.list {
            memory.store(contact.pair, contact.number, contact.impulse[VELOCITY]);
        }
    }
}

impl Contact {
    /// One pass over the contact; says whether it changed anything.
    #[inline]
    fn solve(
        &mut self,
        linear: &mut [Vec2; 2],
        angular: &mut [f64; 2],
        inverse_moment: f64,
    ) -> bool {
        let (n, arm) = (self.normal, self.arm);
        let mut changed = false;
        for lane in [VELOCITY, PSEUDO] {
            let velocity = linear[lane] + perp(arm) * angular[lane] - self.other_vel[lane];
            let missing_speed = self.wanted_speed[lane] - dot(velocity, n);
            let impulse = max(self.impulse[lane] + missing_speed * self.mass, 0.0);
            let change = n * (impulse - self.impulse[lane]);
            changed |= impulse != self.impulse[lane];
            self.impulse[lane] = impulse;
            linear[lane] += change;
            angular[lane] += inverse_moment * cross(arm, change);
        }
        changed
    }
}
