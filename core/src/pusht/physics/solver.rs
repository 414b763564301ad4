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
use super::body::{Block, Twist};
use super::broad_phase::{N_OTHERS, OTHER_AGENT};
use super::manifold::{ContactPoint, MAX_POINTS};
use super::memory::ContactMemory;
use super::shapes::N_BOXES;
use crate::pusht::geometry::{Vec2, cross, dot};
use crate::pusht::math::{max, min};
use heapless::Vec;

/// Sweeps over all contacts (`cpSpace.iterations`).
pub(super) const SWEEPS: usize = 10;
/// Overlap that is left alone, px. Chipmunk writes it as a single-precision literal.
const SLOP_PX: f64 = 0.1f32 as f64;
/// Share of the overlap that a step removes: `1 - ((1 - 0.1)^60)^0.01` with a single-precision 0.1.
const PUSH_OUT_SHARE: f64 = f64::from_bits(0x3faf_5d6b_ce57_a130);

/// A value for the velocity and one for the pseudo-velocity.
type Lanes = super::lanes::Lanes<2>;
const VELOCITY: usize = 0;
const PSEUDO: usize = 1;

/// The block's velocities while they are solved for.
struct Motion {
    x: Lanes,
    y: Lanes,
    angular: Lanes,
    inverse_moment: Lanes,
}

/// Most contacts of a step: a box reaches two walls at most, with two points each, and the agent with one.
pub(super) const MAX_CONTACTS: usize = N_BOXES * (2 * MAX_POINTS + 1);

/// A contact of this step.
pub(super) struct Contact {
    pub(super) normal: Vec2,
    pub(super) arm: Vec2,
    pub(super) mass: f64,
    /// Of what the block touches.
    pub(super) other_vel: Vec2,
    pub(super) push_out_speed: f64,
    pub(super) impulse: f64,
    pub(super) pseudo_impulse: f64,
    pair: u8,
    number: u8,
    /// Whether the pair touched in the last step too.
    lasting: bool,
}

/// Where what the block touches is, and how it moves.
#[derive(Clone, Copy)]
pub(super) struct OtherBody {
    pub(super) pos: Vec2,
    pub(super) vel: Vec2,
}

impl OtherBody {
    /// The walls' body.
    pub(super) const AT_REST: Self = Self {
        pos: Vec2::new(0.0, 0.0),
        vel: Vec2::new(0.0, 0.0),
    };
}

/// The contacts of a step, in the order in which they are solved.
pub(crate) struct Contacts {
    pub(super) list: Vec<Contact, MAX_CONTACTS>,
    /// The pairs that touch, a bit each.
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

    /// Adds a contact of a pair.
    #[inline]
    pub(super) fn prepare(
        &mut self,
        pair: usize,
        point: &ContactPoint,
        other: OtherBody,
        block: &Block,
        memory: &ContactMemory,
    ) {
        self.touching |= 1 << pair;
        let normal = point.normal;
        let arm = point.on_block - block.cog;
        let other_arm = point.on_other - other.pos;
        let separation = dot((arm - other_arm) + (block.cog - other.pos), normal);
        let arm_cross_normal = cross(arm, normal);
        let inverse_mass = 1.0 + block.inverse_moment * arm_cross_normal * arm_cross_normal;
        let push_out_speed = -PUSH_OUT_SHARE * min(0.0, separation + SLOP_PX) / PHYSICS_DT_S;
        let contact = Contact {
            normal,
            arm,
            mass: 1.0 / inverse_mass,
            other_vel: other.vel,
            push_out_speed,
            impulse: memory.impulse(pair, point.number),
            pseudo_impulse: 0.0,
            pair: pair as u8,
            number: point.number,
            lasting: memory.is_lasting(pair),
        };
        // There is room for every contact that there can be.
        let _ = self.list.push(contact);
    }

    /// What the next step repeats, if it is so, and as long as the agent keeps away: a block without velocity, on contacts
    /// without impulse that push nothing out.
    pub(super) fn rest(&self, block: &Block) -> Option<Rest> {
        let idle = |contact: &Contact| contact.impulse == 0.0 && contact.push_out_speed == 0.0;
        let still = block.velocity == Twist::ZERO && block.pseudo_velocity == Twist::ZERO;
        (still && self.list.iter().all(idle)).then(|| {
            let on_walls = self.list.iter().filter(|contact| contact.is_on_wall());
            let mut rest = Rest {
                touching: 0,
                n_contacts: 0,
            };
            for contact in on_walls {
                rest.touching |= 1 << contact.pair;
                rest.n_contacts += 1;
            }
            rest
        })
    }

    /// Applies the impulses of the last step.
    pub(super) fn warm_start(&self, block: &mut Block) {
        for contact in self.list.iter().filter(|contact| contact.lasting) {
            let impulse = contact.normal * contact.impulse;
            block.velocity.linear += impulse;
            block.velocity.angular += block.inverse_moment * cross(contact.arm, impulse);
        }
    }

    /// Sweeps over the contacts until the sweeps are used up, or each contact in turn changed nothing and so would not in
    /// all the rest.
    pub(super) fn solve(&mut self, block: &mut Block) {
        let (velocity, pseudo) = (block.velocity, block.pseudo_velocity);
        let mut motion = Motion {
            x: Lanes::of([velocity.linear.x, pseudo.linear.x]),
            y: Lanes::of([velocity.linear.y, pseudo.linear.y]),
            angular: Lanes::of([velocity.angular, pseudo.angular]),
            inverse_moment: Lanes::all(block.inverse_moment),
        };
        let (n_contacts, mut unchanged) = (self.list.len(), 0);
        'sweeps: for _ in 0..SWEEPS {
            for contact in &mut self.list {
                let changed = contact.solve(&mut motion);
                unchanged = if changed { 0 } else { unchanged + 1 };
                if unchanged == n_contacts {
                    break 'sweeps;
                }
            }
        }
        let twist = |lane: usize| Twist {
            linear: Vec2::new(motion.x.0[lane], motion.y.0[lane]),
            angular: motion.angular.0[lane],
        };
        (block.velocity, block.pseudo_velocity) = (twist(VELOCITY), twist(PSEUDO));
    }

    /// Remembers the impulses for the next step.
    pub(super) fn store(&self, memory: &mut ContactMemory) {
        memory.end_step(self.touching);
        for contact in &self.list {
            memory.store(usize::from(contact.pair), contact.number, contact.impulse);
        }
    }
}

/// The contacts of a block that lies still.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// The pairs of a box and a wall that touch, a bit each.
    pub(super) touching: u16,
    pub(super) n_contacts: u8,
}

impl Contact {
    fn is_on_wall(&self) -> bool {
        usize::from(self.pair) % N_OTHERS != OTHER_AGENT
    }

    /// One pass over the contact; says whether it changed anything.
    #[inline]
    fn solve(&mut self, motion: &mut Motion) -> bool {
        let [n_x, n_y] = [self.normal.x, self.normal.y].map(Lanes::all);
        let [arm_x, arm_y] = [self.arm.x, self.arm.y].map(Lanes::all);
        let [other_x, other_y] =
            [self.other_vel.x, self.other_vel.y].map(|vel| Lanes::of([vel, 0.0]));
        let wanted_speed = Lanes::of([0.0, self.push_out_speed]);
        let before = Lanes::of([self.impulse, self.pseudo_impulse]);
        let velocity_x = motion.x - arm_y * motion.angular - other_x;
        let velocity_y = motion.y + arm_x * motion.angular - other_y;
        let missing_speed = wanted_speed - (velocity_x * n_x + velocity_y * n_y);
        let impulse = (before + missing_speed * Lanes::all(self.mass)).map2(Lanes::ZERO, max);
        let change = impulse - before;
        [self.impulse, self.pseudo_impulse] = impulse.0;
        let (change_x, change_y) = (n_x * change, n_y * change);
        motion.x = motion.x + change_x;
        motion.y = motion.y + change_y;
        motion.angular =
            motion.angular + motion.inverse_moment * (arm_x * change_y - arm_y * change_x);
        change != Lanes::ZERO
    }
}
