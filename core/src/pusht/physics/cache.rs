//! Contact cache: the impulses of one step, from which the solver starts in the next (warm
//! starting: Catto, "Iterative dynamics with temporal coherence", GDC 2005).
//!
//! How long a pair stays cached, and when it counts as new, follows Chipmunk (`cpArbiter.c`,
//! `cpSpaceStep.c`).

use super::broad_phase::N_PAIRS;
use super::manifold::MAX_POINTS;

/// Steps without contact after which a pair is removed (`cpSpace.collisionPersistence`).
const PERSISTENCE_STEPS: u8 = 3;

/// The impulses of a pair's contact points, by their ids.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct CachedImpulses {
    ids: [u8; MAX_POINTS],
    values: [f64; MAX_POINTS],
    len: u8,
    /// Steps since the last contact.
    missed_steps: u8,
}

impl CachedImpulses {
    const NONE: Self = Self {
        ids: [0; MAX_POINTS],
        values: [0.0; MAX_POINTS],
        len: 0,
        missed_steps: 0,
    };
}

/// The impulses of all pairs that touched in the last [`PERSISTENCE_STEPS`] steps.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct ContactCache {
    pairs: [CachedImpulses; N_PAIRS],
    /// The pairs that are cached, one bit each.
    cached: u16,
}

impl ContactCache {
    pub(crate) const EMPTY: Self = Self {
        pairs: [CachedImpulses::NONE; N_PAIRS],
        cached: 0,
    };

    /// Whether the pair touched in the last step. Only then are its impulses applied at warm start;
    /// after a step or two without contact the solver still accumulates onto them.
    pub(crate) fn is_persisted(&self, pair: usize) -> bool {
        let impulses = self.pairs.get(pair);
        self.cached & (1 << pair) != 0 && impulses.is_some_and(|pair| pair.missed_steps == 0)
    }

    /// The impulse of a pair's contact point; 0 if there is none.
    pub(crate) fn impulse(&self, pair: usize, id: u8) -> f64 {
        let Some(pair) = self.pairs.get(pair) else {
            return 0.0;
        };
        let mut slots = 0..usize::from(pair.len).min(MAX_POINTS);
        let slot = slots.find(|&slot| pair.ids[slot] == id);
        slot.map_or(0.0, |slot| pair.values[slot])
    }

    /// Ages the separated pairs and clears those in `touching` (one bit each), to be stored again.
    pub(crate) fn end_step(&mut self, touching: u16) {
        self.age_separated(touching);
        for index in bits(self.cached & touching) {
            if let Some(pair) = self.pairs.get_mut(index) {
                *pair = CachedImpulses::NONE;
            }
        }
        self.cached &= !touching;
    }

    /// Counts a step without contact for all pairs but those in `touching`, and removes the pairs
    /// that have reached [`PERSISTENCE_STEPS`].
    pub(crate) fn age_separated(&mut self, touching: u16) {
        for index in bits(self.cached & !touching) {
            let Some(pair) = self.pairs.get_mut(index) else {
                continue;
            };
            pair.missed_steps += 1;
            if pair.missed_steps == PERSISTENCE_STEPS {
                *pair = CachedImpulses::NONE;
                self.cached &= !(1 << index);
            }
        }
    }

    /// Adds the impulse of a contact point.
    pub(crate) fn store(&mut self, pair: usize, id: u8, impulse: f64) {
        self.cached |= 1 << pair;
        let Some(pair) = self.pairs.get_mut(pair) else {
            return;
        };
        let slot = usize::from(pair.len);
        if slot < MAX_POINTS {
            pair.ids[slot] = id;
            pair.values[slot] = impulse;
            pair.len += 1;
        }
    }
}

/// The indices of the set bits, lowest first.
fn bits(mut mask: u16) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let lowest = mask.trailing_zeros() as usize;
        let any = mask != 0;
        mask &= mask.wrapping_sub(1);
        any.then_some(lowest)
    })
}
