//! Contacts that persist: what the solver found in one step is where it starts in the next.
//!
//! Warm starting and the projection of accumulated impulses: Catto, "Iterative dynamics with temporal coherence",
//! GDC 2005, and "Fast and simple physics using sequential impulses", GDC 2006. How long a pair is remembered, and
//! when it counts as new, is Chipmunk's (`cpArbiter.c`, `cpSpaceStep.c`).

use super::body::{Block, Twist};
use super::broad_phase::N_OTHERS;
use super::manifold::{MAX_POINTS, Manifold};
use super::shapes::N_BOXES;
use super::{PHYSICS_DT_S, PUSH_OUT_SHARE, SLOP_PX};
use crate::geometry::{Vec2, cross, dot};
use crate::math::{max, min};

/// Steps without contact after which a pair is forgotten (`cpSpace.collisionPersistence`).
const PERSISTENCE_STEPS: u8 = 3;

/// How many pairs of a box and something else there are.
pub(crate) const N_PAIRS: usize = N_BOXES * N_OTHERS;

/// One contact point with what the solver accumulates there.
#[derive(Clone, Copy, Debug)]
struct Contact {
    id: u8,
    /// From the block's centre of gravity to the contact.
    arm: Vec2,
    /// What an impulse along the normal of 1 px/s weighs.
    normal_mass: f64,
    /// Speed at which the bodies are to be moved apart, px/s.
    push_out_speed: f64,
    /// Accumulated impulses: of the velocity, and of the pseudo-velocity.
    impulse: f64,
    pseudo_impulse: f64,
}

impl Contact {
    const NONE: Self = Self {
        id: 0,
        arm: Vec2::new(0.0, 0.0),
        normal_mass: 0.0,
        push_out_speed: 0.0,
        impulse: 0.0,
        pseudo_impulse: 0.0,
    };
}

/// What a pair has been doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Touch {
    /// Not lately: nothing is remembered.
    Never,
    /// Since this step. Remembered impulses are kept, but not applied.
    First,
    /// Since before this step.
    Lasting,
    /// Not in the last steps, this many of them.
    Missed(u8),
}

/// A box and something else that touch, or have touched lately.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContactPair {
    touch: Touch,
    normal: Vec2,
    other_vel: Vec2,
    contacts: [Contact; MAX_POINTS],
    n_contacts: usize,
}

impl ContactPair {
    pub(crate) const NONE: Self = Self {
        touch: Touch::Never,
        normal: Vec2::new(0.0, 0.0),
        other_vel: Vec2::new(0.0, 0.0),
        contacts: [Contact::NONE; MAX_POINTS],
        n_contacts: 0,
    };

    pub(crate) fn n_contacts(&self) -> usize {
        self.n_contacts
    }

    /// Takes this step's manifold; a contact with the number of an old one keeps its impulse.
    pub(crate) fn touch(&mut self, manifold: &Manifold, other: &Other, block: &Block) {
        let old = self.contacts;
        let old = &old[..self.n_contacts];
        self.normal = manifold.normal;
        self.other_vel = other.vel;
        self.n_contacts = 0;
        for point in manifold.points.iter().flatten() {
            let arm = point.on_block - block.cog;
            let other_arm = point.on_other - other.pos;
            let separation = dot((arm - other_arm) + (block.cog - other.pos), self.normal);
            let arm_cross_normal = cross(arm, self.normal);
            let inverse_mass = 1.0 + block.inverse_moment * arm_cross_normal * arm_cross_normal;
            let known = old.iter().rev().find(|contact| contact.id == point.id);
            self.contacts[self.n_contacts] = Contact {
                id: point.id,
                arm,
                normal_mass: 1.0 / inverse_mass,
                push_out_speed: -PUSH_OUT_SHARE * min(0.0, separation + SLOP_PX) / PHYSICS_DT_S,
                impulse: known.map_or(0.0, |contact| contact.impulse),
                pseudo_impulse: 0.0,
            };
            self.n_contacts += 1;
        }
        self.touch = match self.touch {
            Touch::Never | Touch::Missed(_) => Touch::First,
            lasting => lasting,
        };
    }

    /// At the end of a step: what touched, lasts.
    pub(crate) fn keep(&mut self) {
        self.touch = Touch::Lasting;
    }

    /// Another step without contact.
    pub(crate) fn miss(&mut self) {
        self.touch = match self.touch {
            Touch::Never => return,
            Touch::First | Touch::Lasting => Touch::Missed(1),
            Touch::Missed(steps) => Touch::Missed(steps + 1),
        };
        if self.touch == Touch::Missed(PERSISTENCE_STEPS) {
            *self = Self::NONE;
        }
    }

    /// Applies the impulses of the last step.
    pub(crate) fn warm_start(&self, block: &mut Block) {
        if self.touch == Touch::First {
            return;
        }
        for contact in &self.contacts[..self.n_contacts] {
            let impulse = self.normal * contact.impulse;
            block
                .velocity
                .apply_impulse(impulse, contact.arm, block.inverse_moment);
        }
    }

    /// One pass over the pair's contacts; says whether it changed anything.
    ///
    /// ```text
    ///   l  <-  max(l + (s - (u + w x r - v) . n) m, 0)
    /// ```
    /// with accumulated impulse l, wanted speed s, velocity (u, w) of the block, arm r, velocity v of the other,
    /// normal n, mass m along it; once for the velocity (s = 0), once for the pseudo-velocity.
    pub(crate) fn solve(&mut self, block: &mut Block) -> bool {
        let (n, mut changed) = (self.normal, false);
        for contact in &mut self.contacts[..self.n_contacts] {
            let pseudo_speed = dot(block.pseudo_velocity.at(contact.arm), n);
            let wanted = (contact.push_out_speed - pseudo_speed) * contact.normal_mass;
            let pseudo_impulse = max(contact.pseudo_impulse + wanted, 0.0);

            let speed = dot(block.velocity.at(contact.arm) - self.other_vel, n);
            let wanted = -speed * contact.normal_mass;
            let impulse = max(contact.impulse + wanted, 0.0);

            changed |= pseudo_impulse != contact.pseudo_impulse || impulse != contact.impulse;
            let apply = |twist: &mut Twist, change: f64| {
                twist.apply_impulse(n * change, contact.arm, block.inverse_moment);
            };
            apply(
                &mut block.pseudo_velocity,
                pseudo_impulse - contact.pseudo_impulse,
            );
            apply(&mut block.velocity, impulse - contact.impulse);
            contact.pseudo_impulse = pseudo_impulse;
            contact.impulse = impulse;
        }
        changed
    }
}

/// Where the other body of a pair is, and how it moves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Other {
    pub(crate) pos: Vec2,
    pub(crate) vel: Vec2,
}

impl Other {
    /// The walls' body.
    pub(crate) const WALLS: Self = Self {
        pos: Vec2::new(0.0, 0.0),
        vel: Vec2::new(0.0, 0.0),
    };
}
